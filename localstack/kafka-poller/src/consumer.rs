//! The Kafka side of one mapping: a thread that owns the consumer, fills the buffer and commits what is done.
//!
//! Each assigned partition has its own queue in the client, read only while the buffer has room for that partition:
//! one that is slow holds up no other, and memory is bounded. The consumer itself is polled all the while, so that a
//! long invocation or retry does not cost the group membership.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{ClientContext, Offset, Statistics, TopicPartitionList};
use tracing::{debug, error, info, warn};

use crate::batch::{Buffer, Record};
use crate::event::{RecordParts, encode_record};
use crate::filter::Filter;
use crate::mapping::Mapping;
use crate::offsets::{self, Positions};
use crate::status::{Activity, PartitionStatus};
use crate::topic_id::TopicId;
use crate::wake::Wake;

/// How long the thread waits at most before it looks at everything again.
const IDLE_WAIT: Duration = Duration::from_millis(100);
/// How long the consumer's queue must be without an event to count as empty.
const EMPTY_WAIT: Duration = Duration::from_millis(1);
/// How long a revoked partition's running invocation is waited for. After that its records are delivered again, by
/// the partition's next owner.
const REVOKE_WAIT: Duration = Duration::from_secs(60);
/// How long the same error is not warned of again: a broker that is down is told of every second.
const ERROR_SILENCE: Duration = Duration::from_secs(30);
/// How long the client may take to leave off fetching at one place and begin at another.
const SEEK_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait before a commit that failed is made again.
const COMMIT_DELAY: Duration = Duration::from_millis(500);
const LOOK_UP_ATTEMPTS: u32 = 3;
/// Records taken from one partition before the others have their turn.
const RECORDS_PER_TURN: usize = 500;

/// What the consumer thread and the dispatcher share.
#[derive(Debug)]
pub struct Shared {
    /// The mapping that is served.
    pub mapping: Mapping,
    /// What has been done for it.
    pub activity: Arc<Activity>,
    filter: Filter,
    /// The partitions' ends, as last heard.
    ends: Mutex<BTreeMap<i32, i64>>,
    buffer: Mutex<Buffer>,
    /// Wakes the consumer thread.
    pub consumer: Wake,
    /// Wakes the committing thread.
    pub committer: Wake,
    /// Wakes the dispatcher.
    pub dispatcher: tokio::sync::Notify,
    /// Tells running deliveries that partitions were given back.
    pub revoked: tokio::sync::watch::Sender<u64>,
    /// Wakes whoever waits for running invocations to end.
    pub quiet: Wake,
    /// Ends the consumer thread.
    pub ending: AtomicBool,
}

impl Shared {
    /// Makes the shared state of a mapping's poller.
    #[must_use]
    pub fn new(mapping: Mapping, activity: Arc<Activity>, filter: Filter, buffer: Buffer) -> Self {
        Self {
            mapping,
            activity,
            filter,
            ends: Mutex::default(),
            buffer: Mutex::new(buffer),
            consumer: Wake::default(),
            committer: Wake::default(),
            dispatcher: tokio::sync::Notify::new(),
            revoked: tokio::sync::watch::Sender::new(0),
            quiet: Wake::default(),
            ending: AtomicBool::new(false),
        }
    }

    /// Locks the buffer. It is never held over IO.
    pub fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of the partitions that are assigned.
    #[must_use]
    pub fn partitions(&self) -> Vec<PartitionStatus> {
        let mut partitions: Vec<PartitionStatus> = self.buffer().status().collect();
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        for partition in &mut partitions {
            partition.end = ends.get(&partition.partition).copied();
        }
        partitions
    }
}

