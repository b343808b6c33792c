//! The Kafka side of one mapping: a thread that owns the client and the consumer's state.
//!
//! Nothing else changes that state. librdkafka's callbacks, the broker calls, the deliveries and the poller send the
//! thread messages (`mailbox.rs`); `consumer_state.rs` decides what follows. Each assigned partition has its own queue in
//! the client, read only while the buffer has room for that partition: a slow one holds up no other, and memory is
//! bounded. The thread never waits for the broker or the function, so it keeps polling the client, and neither a long
//! invocation nor a retry costs the group membership.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::{mpsc, watch};
use tracing::{debug, error, info, warn};

use crate::action::{Action, BrokerCall, CallOutcome, Warning};
use crate::activity::{Activity, Filtering};
use crate::broker_calls;
use crate::callbacks::Callbacks;
use crate::consumer_state::ConsumerState;
use crate::intake::{Intake, TakenIn};
use crate::mailbox::{Mailbox, Message};
use crate::mapping::Mapping;
use crate::obstacles;
use crate::record::PartitionRecords;
use crate::repeated_error::RepeatedError;
use crate::stall::Stall;
use crate::status::PartitionStatus;

/// How long the thread waits at most before it polls again.
const IDLE_WAIT: Duration = Duration::from_millis(100);
/// Records read from one partition before the others have their turn. Few, since messages wait for all of them.
const RECORDS_PER_TURN: usize = 100;
/// How often the status is published while records arrive without a pause.
const STATUS_INTERVAL: Duration = Duration::from_millis(100);
const TOPIC_ID_UNKNOWN: &str = "the topic's id is unknown, so a topic that is deleted and created again is not noticed: \
    the brokers have no topic ids (before Kafka 2.8), or the Kafka client logs them in other words";

/// What the thread works with.
#[derive(Debug)]
pub struct ConsumerThread {
    /// The mapping.
    pub mapping: Arc<Mapping>,
    /// Counts records and publishes the status.
    pub activity: Arc<Activity>,
    /// Decodes records and decides which of them the function gets.
    pub intake: Intake,
    /// The state, without partitions.
    pub state: ConsumerState,
    /// The messages.
    pub inbox: Receiver<Message>,
    /// Sends them.
    pub mailbox: Mailbox,
    /// Takes batches to be delivered.
    pub batches: mpsc::UnboundedSender<Vec<PartitionRecords>>,
    /// Interrupts the waits between a delivery's attempts.
    pub interrupts: watch::Sender<()>,
}

type Client = BaseConsumer<Callbacks>;
type Queues = BTreeMap<i32, PartitionQueue<Callbacks>>;

/// Whether the thread goes on.
enum Flow {
    Continue { has_acted: bool },
    End,
}

/// What a partition's queue has left after its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum QueueRest {
    Empty,
    /// There may be records, but none can be read now.
    Unknown,
    More,
}

/// What a turn of all partitions brought.
struct Turn {
    n_received: usize,
    rest: QueueRest,
}

/// Reads the mapping's topic until it is stopped; then commits and leaves the group.
///
/// # Errors
/// When the client can't be made or can't go on.
pub fn run(thread: ConsumerThread, config: &ClientConfig) -> KafkaResult<()> {
    let callbacks = Callbacks::new(Arc::clone(&thread.mapping), thread.mailbox.clone());
    let mut client: Client = config.create_with_context(callbacks)?;
    let mailbox = thread.mailbox.clone();
    client.set_nonempty_callback(move || mailbox.notify_readable());
    let client = Arc::new(client);
    client.subscribe(&[&thread.mapping.topic])?;

    let (mapping, mailbox) = (Arc::clone(&thread.mapping), thread.mailbox.clone());
    let (calls, pending_calls) = channel();
    // Nobody takes messages after `serve`: the client is closed without the thread, and the group left, when it is
    // dropped. The queues, which hold the client, are gone by then.
    thread::scope(|scope| {
        let client = &client;
        scope.spawn(move || broker_calls::run(client, &mapping, pending_calls, &mailbox));
        thread.serve(client, calls)
    })
}

