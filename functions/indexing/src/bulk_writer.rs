//! Writes bulk requests: sends each one until every operation has its result or time runs out.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use event_pipeline::address::Address;
use event_pipeline::bulk::{BulkRequest, Operation};
use event_pipeline::bulk_response::read_bulk_response;
use event_pipeline::item_result::{ItemResult, Remedy};
use event_pipeline::write_error::{ErrorKind, WriteError};
use search_client::backoff::Backoff;
use search_client::client::{Renewed, Response, SendError};
use search_client::retry::{
    AttemptTimeout, Attempted, CredentialRenewal, LastWait, Next, RetryPolicy, SendErrors, Statuses,
};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::warn;

use crate::field_limit::{FullIndices, IndexMapping, MappingStop};
use crate::response_error::{response_error, send_error};
use crate::transport::BulkTransport;

/// What became of a bulk request.
#[derive(Debug, Default)]
pub struct Written {
    /// Each operation's record and result, in any order.
    pub results: Vec<(usize, ItemResult)>,
    /// Requests, retries, bytes and time that it took.
    pub stats: BulkStats,
    /// The request's memory, for the next request.
    pub spare: BulkRequest,
}

/// Requests, retries, bytes and time that writing took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BulkStats {
    /// Requests that were sent.
    pub requests: u32,
    /// Requests that repeated all or part of an earlier one.
    pub retries: u32,
    /// Bytes of all bodies, before compression.
    pub bytes: u64,
    /// Time from sending to the response, summed over all requests.
    pub waited: Duration,
}

impl std::ops::AddAssign for BulkStats {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.retries += other.retries;
        self.bytes += other.bytes;
        self.waited += other.waited;
    }
}

/// Shortest time that a request is worth starting for.
const MIN_ATTEMPT: Duration = Duration::from_millis(50);

/// Retries of bulk requests: as many as fit before the deadline. Operations are `create`, or `delete` of one version, so a
/// repeated request does nothing twice.
pub const BULK_RETRIES: RetryPolicy = RetryPolicy {
    statuses: Statuses::UNAVAILABLE,
    send_errors: SendErrors::All,
    max_attempts: u32::MAX,
    max_total: Duration::MAX,
    attempt_timeout: AttemptTimeout { divisor: 2, min: MIN_ATTEMPT, max: Duration::MAX },
    backoff: Backoff::DEFAULT,
    last_wait: LastWait::LeaveTimeFor(MIN_ATTEMPT),
};

/// Writes `request` until every operation has its result or `deadline` comes.
///
/// Only the operations that need it are retried, by `policy`: items that the cluster could not take, and whole requests
/// that got no response, a bad one, or one that `policy` retries. 413 halves the request. 401 and 403 renew the
/// credentials, once. An index that has no room for a new field is set to map no more of them, once, and its documents
/// are sent again.
pub async fn write<T: BulkTransport + IndexMapping>(
    transport: &T,
    request: BulkRequest,
    deadline: Instant,
    policy: &RetryPolicy,
) -> Written {
    let mut writer = Writer {
        transport,
        deadline,
        policy,
        renewal: CredentialRenewal::default(),
        full_indices: FullIndices::default(),
        written: Written::default(),
    };
    let mut parts = VecDeque::from([request]);
    while let Some(part) = parts.pop_front() {
        if let Some([first, second]) = writer.write_part(part).await {
            parts.push_front(second);
            parts.push_front(first);
        }
    }
    writer.written
}

struct Writer<'w, T> {
    transport: &'w T,
    deadline: Instant,
    policy: &'w RetryPolicy,
    renewal: CredentialRenewal,
    full_indices: FullIndices,
    written: Written,
}

/// How the attempts to write a request ended, where they did not fail.
enum Part {
    /// Every operation has its result.
    Complete,
    /// The cluster refused the request for its size.
    TooLarge(WriteError),
}

