//! Writes bulk requests and settles every operation in them: the one owner of retries.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use event_pipeline::address::Address;
use event_pipeline::bulk::{BulkRequest, Operation};
use event_pipeline::bulk_response::read_bulk_response;
use event_pipeline::outcome::{Failure, Fault, Verdict, shortened};
use search_client::backoff::Backoff;
use search_client::client::{Renewed, Response, SendError};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::warn;

use crate::transport::BulkTransport;

/// What became of one operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// Written now.
    Indexed,
    /// Written before.
    Duplicate,
    /// The document is at fault.
    Rejected(Fault),
    /// Not written, although the document may be sound.
    Failed(Failure),
}

/// How a bulk request went.
#[derive(Debug, Default)]
pub struct Written {
    /// Every operation of the request once: the record it stands for, and what became of it. In no certain order.
    pub settled: Vec<(usize, Settlement)>,
    /// What it took.
    pub stats: BulkStats,
    /// The request's memory, to be used again.
    pub spare: BulkRequest,
}

/// What writing took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BulkStats {
    /// Requests that were sent.
    pub requests: u32,
    /// Those of them that repeated some or all of an earlier one.
    pub retries: u32,
    /// Bytes of all bodies, before compression.
    pub bytes: u64,
    /// Time from sending to the response, of all requests together.
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

/// The shortest time that a request is worth starting for.
const MIN_ATTEMPT: Duration = Duration::from_millis(50);

/// Writes `request` until every operation is settled or `deadline` comes.
///
/// Retried, with exponential backoff and full jitter, are only the operations that need it: items answered 429,
/// 502, 503 or 504, and whole requests answered so, timed out, refused, cut off or answered with nonsense. 413
/// halves the request. 401 and 403 read the credentials again, once. An index that has no room for a new field is told
/// to map no more of them, once, and its documents are sent again.
pub async fn write<T: BulkTransport>(
    transport: &T,
    request: BulkRequest,
    deadline: Instant,
    backoff: &Backoff,
) -> Written {
    let mut written = Written::default();
    let mut writer = Writer {
        transport,
        deadline,
        backoff,
        renewed: false,
        full_indices: HashMap::new(),
        written: &mut written,
    };
    let mut parts = VecDeque::from([request]);
    while let Some(part) = parts.pop_front() {
        if let Some([first, second]) = writer.write_part(part).await {
            parts.push_front(second);
            parts.push_front(first);
        }
    }
    written
}

struct Writer<'w, T> {
    transport: &'w T,
    deadline: Instant,
    backoff: &'w Backoff,
    renewed: bool,
    /// Indices that had no room for a new field, and what became of telling them to map no more.
    full_indices: HashMap<String, Told>,
    written: &'w mut Written,
}

/// What became of telling an index to map no more new fields.
#[derive(Debug, Clone)]
enum Told {
    /// It will map no more: its documents are worth sending again.
    Done,
    /// It could not be told now.
    Unavailable(Failure),
    /// It is of no use to tell it.
    Refused(String),
}

/// What to do after a response to a whole request.
enum Next {
    Done,
    Retry(Failure),
    RetryAtOnce(Failure),
    Halve(Failure),
}

