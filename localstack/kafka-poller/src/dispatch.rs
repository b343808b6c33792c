//! The Lambda side of one mapping: delivers each batch until no record of it is left.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{debug, error, warn};

use crate::activity::{Activity, DiscardedRecords, InvocationKind, Safekeeping};
use crate::aws::Aws;
use crate::causes::with_causes;
use crate::delivery::{Condition, Delivery, Outcome, Progress, Step};
use crate::destination::{Destination, Discarded, LastInvocation};
use crate::event::{EventShape, MAX_PAYLOAD};
use crate::lambda::{self, Invocation};
use crate::mailbox::{Mailbox, Message};
use crate::mapping::{BatchFailures, Mapping};
use crate::obstacles;
use crate::record::{Assignment, PartitionRecords, n_records};
use crate::response;
use crate::stall::Obstacle;

/// How long to wait before records are sent again to a destination that failed.
const DESTINATION_DELAY: Duration = Duration::from_secs(1);

/// What all deliveries of a mapping have in common.
pub struct Dispatcher {
    /// The mapping.
    pub mapping: Arc<Mapping>,
    /// Counts invocations and records.
    pub activity: Arc<Activity>,
    /// The form of the events.
    pub shape: EventShape,
    /// Makes the calls.
    pub aws: Aws,
    /// Takes discarded records, if the mapping has a destination.
    pub destination: Option<Destination>,
    /// Reaches the consumer thread.
    pub mailbox: Mailbox,
}

/// Delivers the consumer thread's batches until that has ended and the last delivery too. A message of `interrupts` ends
/// the waits between attempts.
pub async fn run(
    dispatcher: Arc<Dispatcher>,
    mut batches: mpsc::UnboundedReceiver<Vec<PartitionRecords>>,
    interrupts: watch::Receiver<()>,
) {
    let mut deliveries = JoinSet::new();
    let mut is_open = true;
    while is_open || !deliveries.is_empty() {
        tokio::select! {
            batch = batches.recv(), if is_open => match batch {
                Some(batch) => {
                    let mut interrupts = interrupts.clone();
                    interrupts.mark_unchanged();
                    deliveries.spawn(deliver(Arc::clone(&dispatcher), batch, interrupts));
                }
                None => is_open = false,
            },
            Some(ended) = deliveries.join_next() => {
                if let Err(panic) = ended {
                    // The batch's partitions stay in flight and uncommitted: going on would leave them stuck.
                    error!(mapping = %dispatcher.mapping.uuid, error = %panic, "a delivery panicked");
                    std::process::abort();
                }
            }
        }
    }
}

async fn deliver(
    dispatcher: Arc<Dispatcher>,
    batch: Vec<PartitionRecords>,
    mut interrupts: watch::Receiver<()>,
) {
    let Dispatcher { mapping, activity, .. } = dispatcher.as_ref();
    // The first attempt is permitted with the batch.
    let mut permitted = assignments(&batch);
    let mut delivery = Delivery::new(batch, mapping.retries, MAX_PAYLOAD);
    let mut last = None;
    let mut kind = InvocationKind::First;
    activity.batch();
    while let Some(attempt) = dispatcher.begin(&mut delivery, &permitted) {
        let (progress, obstacle) = match attempt.work {
            Work::Invoke => {
                let began_ms = now_ms();
                let (outcome, obstacle) = dispatcher.invoke(&attempt, delivery.current(), &mut last).await;
                activity.invoked(&outcome, kind);
                kind = InvocationKind::Retry;
                let progress = delivery.invoked(&outcome, rand::random());
                let ages_ms =
                    progress.delivered_ms.iter().map(|timestamp_ms| began_ms.saturating_sub(*timestamp_ms));
                activity.delivered(ages_ms.map(|age_ms| u64::try_from(age_ms).unwrap_or_default()));
                (progress, obstacle)
            }
            Work::Discard { condition, n_invoked } => {
                let discarded = Discarded {
                    mapping,
                    condition,
                    n_invoked,
                    last: last.as_ref(),
                    event: attempt.event.clone(),
                    parts: delivery.current(),
                };
                match dispatcher.discard(&discarded).await {
                    Discarding::Done(safekeeping) => {
                        activity.discarded(attempt.discarded(&discarded), safekeeping);
                        (delivery.discarded(), None)
                    }
                    Discarding::Refused(obstacle) => {
                        (Progress { delay: Some(DESTINATION_DELAY), ..Progress::default() }, Some(obstacle))
                    }
                }
            }
        };
        let delay = progress.delay;
        dispatcher.send(Message::AttemptEnded { assignments: attempt.assignments, progress, obstacle });
        if let Some(delay) = delay {
            // A revocation ends the wait: records that are no longer ours are dropped before the next attempt.
            let _ = timeout(delay, interrupts.changed()).await;
        }
        let remaining = delivery.assignments();
        if remaining.is_empty() {
            break;
        }
        permitted = dispatcher.ask_for_attempt(remaining).await;
        delivery.retain(|assignment| permitted.contains(&assignment));
    }
    dispatcher.send(Message::BatchEnded);
}