impl ConsumerThread {
    fn serve(mut self, client: &Arc<Client>, calls: Sender<BrokerCall>) -> KafkaResult<()> {
        let mut queues = Queues::new();
        let mut errors = RepeatedError::default();
        let mut published = Published::default();
        let mut ended = Ok(());
        loop {
            self.mailbox.acknowledge_readable();
            self.state.begin_turn();
            if let Err(fatal) = self.poll_events(client) {
                ended = Err(fatal);
                self.state.stop();
            }
            while let Ok(message) = self.inbox.try_recv() {
                self.handle(message, &mut errors);
            }
            let Flow::Continue { has_acted } = self.act(client, &mut queues, &calls) else {
                self.activity.set_partitions(Vec::new());
                self.activity.set_stalls(Vec::new());
                return ended;
            };
            let turn = self.read_turn(&queues);
            if turn.rest == QueueRest::Empty {
                self.state.all_read();
            }
            let is_busy = has_acted || turn.n_received > 0;
            published.update(&mut self.state, &self.activity, &self.mapping, is_busy);
            if !is_busy {
                let now = Instant::now();
                let wake_at = self.state.wake_at(now).map_or(IDLE_WAIT, |at| at.duration_since(now));
                if let Ok(message) = self.inbox.recv_timeout(wake_at.min(IDLE_WAIT)) {
                    self.handle(message, &mut errors);
                }
            }
        }
    }

    /// Serves the client's events, which become messages.
    fn poll_events(&mut self, client: &Client) -> KafkaResult<()> {
        loop {
            let n_events = client.context().n_events();
            match client.poll(Duration::ZERO) {
                // A poll that served an event returns the same as a poll of an empty queue.
                None if client.context().n_events() != n_events => {}
                None => return Ok(()),
                // Fetched before the partition's own queue was split off.
                Some(Ok(message)) => self.take_in(&message),
                Some(Err(KafkaError::PartitionEOF(_))) => {}
                Some(Err(fatal @ KafkaError::MessageConsumptionFatal(_))) => return Err(fatal),
                Some(Err(error)) => {
                    // The error callback reported it too, and that is logged as a warning.
                    let Mapping { uuid, topic, .. } = self.mapping.as_ref();
                    debug!(mapping = %uuid, %topic, %error, "reading from Kafka failed, retrying");
                    self.hindered_by(&error, "");
                }
            }
        }
    }

    fn handle(&mut self, message: Message, errors: &mut RepeatedError) {
        let (mapping, topic) = (&self.mapping.uuid, &self.mapping.topic);
        let now = Instant::now();
        match message {
            Message::Readable => {}
            Message::Rebalance(rebalance) => self.state.rebalance(rebalance),
            Message::ClientError { error, reason } => {
                if errors.is_due(&error.to_string(), now) {
                    warn!(%mapping, %error, reason, "Kafka client");
                } else {
                    debug!(%mapping, %error, reason, "Kafka client");
                }
                self.hindered_by(&error, &reason);
            }
            Message::TopicId(id) => {
                self.state.topic_id_seen(id);
                self.activity.set_warning(None);
            }
            Message::Ends(ends) => self.state.ends(&ends),
            Message::LookedUp(positions) => self.state.looked_up(positions, now),
            Message::Committed(result) => {
                if let Err(error) = &result {
                    warn!(%mapping, %error, "offsets could not be committed, retrying");
                    self.state.commit_hindered(&obstacles::not_committed(error));
                }
                let outcome = if result.is_ok() { CallOutcome::Done } else { CallOutcome::Failed };
                self.state.committed(outcome, now);
            }
            Message::Rewound(result) => {
                match &result {
                    Ok(_) => {
                        info!(%mapping, %topic, "the topic was created again, reading it from its beginning")
                    }
                    Err(error) => {
                        warn!(%mapping, %topic, %error, "reading of the new topic could not start, retrying");
                    }
                }
                self.state.rewound(result.ok(), now);
            }
            Message::AttemptWanted { assignments, permit } => {
                // A delivery that was aborted makes no attempt.
                let _ = permit.send(self.state.permit_attempt(&assignments));
            }
            Message::AttemptWithout(assignments) => self.state.attempt_without(&assignments),
            Message::AttemptEnded { assignments, progress, obstacle } => {
                if let Some(obstacle) = obstacle {
                    self.state.hindered(&assignments, &obstacle);
                }
                self.state.attempt_ended(&assignments, &progress);
            }
            Message::BatchEnded => self.state.batch_ended(),
            Message::Schema { id, lookup } => {
                for (partition, offset, taken) in self.intake.learn(id, lookup) {
                    self.keep(partition, offset, taken);
                }
            }
            Message::Stop => self.state.stop(),
        }
    }