impl<T: BulkTransport> Writer<'_, T> {
    /// Settles `request`, or returns the halves that it has to be sent as.
    async fn write_part(&mut self, mut request: BulkRequest) -> Option<[BulkRequest; 2]> {
        let mut n_failures = 0;
        let mut last = None;
        while !request.is_empty() {
            if self.time_left() < MIN_ATTEMPT {
                // Why it took so long is worth more than that it did.
                self.settle(&mut request, || Settlement::Failed(last.clone().unwrap_or_else(out_of_time)));
                break;
            }
            let next = match self.attempt(&mut request).await {
                Ok(reply) => self.judge(&mut request, &reply).await,
                Err(failure) => Next::Retry(failure),
            };
            let (failure, delay) = match next {
                Next::Done => break,
                Next::Halve(failure) => match request.split_half() {
                    Some(second) => return Some([request, second]),
                    None => {
                        self.settle(&mut request, || {
                            let Failure { reason, status, .. } = failure.clone();
                            Settlement::Rejected(Fault { kind: "document_too_large".into(), reason, status })
                        });
                        break;
                    }
                },
                Next::RetryAtOnce(failure) => (failure, Duration::ZERO),
                Next::Retry(failure) => {
                    n_failures += 1;
                    (failure, self.backoff.delay(n_failures))
                }
            };
            let time_to_wait = self.time_left().saturating_sub(MIN_ATTEMPT);
            if time_to_wait < MIN_ATTEMPT {
                self.settle(&mut request, || Settlement::Failed(failure.clone()));
                break;
            }
            let delay = delay.min(time_to_wait);
            warn!(
                kind = failure.kind,
                status = failure.status,
                reason = failure.reason,
                n_operations = request.len(),
                delay_ms = delay.as_millis() as u64,
                "bulk request to be sent again"
            );
            self.written.stats.retries += 1;
            last = Some(failure);
            sleep(delay).await;
        }
        request.clear();
        self.written.spare = request;
        None
    }

    fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Sends the request once. Half of the time that is left, so that a connection gone silent leaves time for
    /// another.
    async fn attempt(&mut self, request: &mut BulkRequest) -> Result<Response, Failure> {
        let started = Instant::now();
        let timeout = (self.time_left() / 2).max(MIN_ATTEMPT);
        let body = Bytes::from(request.take_body());
        self.written.stats.requests += 1;
        self.written.stats.bytes += body.len() as u64;
        let reply = self.transport.send_bulk(body.clone(), timeout).await;
        // Gives the memory back; without a copy where the transport has dropped its handle, as it has after an answer.
        request.put_back(Vec::from(body));
        self.written.stats.waited += started.elapsed();
        reply.map_err(|error| send_failure(&error))
    }

    async fn judge(&mut self, request: &mut BulkRequest, reply: &Response) -> Next {
        match reply.status {
            200 | 201 => match read_bulk_response(&reply.body, request.len()) {
                Ok(verdicts) => self.settle_items(request, verdicts).await,
                Err(error) => Next::Retry(Failure {
                    kind: "bad_response".into(),
                    reason: error.to_string(),
                    status: reply.status,
                }),
            },
            413 => Next::Halve(whole_failure("request_too_large", reply)),
            429 | 502 | 503 | 504 => Next::Retry(whole_failure("unavailable", reply)),
            401 | 403 if !self.renewed => {
                self.renewed = true;
                let failure = whole_failure("unauthorized", reply);
                match timeout_at(self.deadline, self.transport.renew_credentials()).await {
                    Ok(Renewed::Yes) => Next::RetryAtOnce(failure),
                    Ok(Renewed::No) | Err(_) => self.give_up(request, failure),
                }
            }
            status => {
                let kind = if matches!(status, 401 | 403) { "unauthorized" } else { "refused" };
                self.give_up(request, whole_failure(kind, reply))
            }
        }
    }

    async fn settle_items(&mut self, request: &mut BulkRequest, verdicts: Vec<Verdict>) -> Next {
        let mut again = vec![false; verdicts.len()];
        let mut next = Next::Done;
        for (position, (verdict, again)) in verdicts.into_iter().zip(&mut again).enumerate() {
            let settlement = match verdict {
                Verdict::Indexed => Settlement::Indexed,
                Verdict::Duplicate => Settlement::Duplicate,
                Verdict::Rejected(fault) => Settlement::Rejected(fault),
                Verdict::Failed(failure) => Settlement::Failed(failure),
                Verdict::Retry(failure) => {
                    *again = true;
                    next = Next::Retry(failure);
                    continue;
                }
                Verdict::MappingFull(fault) => match self.make_room(request.address(position)).await {
                    Told::Done => {
                        *again = true;
                        if matches!(next, Next::Done) {
                            let Fault { kind, reason, status } = fault;
                            next = Next::RetryAtOnce(Failure { kind, reason, status });
                        }
                        continue;
                    }
                    Told::Unavailable(failure) => {
                        *again = true;
                        next = Next::Retry(failure);
                        continue;
                    }
                    Told::Refused(why) => {
                        let reason = format!("{}; {why}", fault.reason);
                        Settlement::Rejected(Fault { reason, ..fault })
                    }
                },
            };
            if let Some(operation) = request.operations().get(position) {
                self.written.settled.push((operation.record, settlement));
            }
        }
        // For the next response: one that was told and refuses all the same won't change its mind, one that could not be
        // told can be told again.
        self.full_indices.retain(|_, told| !matches!(told, Told::Unavailable(_)));
        for told in self.full_indices.values_mut().filter(|told| matches!(told, Told::Done)) {
            let why = "the index was told to map no more fields, and refuses the document all the same";
            *told = Told::Refused(why.into());
        }
        request.retain(|position| again.get(position).copied().unwrap_or(true));
        next
    }

    /// Makes an index without room for new fields take documents that have some.
    async fn make_room(&mut self, address: Option<Address<'_>>) -> Told {
        let Some(Address { index, .. }) = address else {
            return Told::Refused("its index is not known".into());
        };
        let index = index.as_ref();
        if let Some(known) = self.full_indices.get(index) {
            return known.clone();
        }
        let told = match self.transport.stop_mapping_new_fields(index, self.time_left() / 2).await {
            Ok(Response { status: 200, .. }) => {
                warn!(index, "index has no room for new fields: it stores them from now on, unmapped");
                Told::Done
            }
            Ok(reply @ Response { status: 429 | 502 | 503 | 504, .. }) => {
                Told::Unavailable(whole_failure("unavailable", &reply))
            }
            Ok(reply) => {
                let Failure { reason, status, .. } = whole_failure("refused", &reply);
                warn!(
                    index,
                    status, reason, "index has no room for new fields, and may not be told to map no more"
                );
                Told::Refused(format!("the index may not be told to map no more fields: {status}: {reason}"))
            }
            Err(error) => Told::Unavailable(send_failure(&error)),
        };
        self.full_indices.insert(index.to_owned(), told.clone());
        told
    }

    fn give_up(&mut self, request: &mut BulkRequest, failure: Failure) -> Next {
        self.settle(request, || Settlement::Failed(failure.clone()));
        Next::Done
    }

    fn settle(&mut self, request: &mut BulkRequest, settlement: impl Fn() -> Settlement) {
        let records = request.operations().iter().map(|Operation { record, .. }| (*record, settlement()));
        self.written.settled.extend(records);
        request.clear();
    }
}