impl<T: BulkTransport + IndexMapping> Writer<'_, T> {
    /// Gives every operation of `request` its result, or returns the halves that it has to be sent as.
    async fn write_part(&mut self, mut request: BulkRequest) -> Option<[BulkRequest; 2]> {
        match self.write_with_retries(&mut request).await {
            Ok(Part::Complete) => {}
            Ok(Part::TooLarge(error)) => match request.split_half() {
                Some(second) => return Some([request, second]),
                None => {
                    let error = WriteError { kind: ErrorKind::DocumentTooLarge, ..error };
                    self.finish_all(&mut request, || ItemResult::Rejected(error.clone()));
                }
            },
            Err(error) => self.finish_all(&mut request, || ItemResult::Failed(error.clone())),
        }
        request.clear();
        self.written.spare = request;
        None
    }

    /// Repeats attempts by the policy. An attempt leaves in `request` the operations that have no result yet.
    async fn write_with_retries(&mut self, request: &mut BulkRequest) -> Result<Part, WriteError> {
        let mut retries = self.policy.until(self.deadline);
        if retries.is_too_late() {
            return Err(out_of_time());
        }
        loop {
            let attempt = retries.begin_attempt();
            self.written.stats.retries += u32::from(attempt.number > 1);
            match retries.after(self.attempt(request, attempt.timeout).await) {
                Next::End(result) => return result,
                Next::Wait { error, wait } => {
                    warn!(
                        kind = error.kind.as_str(),
                        status = error.status_number(),
                        reason = error.reason,
                        n_operations = request.len(),
                        delay_ms = wait.as_millis() as u64,
                        "bulk request to be sent again"
                    );
                    sleep(wait).await;
                    if retries.is_too_late() {
                        return Err(error);
                    }
                }
            }
        }
    }

    async fn attempt(&mut self, request: &mut BulkRequest, timeout: Duration) -> Attempted<Part, WriteError> {
        match self.send(request, timeout).await {
            Ok(response) => self.read_response(request, &response).await,
            Err(error) if self.policy.retries_send_error(&error) => Attempted::Retry(send_error(&error)),
            Err(error) => Attempted::GiveUp(send_error(&error)),
        }
    }

    /// Sends the request once.
    async fn send(&mut self, request: &mut BulkRequest, timeout: Duration) -> Result<Response, SendError> {
        let started = Instant::now();
        let body = Bytes::from(request.take_body());
        self.written.stats.requests += 1;
        self.written.stats.bytes += body.len() as u64;
        let sent = self.transport.send_bulk(body.clone(), timeout).await;
        // Takes the memory back, without a copy where the transport has dropped its handle, as it has after a response.
        request.put_back(Vec::from(body));
        self.written.stats.waited += started.elapsed();
        sent
    }

    async fn read_response(
        &mut self,
        request: &mut BulkRequest,
        response: &Response,
    ) -> Attempted<Part, WriteError> {
        match response.status {
            200 | 201 => match read_bulk_response(&response.body, request.len()) {
                Ok(results) => self.take_results(request, results).await,
                Err(error) => Attempted::Retry(WriteError {
                    kind: ErrorKind::BadResponse,
                    status: Some(response.status),
                    reason: error.to_string(),
                }),
            },
            413 => Attempted::Done(Part::TooLarge(response_error(ErrorKind::RequestTooLarge, response))),
            status if self.policy.retries_status(status) => {
                Attempted::Retry(response_error(ErrorKind::Unavailable, response))
            }
            status @ (401 | 403) => {
                let error = response_error(ErrorKind::Unauthorized, response);
                let renewal = self.renewal.after(status, self.transport.renew_credentials());
                match timeout_at(self.deadline, renewal).await {
                    Ok(Renewed::Yes) => Attempted::RetryAtOnce(error),
                    Ok(Renewed::No) | Err(_) => Attempted::GiveUp(error),
                }
            }
            _ => Attempted::GiveUp(response_error(ErrorKind::Refused, response)),
        }
    }

    /// Keeps the results that are final, and leaves in `request` the operations that have a remedy.
    async fn take_results(
        &mut self,
        request: &mut BulkRequest,
        results: Vec<ItemResult>,
    ) -> Attempted<Part, WriteError> {
        let mut again = vec![false; results.len()];
        let mut next = Attempted::Done(Part::Complete);
        for (position, (result, again)) in results.into_iter().zip(&mut again).enumerate() {
            let result = match (result.remedy(), result) {
                (Some(Remedy::Retry), ItemResult::Failed(error)) => {
                    *again = true;
                    next = Attempted::Retry(error);
                    continue;
                }
                (Some(Remedy::StopMappingNewFields), ItemResult::Rejected(error)) => {
                    match self.make_room(request.address(position)).await {
                        MappingStop::Done => {
                            *again = true;
                            if matches!(next, Attempted::Done(_)) {
                                next = Attempted::RetryAtOnce(error);
                            }
                            continue;
                        }
                        MappingStop::Unavailable(error) => {
                            *again = true;
                            next = Attempted::Retry(error);
                            continue;
                        }
                        MappingStop::Refused(why) => {
                            let reason = format!("{}; {why}", error.reason);
                            ItemResult::Rejected(WriteError { reason, ..error })
                        }
                    }
                }
                (_, result) => result,
            };
            if let Some(operation) = request.operations().get(position) {
                self.written.results.push((operation.record, result));
            }
        }
        self.full_indices.end_response();
        request.retain(|position| again.get(position).copied().unwrap_or(true));
        next
    }

    fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Makes an index without room for new fields take documents that have some.
    async fn make_room(&mut self, address: Option<Address<'_>>) -> MappingStop {
        let Some(Address { index, .. }) = address else {
            return MappingStop::Refused("its index is not known".into());
        };
        let timeout = self.time_left() / 2;
        self.full_indices.make_room(self.transport, &index, self.policy, timeout).await
    }

    fn finish_all(&mut self, request: &mut BulkRequest, result: impl Fn() -> ItemResult) {
        let results = request.operations().iter().map(|Operation { record, .. }| (*record, result()));
        self.written.results.extend(results);
        request.clear();
    }
}