/// Reads the mapping's topic until it is told to end; then commits and leaves the group.
///
/// # Errors
/// When the client can't be made or can't go on.
pub fn run(shared: &Arc<Shared>, config: &ClientConfig) -> KafkaResult<()> {
    let context = Context {
        shared: Arc::clone(shared),
        changes: Mutex::default(),
        topic_id: Mutex::default(),
        n_initial: AtomicI32::new(0),
        last_error: Mutex::default(),
        committing: Mutex::default(),
    };
    let mut consumer: BaseConsumer<Context> = config.create_with_context(context)?;
    let wake = Arc::clone(shared);
    consumer.set_nonempty_callback(move || wake.consumer.notify());
    let consumer = Arc::new(consumer);
    consumer.subscribe(&[&shared.mapping.topic])?;

    let mut queues = BTreeMap::new();
    let ended = thread::scope(|scope| {
        scope.spawn(|| keep_committing(shared, &consumer));
        let ended = serve(shared, &consumer, &mut queues);
        shared.ending.store(true, Ordering::Release);
        shared.committer.notify();
        ended
    });
    // The queues hold the consumer: it is closed, and the group left, when the last of them is gone.
    let assigned: Vec<i32> = shared.buffer().assigned().collect();
    consumer.context().give_back(&consumer, &assigned);
    queues.clear();
    ended
}

fn serve(
    shared: &Arc<Shared>,
    consumer: &Arc<BaseConsumer<Context>>,
    queues: &mut BTreeMap<i32, PartitionQueue<Context>>,
) -> KafkaResult<()> {
    // The topic was made again, and all that was fetched of the old one has been taken in.
    let mut old_is_read = false;
    while !shared.ending.load(Ordering::Acquire) {
        poll_events(consumer)?;
        split_queues(consumer, queues);
        if old_is_read {
            old_is_read = !begin_anew(shared, consumer, queues);
            shared.consumer.wait(IDLE_WAIT);
            continue;
        }
        let mut received = false;
        let mut left = Left::Nothing;
        for (partition, queue) in queues.iter() {
            let (n_received, left_here) = fill(shared, *partition, queue);
            received |= n_received > 0;
            left = left.max(left_here);
        }
        if received {
            shared.dispatcher.notify_one();
        }
        old_is_read = left == Left::Nothing && consumer.context().topic_id().is_another();
        if left != Left::More && !old_is_read {
            shared.consumer.wait(IDLE_WAIT);
        }
    }
    Ok(())
}

/// Reads a topic that was made again from its beginning, once the old one's records are done; says whether it could.
/// Until then offsets are committed as the old topic's.
fn begin_anew(
    shared: &Shared,
    consumer: &BaseConsumer<Context>,
    queues: &BTreeMap<i32, PartitionQueue<Context>>,
) -> bool {
    let (context, topic) = (consumer.context(), &shared.mapping.topic);
    if !shared.buffer().is_empty() {
        return false;
    }
    // No offset is committed as another topic's than it is of.
    let _no_commit = context.committing.lock().unwrap_or_else(PoisonError::into_inner);
    for partition in queues.keys().copied() {
        let sought = consumer.fetch_watermarks(topic, partition, SEEK_TIMEOUT).and_then(|(oldest, _)| {
            consumer.seek(topic, partition, Offset::Offset(oldest), SEEK_TIMEOUT)?;
            shared.buffer().rewind(partition, oldest);
            Ok(())
        });
        if let Err(error) = sought {
            warn!(mapping = %shared.mapping.uuid, %topic, partition, %error, "the new topic is not begun, trying on");
            return false;
        }
    }
    info!(mapping = %shared.mapping.uuid, %topic, "the topic was made again, reading it from its beginning");
    context.topic_id().follow();
    shared.committer.notify();
    true
}