fn out_of_time() -> Failure {
    Failure {
        kind: "deadline".into(),
        reason: "the invocation's time was used up before it was sent".into(),
        status: 0,
    }
}

fn send_failure(error: &SendError) -> Failure {
    let kind = match error {
        SendError::Connection(_) => "connection",
        SendError::Timeout(_) => "timeout",
        SendError::Signing(_) => "signing",
    };
    Failure { kind: kind.into(), reason: error.to_string(), status: 0 }
}

fn whole_failure(kind: &str, reply: &Response) -> Failure {
    let text = String::from_utf8_lossy(&reply.body);
    Failure { kind: kind.into(), reason: shortened(&text).to_owned(), status: reply.status }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use event_pipeline::address::{ActionLine, append_create};
    use event_pipeline::bulk::BulkLimits;

    use super::*;

    /// Stands in for a cluster, to show answers that a real one can't be made to give: each request is answered by
    /// the next line of the script, and the bodies are kept.
    struct Script {
        answers: Mutex<VecDeque<Answer>>,
        bodies: Mutex<Vec<String>>,
    }

    enum Answer {
        Response(u16, String),
        Silence,
        NewCredentials,
    }

    fn statuses(statuses: &[u16]) -> Answer {
        let items: Vec<_> = statuses
            .iter()
            .map(|status| match status {
                200..300 => format!(r#"{{"create":{{"status":{status}}}}}"#),
                _ => format!(
                    r#"{{"create":{{"status":{status},"error":{{"type":"t{status}","reason":"r"}}}}}}"#
                ),
            })
            .collect();
        Answer::Response(200, format!(r#"{{"errors":true,"items":[{}]}}"#, items.join(",")))
    }

    fn reply(status: u16) -> Answer {
        Answer::Response(status, "{}".into())
    }

    impl BulkTransport for Script {
        async fn send_bulk(&self, body: Bytes, timeout: Duration) -> Result<Response, SendError> {
            self.bodies.lock().unwrap().push(String::from_utf8(body.to_vec()).unwrap());
            let answer = self.answers.lock().unwrap().pop_front().expect("the script has an answer left");
            match answer {
                Answer::Response(status, body) => Ok(Response { status, body: body.into() }),
                Answer::Silence => {
                    sleep(timeout).await;
                    Err(SendError::Timeout(timeout))
                }
                Answer::NewCredentials => panic!("credentials were to be renewed"),
            }
        }

        async fn stop_mapping_new_fields(
            &self,
            index: &str,
            timeout: Duration,
        ) -> Result<Response, SendError> {
            self.send_bulk(format!("no more fields in {index}").into(), timeout).await
        }

        async fn renew_credentials(&self) -> Renewed {
            let mut answers = self.answers.lock().unwrap();
            if matches!(answers.front(), Some(Answer::NewCredentials)) {
                answers.pop_front();
                return Renewed::Yes;
            }
            Renewed::No
        }
    }

    fn without_room() -> Answer {
        let error =
            r#"{"type":"illegal_argument_exception","reason":"Limit of total fields [9] has been exceeded"}"#;
        let item = format!(r#"{{"create":{{"status":400,"error":{error}}}}}"#);
        Answer::Response(
            200,
            format!(r#"{{"errors":true,"items":[{item},{item},{{"create":{{"status":201}}}}]}}"#),
        )
    }

    const SECONDS: u64 = 30;

    /// What stands for the action line of an operation whose lines are none.
    fn any_action() -> ActionLine {
        append_create(&mut Vec::new(), &Address { index: "any".into(), id: None })
    }

    /// Writes operations `a`, `b`, `c` … against the script; returns bodies sent and statuses by record.
    async fn run(
        n_operations: usize,
        answers: impl Into<VecDeque<Answer>>,
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
        play(request, answers).await
    }

    /// Writes `request` against the script.
    async fn play(
        request: BulkRequest,
        answers: impl Into<VecDeque<Answer>>,
    ) -> (Vec<String>, Vec<String>, BulkStats) {
        let script = Script { answers: Mutex::new(answers.into()), bodies: Mutex::default() };
        let deadline = Instant::now() + Duration::from_secs(SECONDS);
        let written =
            write(&script, request, deadline, &Backoff { random: || 1.0, ..Backoff::default() }).await;
        assert!(script.answers.lock().unwrap().is_empty(), "the script was played to its end");
        assert!(Instant::now() <= deadline, "the deadline was kept");
        let mut settled = written.settled;
        settled.sort_by_key(|(record, _)| *record);
        let outcomes = settled.into_iter().map(|(record, settlement)| {
            let what = match settlement {
                Settlement::Indexed => "indexed".into(),
                Settlement::Duplicate => "duplicate".into(),
                Settlement::Rejected(fault) => format!("rejected {}", fault.kind),
                Settlement::Failed(failure) => format!("failed {}", failure.kind),
            };
            format!("{}: {what}", (b'a' + record as u8) as char)
        });
        (script.bodies.into_inner().unwrap(), outcomes.collect(), written.stats)
    }

    #[tokio::test(start_paused = true)]
    async fn only_retryable_items_are_sent_again() {
        let answers = [statuses(&[201, 429, 400, 503, 409]), statuses(&[409, 201])];
        let (bodies, outcomes, stats) = run(5, answers).await;
        assert_eq!(bodies, ["a\nb\nc\nd\ne\n", "b\nd\n"]);
        assert_eq!(
            outcomes,
            ["a: indexed", "b: duplicate", "c: rejected t400", "d: indexed", "e: duplicate"]
        );
        assert_eq!((stats.requests, stats.retries, stats.bytes), (2, 1, 14));
    }

    #[tokio::test(start_paused = true)]
    async fn an_index_without_room_for_new_fields_takes_the_documents_without_mapping_them() {
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
            play(request(), [without_room(), reply(200), statuses(&[201, 201])]).await;
        assert_eq!(bodies.get(1).unwrap(), "no more fields in day");
        assert_eq!(bodies.last().unwrap().lines().count(), 4);
        assert_eq!(outcomes, ["a: indexed", "b: indexed", "c: indexed"]);

        let refused = [
            "a: rejected illegal_argument_exception",
            "b: rejected illegal_argument_exception",
            "c: indexed",
        ];
        let (bodies, outcomes, _) = play(request(), [without_room(), reply(403)]).await;
        assert_eq!((bodies.len(), outcomes), (2, refused.map(String::from).to_vec()));

        // What could not be told is told again, and no document is blamed for it.
        let both_without_room = || {
            let Answer::Response(status, text) = without_room() else { unreachable!() };
            Answer::Response(status, text.replace(r#",{"create":{"status":201}}"#, ""))
        };
        let answers = [without_room(), reply(503), both_without_room(), reply(200), statuses(&[201, 201])];
        let (bodies, outcomes, _) = play(request(), answers).await;
        assert_eq!(
            (bodies.len(), outcomes),
            (5, ["a: indexed", "b: indexed", "c: indexed"].map(String::from).to_vec())
        );

        let answers = [without_room(), reply(200), both_without_room()];
        let (bodies, outcomes, _) = play(request(), answers).await;
        assert_eq!((bodies.len(), outcomes), (3, refused.map(String::from).to_vec()));
    }

    #[tokio::test(start_paused = true)]
    async fn whole_requests_are_sent_again_until_one_is_answered_soundly() {
        let bad = |text: &str| Answer::Response(200, text.into());
        let answers = [
            reply(503),
            reply(429),
            Answer::Silence,
            bad("<html>"),
            bad(r#"{"errors":false,"items":[{"create":{"status":201}}]}"#),
            statuses(&[201, 201]),
        ];
        let (bodies, outcomes, _) = run(2, answers).await;
        assert_eq!((bodies.len(), outcomes), (6, vec!["a: indexed".to_owned(), "b: indexed".into()]));
    }

    #[tokio::test(start_paused = true)]
    async fn what_outlasts_the_deadline_has_failed() {
        let answers: VecDeque<_> = (0..9).map(|_| statuses(&[429])).collect();
        let (bodies, outcomes, _) = run(1, answers).await;
        assert_eq!((bodies.len(), outcomes), (9, vec!["a: failed t429".to_owned()]));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_sent_when_the_time_is_over() {
        let script = Script { answers: Mutex::default(), bodies: Mutex::default() };
        let mut request = BulkRequest::default();
        let write_a = |body: &mut Vec<u8>| {
            body.extend_from_slice(b"a\n");
            Ok::<_, ()>(any_action())
        };
        request.push(0, BulkLimits::default(), write_a).unwrap();
        let written = write(&script, request, Instant::now(), &Backoff::default()).await;
        assert_eq!(written.settled, [(0, Settlement::Failed(out_of_time()))]);
        assert_eq!(written.stats, BulkStats::default());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_too_large_is_halved_until_the_document_alone_is_at_fault() {
        let answers = [reply(413), statuses(&[201]), reply(413), reply(413), statuses(&[201])];
        let (bodies, outcomes, stats) = run(3, answers).await;
        assert_eq!(bodies, ["a\nb\nc\n", "a\n", "b\nc\n", "b\n", "c\n"]);
        assert_eq!(outcomes, ["a: indexed", "b: rejected document_too_large", "c: indexed"]);
        assert_eq!(stats.retries, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn refused_credentials_are_read_again_once() {
        let answers = [reply(401), Answer::NewCredentials, statuses(&[201])];
        assert_eq!(run(1, answers).await.1, ["a: indexed"]);
        let answers = [reply(403), Answer::NewCredentials, reply(403)];
        assert_eq!(run(1, answers).await.1, ["a: failed unauthorized"]);
        assert_eq!(run(1, [reply(401)]).await.1, ["a: failed unauthorized"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_fault_of_the_set_up_fails_at_once_and_is_no_dead_letter() {
        assert_eq!(run(2, [reply(404)]).await.1, ["a: failed refused", "b: failed refused"]);
        assert_eq!(run(2, [statuses(&[403, 201])]).await.1, ["a: failed t403", "b: indexed"]);
    }
}