    fn hindered_by(&mut self, error: &KafkaError, reason: &str) {
        let (problem, obstacle) = obstacles::client(error, reason);
        self.state.client_hindered(problem, obstacle, Instant::now());
    }

    /// Carries out what follows from the messages.
    fn act(&mut self, client: &Arc<Client>, queues: &mut Queues, calls: &Sender<BrokerCall>) -> Flow {
        let mut has_acted = false;
        while let Some(action) = self.state.next(Instant::now()) {
            has_acted = true;
            match action {
                Action::Call(call) => {
                    calls.send(call).expect("the thread of broker calls outlives this loop")
                }
                Action::Assign(starts) => self.assign(client, queues, &starts),
                Action::Unassign(partitions) => self.unassign(client, queues, &partitions),
                Action::Deliver(batch) => {
                    if self.batches.send(batch).is_err() {
                        error!(mapping = %self.mapping.uuid, "a batch can't be delivered: the dispatcher has ended");
                    }
                }
                Action::InterruptWaits => self.interrupts.send_replace(()),
                Action::Warn(warning) => self.warn(&warning),
                Action::End(partitions) => {
                    if !partitions.is_empty() {
                        self.log_given_back(&partitions);
                    }
                    return Flow::End;
                }
            }
        }
        Flow::Continue { has_acted }
    }

    fn assign(&mut self, client: &Arc<Client>, queues: &mut Queues, starts: &[(i32, Option<i64>)]) {
        let Mapping { uuid, topic, .. } = self.mapping.as_ref();
        let mut list = TopicPartitionList::with_capacity(starts.len());
        self.intake.forget(starts.iter().map(|(partition, _)| *partition));
        for (partition, start) in starts {
            let mut element = list.add_partition(topic, *partition);
            if let Some(offset) = start
                && let Err(error) = element.set_offset(Offset::Offset(*offset))
            {
                error!(mapping = %uuid, %error, "the starting position was refused");
            }
            // Before the client fetches, so that no record of the partition gets into the client's common queue.
            let Some(mut queue) = client.split_partition_queue(topic, *partition) else {
                error!(mapping = %uuid, %topic, partition, "partition has no queue");
                continue;
            };
            let mailbox = self.mailbox.clone();
            queue.set_nonempty_callback(move || mailbox.notify_readable());
            queues.insert(*partition, queue);
        }
        if let Err(error) = client.incremental_assign(&list) {
            warn!(mapping = %uuid, %error, "rebalance failed");
        }
        let partitions: Vec<i32> = starts.iter().map(|(partition, _)| *partition).collect();
        info!(mapping = %uuid, %topic, ?partitions, "partitions assigned");
    }

