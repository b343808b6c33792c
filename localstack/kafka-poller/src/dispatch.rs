//! The Lambda side of one mapping: takes batches as they are due and delivers each until it is done.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{debug, error, warn};

use crate::aws::Aws;
use crate::batch::{Assignment, Slice, Taken};
use crate::consumer::Shared;
use crate::delivery::{Condition, Delivery, Outcome, Progress, Step};
use crate::destination::{Destination, Discarded, LastInvocation};
use crate::event::MAX_PAYLOAD;
use crate::lambda::{self, Invocation};
use crate::mapping::BatchFailures;
use crate::response;

/// How long to wait before a destination that failed is tried again.
const DESTINATION_DELAY: Duration = Duration::from_secs(1);

/// Delivers batches until the buffer is drained and the last delivery has ended.
pub async fn run(shared: Arc<Shared>, aws: Aws, destination: Arc<Option<Destination>>) {
    let mut deliveries = JoinSet::new();
    loop {
        let (taken, draining) = {
            let mut buffer = shared.buffer();
            (buffer.take(Instant::now()), buffer.is_draining())
        };
        match taken {
            Taken::Batch(slices) => {
                let delivery = deliver(Arc::clone(&shared), aws.clone(), Arc::clone(&destination), slices);
                deliveries.spawn(delivery);
                // There is room in the buffer again.
                shared.consumer.notify();
            }
            _ if draining && deliveries.is_empty() => return,
            taken => {
                let wait = match taken {
                    Taken::Wait(until) => until.saturating_duration_since(Instant::now()),
                    _ => Duration::from_secs(1),
                };
                tokio::select! {
                    _ = timeout(wait, shared.dispatcher.notified()) => {}
                    Some(ended) = deliveries.join_next() => {
                        if let Err(panic) = ended {
                            // The batch's partitions stay in flight and uncommitted: going on would leave them stuck.
                            error!(mapping = %shared.mapping.uuid, error = %panic, "a delivery broke off");
                            std::process::abort();
                        }
                    }
                }
            }
        }
    }
}

async fn deliver(shared: Arc<Shared>, aws: Aws, destination: Arc<Option<Destination>>, slices: Vec<Slice>) {
    let mut delivery = Delivery::new(slices, shared.mapping.retries, MAX_PAYLOAD);
    let mut revoked = shared.revoked.subscribe();
    let mut last = None;
    let mut n_tries = 0;
    shared.activity.batch();
    while let Some(attempt) = begin(&shared, &mut delivery) {
        let progress = match attempt.work {
            Work::Invoke => {
                let began_ms = now_ms();
                let outcome = invoke(&shared, &aws, &attempt, delivery.current(), &mut last).await;
                shared.activity.invoked(&outcome, n_tries > 0);
                n_tries += 1;
                let progress = delivery.invoked(&outcome, rand::random());
                let ages_ms =
                    progress.delivered_ms.iter().map(|timestamp_ms| began_ms.saturating_sub(*timestamp_ms));
                shared.activity.delivered(ages_ms.map(|age_ms| u64::try_from(age_ms).unwrap_or_default()));
                progress
            }
            Work::Discard { condition, n_invoked } => {
                let discarded = Discarded {
                    mapping: &shared.mapping,
                    condition,
                    n_invoked,
                    last: last.as_ref(),
                    event: attempt.event.clone(),
                    slices: delivery.current(),
                };
                if discard(&shared, destination.as_ref().as_ref(), &discarded).await {
                    let n_records = u64::try_from(attempt.n_records).unwrap_or(u64::MAX);
                    shared.activity.discarded(condition, n_records, destination.is_some());
                    delivery.discarded()
                } else {
                    Progress { delay: Some(DESTINATION_DELAY), ..Progress::default() }
                }
            }
        };
        let delay = progress.delay;
        end(&shared, &attempt, progress);
        if let Some(delay) = delay {
            // A revocation ends the wait: what is no longer ours is dropped before the next attempt.
            let _ = timeout(delay, revoked.changed()).await;
        }
    }
    shared.buffer().end_batch();
    shared.dispatcher.notify_one();
    shared.consumer.notify();
}

/// An attempt to get on with a batch.
struct Attempt {
    partitions: Vec<(i32, Assignment)>,
    n_records: usize,
    event: Bytes,
    work: Work,
}

enum Work {
    Invoke,
    Discard { condition: Condition, n_invoked: u32 },
}

/// Begins the next attempt with what is still ours of the batch.
fn begin(shared: &Shared, delivery: &mut Delivery) -> Option<Attempt> {
    let mut buffer = shared.buffer();
    delivery.retain(|partition, assignment| buffer.holds(partition, assignment));
    let work = match delivery.next(buffer.shape(), now_ms()) {
        Step::Done => return None,
        Step::Invoke => Work::Invoke,
        Step::Discard { condition, n_invoked } => Work::Discard { condition, n_invoked },
    };
    let slices = delivery.current();
    let attempt = Attempt {
        partitions: slices.iter().map(|slice| (slice.partition, slice.assignment)).collect(),
        n_records: slices.iter().map(|slice| slice.records.len()).sum(),
        event: Bytes::from(buffer.shape().event(slices)),
        work,
    };
    for (partition, assignment) in &attempt.partitions {
        buffer.set_invoking(*partition, *assignment, true);
    }
    Some(attempt)
}