/// An attempt to make progress with a batch.
struct Attempt {
    assignments: Vec<Assignment>,
    n_records: usize,
    event: Bytes,
    work: Work,
}

enum Work {
    Invoke,
    Discard { condition: Condition, n_invoked: u32 },
}

/// How discarding ended.
enum Discarding {
    /// The records may be passed over.
    Done(Safekeeping),
    /// The destination did not take them.
    Refused(Obstacle),
}

impl Attempt {
    fn discarded(&self, discarded: &Discarded<'_>) -> DiscardedRecords {
        let last =
            discarded.parts.last().and_then(|part| Some((part.partition(), part.records.last()?.offset)));
        DiscardedRecords {
            condition: discarded.condition,
            n_records: u64::try_from(self.n_records).unwrap_or(u64::MAX),
            // There is one: no batch is empty.
            last: last.unwrap_or_default(),
            n_bytes: self.event.len(),
        }
    }
}

impl Dispatcher {
    /// Prepares the next attempt with the rest of the batch. All its assignments are `permitted`.
    fn begin(&self, delivery: &mut Delivery, permitted: &[Assignment]) -> Option<Attempt> {
        let work = match delivery.next(&self.shape, now_ms()) {
            Step::Done => return None,
            Step::Invoke => Work::Invoke,
            Step::Discard { condition, n_invoked } => Work::Discard { condition, n_invoked },
        };
        let parts = delivery.current();
        let attempt = Attempt {
            assignments: assignments(parts),
            n_records: n_records(parts),
            event: Bytes::from(self.shape.event(parts)),
            work,
        };
        let without: Vec<Assignment> =
            permitted.iter().copied().filter(|it| !attempt.assignments.contains(it)).collect();
        if !without.is_empty() {
            self.send(Message::AttemptWithout(without));
        }
        Some(attempt)
    }

    /// Asks the consumer thread which of `assignments` may still be delivered. None if it has ended.
    async fn ask_for_attempt(&self, assignments: Vec<Assignment>) -> Vec<Assignment> {
        let (permit, permitted) = oneshot::channel();
        self.send(Message::AttemptWanted { assignments, permit });
        permitted.await.unwrap_or_default()
    }

    fn send(&self, message: Message) {
        // The consumer thread ends before its deliveries only if it panics. The poller then starts again.
        let _ = self.mailbox.send(message);
    }