    fn unassign(&mut self, client: &Client, queues: &mut Queues, partitions: &[i32]) {
        self.intake.forget(partitions.iter().copied());
        let Mapping { uuid, topic, .. } = self.mapping.as_ref();
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            list.add_partition(topic, *partition);
            queues.remove(partition);
        }
        if let Err(error) = client.incremental_unassign(&list) {
            warn!(mapping = %uuid, %error, "rebalance failed");
        }
        self.log_given_back(partitions);
    }

    fn log_given_back(&self, partitions: &[i32]) {
        info!(mapping = %self.mapping.uuid, topic = %self.mapping.topic, ?partitions, "partitions given back");
    }

    fn warn(&self, warning: &Warning) {
        let mapping = &self.mapping.uuid;
        match warning {
            Warning::AttemptStillRuns(partitions) => {
                warn!(%mapping, ?partitions, "partitions are given back while an invocation still runs");
            }
            Warning::PartitionsLost(partitions) => {
                warn!(%mapping, ?partitions, "partitions were lost; their last records may come twice");
            }
            Warning::LastOffsetsNotCommitted(partitions) => {
                warn!(%mapping, ?partitions, "last offsets not committed; some records may come twice");
            }
            Warning::TopicIdUnknown => {
                warn!(%mapping, topic = %self.mapping.topic, "{TOPIC_ID_UNKNOWN}");
                self.activity.set_warning(Some(TOPIC_ID_UNKNOWN));
            }
        }
    }

    /// Reads what the partitions' queues have, as far as there is room.
    fn read_turn(&mut self, queues: &Queues) -> Turn {
        let mut turn = Turn { n_received: 0, rest: QueueRest::Empty };
        for (partition, queue) in queues {
            let (n_received, rest) = self.read_queue(*partition, queue);
            turn.n_received += n_received;
            turn.rest = turn.rest.max(rest);
        }
        turn
    }

    fn read_queue(&mut self, partition: i32, queue: &PartitionQueue<Callbacks>) -> (usize, QueueRest) {
        for n_received in 0..RECORDS_PER_TURN {
            if self.intake.waits(partition) || !self.state.has_room(partition) {
                return (n_received, QueueRest::Unknown);
            }
            match queue.poll(Duration::ZERO) {
                None => {
                    self.state.queue_empty(partition);
                    return (n_received, QueueRest::Empty);
                }
                Some(Ok(message)) => self.take_in(&message),
                Some(Err(KafkaError::PartitionEOF(_))) => self.state.end_reached(partition),
                Some(Err(error)) => {
                    let Mapping { uuid, topic, .. } = self.mapping.as_ref();
                    warn!(mapping = %uuid, %topic, partition, %error, "reading from Kafka failed, retrying");
                    self.hindered_by(&error, "");
                    return (n_received, QueueRest::Unknown);
                }
            }
        }
        (RECORDS_PER_TURN, QueueRest::More)
    }

    fn take_in(&mut self, message: &BorrowedMessage<'_>) {
        if let Some(taken) = self.intake.take(message) {
            self.keep(message.partition(), message.offset(), taken);
        }
    }

    fn keep(&mut self, partition: i32, offset: i64, taken: TakenIn) {
        let record = match taken {
            TakenIn::Dropped => {
                self.activity.received(Filtering::Dropped);
                self.state.skip(partition, offset);
                return;
            }
            TakenIn::Kept(record) => record,
            TakenIn::Rejected { record, reason } => {
                let Mapping { uuid, topic, .. } = self.mapping.as_ref();
                warn!(mapping = %uuid, %topic, partition, offset, reason, "a record does not pass the schema registry");
                record
            }
        };
        self.activity.received(Filtering::Passed);
        self.state.push(partition, record);
    }
}

/// The status that was published last.
#[derive(Default)]
struct Published {
    partitions: Vec<PartitionStatus>,
    stalls: Vec<Stall>,
    at: Option<Instant>,
}

impl Published {
    /// Publishes the status if it changed; while records arrive without a pause, only from time to time.
    fn update(&mut self, state: &mut ConsumerState, activity: &Activity, mapping: &Mapping, is_busy: bool) {
        let now = Instant::now();
        if is_busy && self.at.is_some_and(|at| now.duration_since(at) < STATUS_INTERVAL) {
            return;
        }
        self.at = Some(now);
        let partitions = state.partitions();
        let stalls = state.stalls(&partitions, now);
        if stalls != self.stalls {
            log_stalls(mapping, &self.stalls, &stalls, now);
            activity.set_stalls(stalls.clone());
            self.stalls = stalls;
        }
        if partitions != self.partitions {
            activity.set_partitions(partitions.clone());
            self.partitions = partitions;
        }
    }
}

/// Logs partitions that make no progress from now on, and that all move again.
fn log_stalls(mapping: &Mapping, before: &[Stall], after: &[Stall], now: Instant) {
    let Mapping { uuid, topic, .. } = mapping;
    for stall in after {
        let is_known = before
            .iter()
            .any(|known| known.partitions == stall.partitions && known.obstacle.fix == stall.obstacle.fix);
        if !is_known {
            let trouble = stall.trouble(now);
            warn!(mapping = %uuid, %topic, fix = trouble.fix, "{}", trouble.what);
        }
    }
    if after.is_empty() {
        info!(mapping = %uuid, %topic, "no partition is stalled any more");
    }
}