/// Notes what an attempt has brought.
fn end(shared: &Shared, attempt: &Attempt, progress: Progress) {
    let mut buffer = shared.buffer();
    for (partition, assignment, offset) in progress.advanced {
        buffer.advance(partition, assignment, offset);
    }
    for (partition, assignment) in progress.released {
        buffer.release(partition, assignment);
    }
    for (partition, assignment) in &attempt.partitions {
        buffer.set_invoking(*partition, *assignment, false);
    }
    drop(buffer);
    shared.quiet.notify();
    shared.committer.notify();
    shared.dispatcher.notify_one();
}

async fn invoke(
    shared: &Shared,
    aws: &Aws,
    attempt: &Attempt,
    slices: &[Slice],
    last: &mut Option<LastInvocation>,
) -> Outcome {
    let mapping = &shared.mapping;
    let started = Instant::now();
    let invocation = match lambda::invoke(aws, &mapping.function_arn, attempt.event.clone()).await {
        Ok(invocation) => invocation,
        Err(error) => {
            let error = describe(&error);
            warn!(mapping = %mapping.uuid, function = %mapping.function_arn, error, "function not invoked, trying on");
            return Outcome::NotInvoked;
        }
    };
    let outcome = outcome(shared, &invocation, slices);
    debug!(
        mapping = %mapping.uuid,
        offsets = ?Offsets(slices),
        n_records = attempt.n_records,
        n_bytes = attempt.event.len(),
        took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        request_id = %invocation.request_id,
        succeeded = outcome == Outcome::Succeeded,
        "batch"
    );
    *last = Some(LastInvocation {
        request_id: invocation.request_id,
        status: invocation.status.as_u16(),
        executed_version: invocation.executed_version,
        function_error: invocation.function_error,
    });
    outcome
}

fn outcome(shared: &Shared, invocation: &Invocation, slices: &[Slice]) -> Outcome {
    let mapping = &shared.mapping;
    let offsets = Offsets(slices);
    let request_id = &invocation.request_id;
    if let Some(function_error) = &invocation.function_error {
        let payload = invocation.payload.get(..1_000).unwrap_or(&invocation.payload);
        let answer = String::from_utf8_lossy(payload);
        warn!(mapping = %mapping.uuid, ?offsets, %request_id, function_error, %answer, "function failed");
        return Outcome::Failed;
    }
    if mapping.batch_failures == BatchFailures::Ignored {
        return Outcome::Succeeded;
    }
    match response::failures(&invocation.payload, &mapping.topic, slices) {
        Ok(failures) if failures.is_empty() => Outcome::Succeeded,
        Ok(failures) => {
            let n_failures = failures.len();
            warn!(mapping = %mapping.uuid, ?offsets, %request_id, n_failures, "function reported failed records");
            Outcome::Partial(failures)
        }
        Err(error) => {
            let error = describe(&error);
            warn!(mapping = %mapping.uuid, ?offsets, %request_id, error, "whole batch counts as failed");
            Outcome::Failed
        }
    }
}

/// Brings discarded records to the destination; says whether they may be passed over.
async fn discard(shared: &Shared, destination: Option<&Destination>, discarded: &Discarded<'_>) -> bool {
    let mapping = &shared.mapping.uuid;
    let offsets = Offsets(discarded.slices);
    let condition = discarded.condition.name();
    let n_invoked = discarded.n_invoked;
    let Some(destination) = destination else {
        error!(%mapping, ?offsets, condition, n_invoked, "records are lost: given up, and the mapping has no destination");
        return true;
    };
    match destination.send(discarded, now_ms()).await {
        Ok(()) => {
            warn!(%mapping, ?offsets, condition, n_invoked, "records sent to the on-failure destination");
            true
        }
        Err(error) => {
            let error = describe(&error);
            error!(%mapping, ?offsets, condition, error, "on-failure destination did not take the records, trying on");
            false
        }
    }
}

/// Shows partitions with their first and last offset.
struct Offsets<'a>(&'a [Slice]);

impl fmt::Debug for Offsets<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let range = |slice: &Slice| Some((slice.records.first()?.offset, slice.records.last()?.offset));
        let ranges = self.0.iter().filter_map(|slice| Some((slice.partition, range(slice)?)));
        formatter
            .debug_map()
            .entries(ranges.map(|(partition, (first, last))| (partition, first..=last)))
            .finish()
    }
}

/// Tells an error with all its causes.
pub(crate) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

fn now_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}
