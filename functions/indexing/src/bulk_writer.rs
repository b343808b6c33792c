//! Writes bulk requests: sends each one until every operation has its result or time runs out.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
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

use crate::response_error::{response_error, send_error};
use crate::transport::BulkTransport;

/// The results of a bulk request.
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

/// Most retries of an item after a server error that its document may have caused.
const BRIEF_RETRIES: u32 = 2;
/// No request starts with less time left than this.
const MIN_ATTEMPT: Duration = Duration::from_millis(50);

/// Retries of bulk requests: as many as fit before the deadline. Operations are `create`, or `index` or
/// `delete` of one version, so a repeated request does nothing twice.
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
/// credentials, once. An item with another server error is retried a few times, as the
/// document may be the cause.
pub async fn write<T: BulkTransport>(
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
        n_brief_retries: 0,
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
    /// Responses after which an item was retried that may fail for its document.
    n_brief_retries: u32,
    written: Written,
}

/// How successful attempts to write a request ended.
enum Part {
    /// Every operation has its result.
    Complete,
    /// The cluster refused the request for its size.
    TooLarge(WriteError),
}

impl<T: BulkTransport> Writer<'_, T> {
    /// Gives every operation of `request` its result, or returns two halves to send instead.
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
                        "bulk operations failed, retrying"
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
            200 | 201 => {
                match read_bulk_response(&response.body, request.operations().iter().map(Operation::action)) {
                    Ok(results) => self.take_results(request, results).await,
                    Err(error) => Attempted::Retry(WriteError {
                        kind: ErrorKind::BadResponse,
                        status: Some(response.status),
                        reason: error.to_string(),
                    }),
                }
            }
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
        let mut is_brief = false;
        for (position, (result, again)) in results.into_iter().zip(&mut again).enumerate() {
            let result = match (result.remedy(), result) {
                (Some(Remedy::Retry), ItemResult::Failed(error)) => {
                    *again = true;
                    next = Attempted::Retry(error);
                    continue;
                }
                (Some(Remedy::RetryBriefly), ItemResult::Failed(error))
                    if self.n_brief_retries < BRIEF_RETRIES =>
                {
                    *again = true;
                    is_brief = true;
                    next = Attempted::Retry(error);
                    continue;
                }
                (_, result) => result,
            };
            if let Some(operation) = request.operations().get(position) {
                self.written.results.push((operation.record, result));
            }
        }
        self.n_brief_retries += u32::from(is_brief);
        request.retain(|position| again.get(position).copied().unwrap_or(true));
        next
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
mod tests;