/// Serves rebalances, commits and errors.
fn poll_events(consumer: &Arc<BaseConsumer<Context>>) -> KafkaResult<()> {
    loop {
        let asked = Instant::now();
        match consumer.poll(EMPTY_WAIT) {
            // A served event looks like an empty queue, but does not take as long.
            None if asked.elapsed() < EMPTY_WAIT => {}
            None => return Ok(()),
            // Fetched before the partition's own queue was split off.
            Some(Ok(message)) => take_in(&consumer.context().shared, &message),
            Some(Err(fatal @ KafkaError::MessageConsumptionFatal(_))) => return Err(fatal),
            Some(Err(error)) => {
                let mapping = &consumer.context().shared.mapping;
                // It was told to the context already, which warns of it.
                debug!(mapping = %mapping.uuid, topic = %mapping.topic, %error, "reading from Kafka failed, trying on");
            }
        }
    }
}

/// Follows the assignment with the partitions' queues.
fn split_queues(consumer: &Arc<BaseConsumer<Context>>, queues: &mut BTreeMap<i32, PartitionQueue<Context>>) {
    let context = consumer.context();
    let changes = std::mem::take(&mut *context.changes.lock().unwrap_or_else(PoisonError::into_inner));
    for change in changes {
        match change {
            Change::Assigned(partition) => {
                let Some(mut queue) =
                    consumer.split_partition_queue(&context.shared.mapping.topic, partition)
                else {
                    error!(topic = %context.shared.mapping.topic, partition, "partition has no queue");
                    continue;
                };
                let wake = Arc::clone(&context.shared);
                queue.set_nonempty_callback(move || wake.consumer.notify());
                queues.insert(partition, queue);
            }
            Change::Revoked(partition) => {
                queues.remove(&partition);
            }
        }
    }
}

/// What a partition's queue has left after its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Left {
    Nothing,
    /// Perhaps something, but it can't be taken for now.
    Unknown,
    More,
}

/// Takes records in while there is room; says how many, and what is left.
fn fill(shared: &Shared, partition: i32, queue: &PartitionQueue<Context>) -> (usize, Left) {
    for n_received in 0..RECORDS_PER_TURN {
        if !shared.buffer().has_room(partition) {
            return (n_received, Left::Unknown);
        }
        match queue.poll(Duration::ZERO) {
            None => return (n_received, Left::Nothing),
            Some(Ok(message)) => take_in(shared, &message),
            Some(Err(error)) => {
                let topic = &shared.mapping.topic;
                warn!(mapping = %shared.mapping.uuid, %topic, partition, %error, "reading from Kafka failed, trying on");
                return (n_received, Left::Unknown);
            }
        }
    }
    (RECORDS_PER_TURN, Left::More)
}

fn take_in(shared: &Shared, message: &BorrowedMessage<'_>) {
    let passes = shared.filter.passes(message);
    shared.activity.received(!passes);
    if !passes {
        shared.buffer().skip(message.partition(), message.offset());
        return;
    }
    let record = Record {
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
        received: Instant::now(),
        json: encode(message),
    };
    shared.buffer().push(message.partition(), record);
}

/// Writes a consumed record as it stands in the event.
fn encode(message: &BorrowedMessage<'_>) -> Box<[u8]> {
    let headers = message.headers();
    let n_headers = headers.map_or(0, Headers::count);
    encode_record(RecordParts {
        topic: message.topic(),
        partition: message.partition(),
        offset: message.offset(),
        timestamp: message.timestamp(),
        key: message.key(),
        value: message.payload(),
        headers: (0..n_headers).filter_map(|place| {
            let headers = headers?;
            // rdkafka 0.39 panics on a header name that is not UTF-8; one such record must not end the consumer.
            let header = catch_unwind(AssertUnwindSafe(|| headers.get(place)));
            if header.is_err() {
                let (partition, offset) = (message.partition(), message.offset());
                warn!(topic = %message.topic(), partition, offset, "a header whose name is not UTF-8 is left out");
            }
            header.ok().map(|header| (header.key, header.value))
        }),
    })
}