fn out_of_time() -> WriteError {
    WriteError {
        kind: ErrorKind::Deadline,
        status: None,
        reason: "the invocation's time was used up before it was sent".into(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use event_pipeline::address::{ActionLine, append_create};
    use event_pipeline::bulk::BulkLimits;
    use event_pipeline::item_result::ItemAction;

    use super::*;

    /// Stands in for a cluster, with responses that a real one can't be made to give: each request gets the next step of
    /// the script, and the bodies are kept.
    struct Script {
        steps: Mutex<VecDeque<Step>>,
        bodies: Mutex<Vec<String>>,
    }

    enum Step {
        Response(u16, String),
        Silence,
        NewCredentials,
    }

    fn statuses(statuses: &[u16]) -> Step {
        let items: Vec<_> = statuses
            .iter()
            .map(|status| match status {
                200..300 => format!(r#"{{"create":{{"status":{status}}}}}"#),
                _ => format!(
                    r#"{{"create":{{"status":{status},"error":{{"type":"t{status}","reason":"r"}}}}}}"#
                ),
            })
            .collect();
        Step::Response(200, format!(r#"{{"errors":true,"items":[{}]}}"#, items.join(",")))
    }

    fn response(status: u16) -> Step {
        Step::Response(status, "{}".into())
    }

    impl BulkTransport for Script {
        async fn send_bulk(&self, body: Bytes, timeout: Duration) -> Result<Response, SendError> {
            self.bodies.lock().unwrap().push(String::from_utf8(body.to_vec()).unwrap());
            let step = self.steps.lock().unwrap().pop_front().expect("the script has a step left");
            match step {
                Step::Response(status, body) => Ok(Response { status, body: body.into() }),
                Step::Silence => {
                    sleep(timeout).await;
                    Err(SendError::Timeout(timeout))
                }
                Step::NewCredentials => panic!("credentials were to be renewed"),
            }
        }

        async fn renew_credentials(&self) -> Renewed {
            let mut steps = self.steps.lock().unwrap();
            if matches!(steps.front(), Some(Step::NewCredentials)) {
                steps.pop_front();
                return Renewed::Yes;
            }
            Renewed::No
        }
    }

    impl IndexMapping for Script {
        async fn stop_mapping_new_fields(
            &self,
            index: &str,
            timeout: Duration,
        ) -> Result<Response, SendError> {
            self.send_bulk(format!("no more fields in {index}").into(), timeout).await
        }
    }

    fn without_room() -> Step {
        let error =
            r#"{"type":"illegal_argument_exception","reason":"Limit of total fields [9] has been exceeded"}"#;
        let item = format!(r#"{{"create":{{"status":400,"error":{error}}}}}"#);
        Step::Response(
            200,
            format!(r#"{{"errors":true,"items":[{item},{item},{{"create":{{"status":201}}}}]}}"#),
        )
    }

    const SECONDS: u64 = 30;

    fn policy() -> RetryPolicy {
        RetryPolicy { backoff: Backoff { random: || 1.0, ..Backoff::DEFAULT }, ..BULK_RETRIES }
    }

    /// An action line for an operation whose lines are not read.
    fn any_action() -> ActionLine {
        append_create(&mut Vec::new(), &Address { index: "any".into(), id: None })
    }

    /// Writes operations `a`, `b`, `c` … against the script; returns the bodies sent, and the result of each record.
    async fn run(
        n_operations: usize,
        steps: impl Into<VecDeque<Step>>,
    ) -> (Vec<String>, Vec<String>, BulkStats) {
        let mut request = BulkRequest::default();
        for record in 0..n_operations {
            let line = [b'a' + record as u8, b'\n'];
            let write = |body: &mut Vec<u8>| {
                body.extend_from_slice(&line);
                Ok::<_, ()>(any_action())
            };
            request.push(record, BulkLimits::default(), write).unwrap();
        }
        play(request, steps).await
    }

    /// Writes `request` against the script.
    async fn play(
        request: BulkRequest,
        steps: impl Into<VecDeque<Step>>,
    ) -> (Vec<String>, Vec<String>, BulkStats) {
        let script = Script { steps: Mutex::new(steps.into()), bodies: Mutex::default() };
        let deadline = Instant::now() + Duration::from_secs(SECONDS);
        let written = write(&script, request, deadline, &policy()).await;
        assert!(script.steps.lock().unwrap().is_empty(), "every step of the script was used");
        assert!(Instant::now() <= deadline, "the deadline was kept");
        let mut results = written.results;
        results.sort_by_key(|(record, _)| *record);
        let outcomes = results.into_iter().map(|(record, result)| {
            let what = match result {
                ItemResult::Indexed => "indexed".into(),
                ItemResult::Duplicate => "duplicate".into(),
                ItemResult::Deleted => "deleted".into(),
                ItemResult::NotFound => "not found".into(),
                ItemResult::Changed => "changed".into(),
                ItemResult::Rejected(error) => format!("rejected {}", error.kind),
                ItemResult::Failed(error) => format!("failed {}", error.kind),
            };
            format!("{}: {what}", (b'a' + record as u8) as char)
        });
        (script.bodies.into_inner().unwrap(), outcomes.collect(), written.stats)
    }

    #[tokio::test(start_paused = true)]
    async fn only_retryable_items_are_sent_again() {
        let steps = [statuses(&[201, 429, 400, 503, 409]), statuses(&[409, 201])];
        let (bodies, outcomes, stats) = run(5, steps).await;
        assert_eq!(bodies, ["a\nb\nc\nd\ne\n", "b\nd\n"]);
        assert_eq!(
            outcomes,
            ["a: indexed", "b: duplicate", "c: rejected t400", "d: indexed", "e: duplicate"]
        );
        assert_eq!((stats.requests, stats.retries, stats.bytes), (2, 1, 14));
    }

    #[tokio::test(start_paused = true)]
    async fn an_index_without_room_for_new_fields_stores_documents_without_mapping_them() {
        let request = || {
            let mut request = BulkRequest::default();
            for record in 0..3 {
                let write = |body: &mut Vec<u8>| {
                    let line = append_create(body, &Address { index: "day".into(), id: None });
                    body.extend_from_slice(format!("{{\"n\":{record}}}\n").as_bytes());
                    Ok::<_, ()>(line)
                };
                request.push(record, BulkLimits::default(), write).unwrap();
            }
            request
        };
        let (bodies, outcomes, _) =
            play(request(), [without_room(), response(200), statuses(&[201, 201])]).await;
        assert_eq!(bodies.get(1).unwrap(), "no more fields in day");
        assert_eq!(bodies.last().unwrap().lines().count(), 4);
        assert_eq!(outcomes, ["a: indexed", "b: indexed", "c: indexed"]);

        let refused = [
            "a: rejected illegal_argument_exception",
            "b: rejected illegal_argument_exception",
            "c: indexed",
        ];
        let (bodies, outcomes, _) = play(request(), [without_room(), response(403)]).await;
        assert_eq!((bodies.len(), outcomes), (2, refused.map(String::from).to_vec()));

        // A mapping that could not be changed is changed by another request, and no document is blamed.
        let both_without_room = || {
            let Step::Response(status, text) = without_room() else { unreachable!() };
            Step::Response(status, text.replace(r#",{"create":{"status":201}}"#, ""))
        };
        let steps =
            [without_room(), response(503), both_without_room(), response(200), statuses(&[201, 201])];
        let (bodies, outcomes, _) = play(request(), steps).await;
        assert_eq!(
            (bodies.len(), outcomes),
            (5, ["a: indexed", "b: indexed", "c: indexed"].map(String::from).to_vec())
        );

        let steps = [without_room(), response(200), both_without_room()];
        let (bodies, outcomes, _) = play(request(), steps).await;
        assert_eq!((bodies.len(), outcomes), (3, refused.map(String::from).to_vec()));
    }

    #[tokio::test(start_paused = true)]
    async fn whole_requests_are_sent_again_until_one_gets_a_sound_response() {
        let bad = |text: &str| Step::Response(200, text.into());
        let steps = [
            response(503),
            response(429),
            Step::Silence,
            bad("<html>"),
            bad(r#"{"errors":false,"items":[{"create":{"status":201}}]}"#),
            statuses(&[201, 201]),
        ];
        let (bodies, outcomes, _) = run(2, steps).await;
        assert_eq!((bodies.len(), outcomes), (6, vec!["a: indexed".to_owned(), "b: indexed".into()]));
    }

    #[tokio::test(start_paused = true)]
    async fn operations_that_outlast_the_deadline_have_failed() {
        let steps: VecDeque<_> = (0..9).map(|_| statuses(&[429])).collect();
        let (bodies, outcomes, _) = run(1, steps).await;
        assert_eq!((bodies.len(), outcomes), (9, vec!["a: failed t429".to_owned()]));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_sent_after_the_deadline() {
        let script = Script { steps: Mutex::default(), bodies: Mutex::default() };
        let mut request = BulkRequest::default();
        let write_a = |body: &mut Vec<u8>| {
            body.extend_from_slice(b"a\n");
            Ok::<_, ()>(any_action())
        };
        request.push(0, BulkLimits::default(), write_a).unwrap();
        let written = write(&script, request, Instant::now(), &policy()).await;
        assert_eq!(written.results, [(0, ItemResult::Failed(out_of_time()))]);
        assert_eq!(written.stats, BulkStats::default());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_too_large_is_halved_until_a_single_document_is_at_fault() {
        let steps = [response(413), statuses(&[201]), response(413), response(413), statuses(&[201])];
        let (bodies, outcomes, stats) = run(3, steps).await;
        assert_eq!(bodies, ["a\nb\nc\n", "a\n", "b\nc\n", "b\n", "c\n"]);
        assert_eq!(outcomes, ["a: indexed", "b: rejected document_too_large", "c: indexed"]);
        assert_eq!(stats.retries, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn refused_credentials_are_renewed_once() {
        let steps = [response(401), Step::NewCredentials, statuses(&[201])];
        assert_eq!(run(1, steps).await.1, ["a: indexed"]);
        let steps = [response(403), Step::NewCredentials, response(403)];
        assert_eq!(run(1, steps).await.1, ["a: failed unauthorized"]);
        assert_eq!(run(1, [response(401)]).await.1, ["a: failed unauthorized"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_setup_fault_fails_at_once_without_a_dead_letter() {
        assert_eq!(run(2, [response(404)]).await.1, ["a: failed refused", "b: failed refused"]);
        assert_eq!(run(2, [statuses(&[403, 201])]).await.1, ["a: failed t403", "b: indexed"]);
    }

    #[test]
    fn items_and_whole_requests_are_retried_for_the_same_statuses() {
        for status in 100..600 {
            let item = ItemResult::of(ItemAction::Create, status, "", "");
            let is_retried = item.remedy() == Some(Remedy::Retry);
            assert_eq!(BULK_RETRIES.retries_status(status), is_retried, "{status}");
        }
    }
}