    async fn invoke(
        &self,
        attempt: &Attempt,
        parts: &[PartitionRecords],
        last: &mut Option<LastInvocation>,
    ) -> (Outcome, Option<Obstacle>) {
        let Mapping { uuid, function_arn, .. } = self.mapping.as_ref();
        let started = Instant::now();
        let invocation = match lambda::invoke(&self.aws, function_arn, attempt.event.clone()).await {
            Ok(invocation) => invocation,
            Err(error) => {
                let obstacle = obstacles::not_invoked(self.function(), &error);
                let error = with_causes(&error);
                warn!(mapping = %uuid, function = %function_arn, error, "function not invoked, retrying");
                return (Outcome::NotInvoked, Some(obstacle));
            }
        };
        let (outcome, obstacle) = self.outcome(&invocation, parts);
        debug!(
            mapping = %uuid,
            offsets = ?Offsets(parts),
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
        (outcome, obstacle)
    }

    /// The function's name, with its alias or version.
    fn function(&self) -> &str {
        self.mapping.function_arn.splitn(7, ':').last().unwrap_or_default()
    }

    fn outcome(&self, invocation: &Invocation, parts: &[PartitionRecords]) -> (Outcome, Option<Obstacle>) {
        let Mapping { uuid, topic, batch_failures, .. } = self.mapping.as_ref();
        let offsets = Offsets(parts);
        let request_id = &invocation.request_id;
        if let Some(function_error) = &invocation.function_error {
            let payload = invocation.payload.get(..1_000).unwrap_or(&invocation.payload);
            let response = String::from_utf8_lossy(payload);
            warn!(mapping = %uuid, ?offsets, %request_id, function_error, %response, "function failed");
            return (Outcome::Failed, Some(obstacles::failed(self.function(), function_error, &response)));
        }
        if *batch_failures == BatchFailures::Ignored {
            return (Outcome::Succeeded, None);
        }
        match response::failures(&invocation.payload, topic, parts) {
            Ok(failures) if failures.is_empty() => (Outcome::Succeeded, None),
            Ok(failures) => {
                let n_failures = failures.len();
                warn!(mapping = %uuid, ?offsets, %request_id, n_failures, "function reported failed records");
                (Outcome::Partial(failures), Some(obstacles::reported(self.function(), n_failures)))
            }
            Err(error) => {
                let error = with_causes(&error);
                warn!(mapping = %uuid, ?offsets, %request_id, error, "whole batch counts as failed");
                (Outcome::Failed, Some(obstacles::malformed(self.function(), &error)))
            }
        }
    }

    /// Sends discarded records to the destination. Without one they are lost.
    async fn discard(&self, discarded: &Discarded<'_>) -> Discarding {
        let Mapping { uuid: mapping, topic, .. } = self.mapping.as_ref();
        let offsets = Offsets(discarded.parts);
        let condition = discarded.condition.name();
        let n_invoked = discarded.n_invoked;
        let destination = self.destination.as_ref();
        let Some(destination) = destination else {
            let n_bytes = discarded.event.len();
            error!(
                %mapping, %topic, ?offsets, condition, n_invoked, n_bytes, n_bytes_allowed = MAX_PAYLOAD,
                "records are lost: discarded, and the mapping has no destination"
            );
            return Discarding::Done(Safekeeping::Lost);
        };
        match destination.send(discarded, now_ms()).await {
            Ok(()) => {
                warn!(%mapping, %topic, ?offsets, condition, n_invoked, "records sent to the on-failure destination");
                Discarding::Done(Safekeeping::AtDestination)
            }
            Err(error) => {
                let obstacle = obstacles::refused(&error);
                let error = with_causes(&error);
                error!(%mapping, %topic, ?offsets, condition, error, "on-failure destination did not take the records, retrying");
                Discarding::Refused(obstacle)
            }
        }
    }
}

fn assignments(parts: &[PartitionRecords]) -> Vec<Assignment> {
    parts.iter().map(|part| part.assignment).collect()
}

/// Shows partitions with their first and last offset.
struct Offsets<'a>(&'a [PartitionRecords]);

impl fmt::Debug for Offsets<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let range =
            |part: &PartitionRecords| Some((part.records.first()?.offset, part.records.last()?.offset));
        let ranges = self.0.iter().filter_map(|part| Some((part.partition(), range(part)?)));
        formatter
            .debug_map()
            .entries(ranges.map(|(partition, (first, last))| (partition, first..=last)))
            .finish()
    }
}

fn now_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}