/// Commits what is done, until the consumer ends. A commit waits for the broker, so it has a thread of its own.
fn keep_committing(shared: &Shared, consumer: &BaseConsumer<Context>) {
    while !shared.ending.load(Ordering::Acquire) {
        shared.committer.wait(IDLE_WAIT);
        if let Err(error) = consumer.context().commit(consumer, |_| true) {
            warn!(mapping = %shared.mapping.uuid, %error, "offsets could not be committed, trying on");
            thread::sleep(COMMIT_DELAY);
        }
    }
}

enum Change {
    Assigned(i32),
    Revoked(i32),
}

/// What the client calls back.
struct Context {
    shared: Arc<Shared>,
    /// Assignments and revocations whose queues are not yet seen to.
    changes: Mutex<Vec<Change>>,
    topic_id: Mutex<TopicId>,
    n_initial: AtomicI32,
    /// The last error that was warned of, and when.
    last_error: Mutex<Option<(String, Instant)>>,
    /// Held over a commit, so that none overtakes a later one.
    committing: Mutex<()>,
}

impl Context {
    fn topic_id(&self) -> MutexGuard<'_, TopicId> {
        self.topic_id.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commits the positions of those partitions for which `of` is true, where they have moved.
    fn commit(&self, consumer: &BaseConsumer<Self>, of: impl Fn(i32) -> bool) -> KafkaResult<()> {
        let _one_at_a_time = self.committing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut positions = self.shared.buffer().to_commit();
        positions.retain(|(partition, _)| of(*partition));
        if positions.is_empty() {
            return Ok(());
        }
        let n_initial = self.n_initial.load(Ordering::Relaxed);
        let list = {
            let topic_id = self.topic_id();
            offsets::commit_list(&self.shared.mapping.topic, n_initial, topic_id.followed(), &positions)?
        };
        consumer.commit(&list, CommitMode::Sync)?;
        debug!(mapping = %self.shared.mapping.uuid, ?positions, "offsets committed");
        let mut buffer = self.shared.buffer();
        for (partition, position) in positions {
            buffer.set_committed(partition, position);
        }
        Ok(())
    }

    fn partitions(&self, list: &TopicPartitionList) -> Vec<i32> {
        list.elements_for_topic(&self.shared.mapping.topic)
            .iter()
            .map(|element| element.partition())
            .collect()
    }

    fn take_over(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let assigned = self.partitions(list);
        // A consumer that is being closed may still be given partitions, but is no longer answered.
        if assigned.is_empty() || self.shared.ending.load(Ordering::Acquire) {
            return;
        }
        let positions = self.look_up(consumer, &assigned);
        let mapping = &self.shared.mapping;
        info!(mapping = %mapping.uuid, topic = %mapping.topic, partitions = ?assigned, "partitions assigned");
        {
            let mut buffer = self.shared.buffer();
            for partition in &assigned {
                let Some(positions) = &positions else {
                    buffer.assign(*partition, -1);
                    continue;
                };
                match (positions.committed.get(partition), positions.begun.get(partition)) {
                    (Some(offset), _) => {
                        buffer.assign(*partition, *offset);
                        buffer.set_committed(*partition, *offset);
                    }
                    // Committed at once, so that a restart finds the same beginning.
                    (None, Some(offset)) => buffer.assign(*partition, *offset),
                    (None, None) => buffer.assign(*partition, -1),
                }
            }
        }
        let begun = positions.map(|positions| positions.begun).unwrap_or_default();
        for mut element in list.elements() {
            if let Some(offset) = begun.get(&element.partition())
                && let Err(error) = element.set_offset(Offset::Offset(*offset))
            {
                error!(mapping = %mapping.uuid, %error, "the starting position was refused");
            }
        }
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        changes.extend(assigned.into_iter().map(Change::Assigned));
    }

    fn look_up(&self, consumer: &BaseConsumer<Self>, assigned: &[i32]) -> Option<Positions> {
        let mapping = &self.shared.mapping;
        for attempt in 1..=LOOK_UP_ATTEMPTS {
            match offsets::look_up(consumer, &mapping.topic, mapping.starting_position, assigned) {
                Ok(mut positions) => {
                    self.topic_id().begin(positions.topic_id.take());
                    self.n_initial.store(positions.n_initial, Ordering::Relaxed);
                    return Some(positions);
                }
                Err(error) => {
                    warn!(mapping = %mapping.uuid, attempt, %error, "starting offsets could not be looked up");
                }
            }
        }
        // The client then goes by the committed offsets itself, and without them from the oldest record on.
        None
    }

    /// Waits for running invocations with records of `partitions`, commits what is done, and forgets them.
    fn give_back(&self, consumer: &BaseConsumer<Self>, partitions: &[i32]) {
        let mut ours: Vec<i32> = self.shared.buffer().assigned().collect();
        ours.retain(|partition| partitions.contains(partition));
        if ours.is_empty() {
            return;
        }
        let (partitions, mapping) = (ours.as_slice(), &self.shared.mapping);
        {
            let mut buffer = self.shared.buffer();
            partitions.iter().for_each(|partition| buffer.begin_revoke(*partition));
        }
        self.shared.revoked.send_modify(|n_revocations| *n_revocations += 1);
        let deadline = Instant::now() + REVOKE_WAIT;
        while self.shared.buffer().invoking(partitions) {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                warn!(mapping = %mapping.uuid, ?partitions, "partitions are given back while an invocation still runs");
                break;
            };
            self.shared.quiet.wait(left.min(IDLE_WAIT));
        }
        if consumer.assignment_lost() {
            warn!(mapping = %mapping.uuid, ?partitions, "partitions were lost; their last records may come twice");
        } else if let Err(error) = self.commit(consumer, |partition| partitions.contains(&partition)) {
            warn!(mapping = %mapping.uuid, %error, "last offsets not committed; some records may come twice");
        }
        let mut buffer = self.shared.buffer();
        partitions.iter().for_each(|partition| buffer.remove(*partition));
        drop(buffer);
        info!(mapping = %mapping.uuid, topic = %mapping.topic, ?partitions, "partitions given back");
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let mapping = &self.shared.mapping.uuid;
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                error!(%mapping, facility, message, "Kafka client");
            }
            // The client calls a lost connection an error; it mends that by itself.
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => {
                warn!(%mapping, facility, message, "Kafka client")
            }
            _ => {
                self.topic_id().hear(&self.shared.mapping.topic, message);
                debug!(%mapping, facility, message, "Kafka client");
            }
        }
    }

    fn stats(&self, statistics: Statistics) {
        let Some(topic) = statistics.topics.get(&self.shared.mapping.topic) else { return };
        let mut ends = self.shared.ends.lock().unwrap_or_else(PoisonError::into_inner);
        for (partition, state) in &topic.partitions {
            // A consumer sees records up to the last stable offset, where the broker tells one.
            let end = if state.ls_offset >= 0 { state.ls_offset } else { state.hi_offset };
            if end >= 0 {
                ends.insert(*partition, end);
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let mapping = &self.shared.mapping.uuid;
        let text = error.to_string();
        let mut last = self.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref().is_some_and(|(last, told)| *last == text && told.elapsed() < ERROR_SILENCE) {
            debug!(%mapping, %error, reason, "Kafka client");
            return;
        }
        warn!(%mapping, %error, reason, "Kafka client");
        *last = Some((text, Instant::now()));
    }
}

impl ConsumerContext for Context {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) => self.take_over(consumer, list),
            Rebalance::Revoke(list) => {
                let partitions = self.partitions(list);
                self.give_back(consumer, &partitions);
                let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
                changes.extend(partitions.into_iter().map(Change::Revoked));
            }
            Rebalance::Error(error) => warn!(mapping = %self.shared.mapping.uuid, %error, "rebalance failed"),
        }
    }
}
