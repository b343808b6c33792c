//! Decides what the consumer of one mapping does next. Pure: Kafka, the deliveries and the clock are its caller's.
//!
//! The state belongs to the consumer thread (`consumer.rs`), which passes it each message and then carries out the
//! actions of [`ConsumerState::next`] until there is none. At most one [`BrokerCall`] runs at a time, so commits, look-ups
//! and seeks can't overtake each other. Rebalances are processed in order, one at a time.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::action::{Action, BrokerCall, CallOutcome, Warning};
use crate::batch::{Buffer, NextBatch};
use crate::delivery::Progress;
use crate::mailbox::Ends;
use crate::offsets::Positions;
use crate::passed_over::PassedOver;
use crate::rebalance::{Ownership, Rebalance};
use crate::record::{Assignment, EncodedRecord};
use crate::stall::{ClientProblem, Obstacle, Stall, Stalls};
use crate::status::PartitionStatus;
use crate::topic_id::TopicId;

/// How long a running attempt may delay the revocation of its partitions. After that the partitions' next owner delivers
/// the records again.
const REVOKE_WAIT: Duration = Duration::from_secs(60);
/// How long to wait after a failed commit.
const COMMIT_DELAY: Duration = Duration::from_millis(500);
/// How long the last commit before partitions are given up is repeated. While the members of a group join again, the broker
/// refuses commits for moments (`REBALANCE_IN_PROGRESS`, `ILLEGAL_GENERATION`).
const LAST_COMMIT_WAIT: Duration = Duration::from_secs(5);
/// How long to wait after a failed seek to the beginning of a recreated topic.
const REWIND_DELAY: Duration = Duration::from_millis(100);
/// How long after the first assignment the topic's id may be unknown. The client reads it with the metadata, every 5 s.
const TOPIC_ID_WAIT: Duration = Duration::from_secs(30);

/// The state of one mapping's consumer.
#[derive(Debug)]
pub struct ConsumerState {
    buffer: Buffer,
    topic_id: TopicId,
    /// How many partitions the topic had when the consumer group began.
    n_initial: i32,
    /// The partitions' end offsets, as last reported.
    ends: BTreeMap<i32, i64>,
    passed_over: PassedOver,
    stalls: Stalls,
    /// Rebalances that are not started.
    rebalances: VecDeque<Rebalance>,
    /// The rebalance that is in progress.
    rebalancing: Rebalancing,
    rewind: Rewind,
    call: Option<RunningCall>,
    commit_after: Option<Instant>,
    closing: Closing,
    topic_id_check: TopicIdCheck,
    /// When the next batch is due, if there are records for one.
    batch_due: Option<Instant>,
    /// Actions that follow from messages.
    due: VecDeque<Action>,
}

#[derive(Debug)]
enum Rebalancing {
    No,
    /// Where these partitions are read from is being looked up.
    Assigning(Vec<i32>),
    Revoking(Revocation),
}

#[derive(Debug)]
struct Revocation {
    /// All partitions that the client revokes.
    partitions: Vec<i32>,
    /// Those that are in the buffer.
    buffered: Vec<i32>,
    ownership: Ownership,
    /// When running attempts are no longer waited for.
    deadline: Instant,
    last_commit: LastCommit,
}

/// The commit before partitions are given up.
#[derive(Debug, Default)]
struct LastCommit {
    /// Set by the first attempt.
    give_up_at: Option<Instant>,
}

enum NextLastCommit {
    Commit,
    /// The last attempt failed a moment ago.
    Wait,
    GiveUp,
}

impl LastCommit {
    /// Decides what follows while there is something to commit.
    fn next(&mut self, commit_after: Option<Instant>, now: Instant) -> NextLastCommit {
        let give_up_at = *self.give_up_at.get_or_insert(now + LAST_COMMIT_WAIT);
        if now >= give_up_at {
            NextLastCommit::GiveUp
        } else if commit_after.is_some_and(|after| now < after) {
            NextLastCommit::Wait
        } else {
            NextLastCommit::Commit
        }
    }
}

/// Reading a recreated topic from its beginning.
#[derive(Debug)]
enum Rewind {
    No,
    /// What was read of the old topic is being delivered and committed; nothing is read. A failed seek sets a delay.
    Draining(Option<Instant>),
    Running,
}

/// The check that the topic's id became known, made once.
#[derive(Debug)]
enum TopicIdCheck {
    NotScheduled,
    At(Instant),
    Done,
}

#[derive(Debug)]
enum RunningCall {
    LookUp,
    Commit(Vec<(i32, i64)>),
    Rewind,
}

#[derive(Debug)]
enum Closing {
    No,
    /// Running batches end; no other is started.
    Draining(LastCommit),
    Ended,
}

impl ConsumerState {
    /// Makes the state of a consumer without partitions.
    #[must_use]
    pub fn new(buffer: Buffer, stalls: Stalls) -> Self {
        Self {
            buffer,
            topic_id: TopicId::default(),
            n_initial: 0,
            ends: BTreeMap::new(),
            passed_over: PassedOver::default(),
            stalls,
            rebalances: VecDeque::new(),
            rebalancing: Rebalancing::No,
            rewind: Rewind::No,
            call: None,
            commit_after: None,
            closing: Closing::No,
            topic_id_check: TopicIdCheck::NotScheduled,
            batch_due: None,
            due: VecDeque::new(),
        }
    }

    // Turns of the thread, and in each of them records, one by one.

    /// Begins a turn: messages are taken, then the queues are read.
    pub fn begin_turn(&mut self) {
        self.passed_over.begin_turn();
    }

    /// Whether another record of `partition` may be read.
    #[must_use]
    pub fn has_room(&self, partition: i32) -> bool {
        matches!(self.rewind, Rewind::No) && self.buffer.has_room(partition)
    }

    /// Adds a record that was read.
    pub fn push(&mut self, partition: i32, record: EncodedRecord) {
        self.stalls.client_works();
        self.buffer.push(partition, record);
    }

    /// Passes over a record that the filter dropped.
    pub fn skip(&mut self, partition: i32, offset: i64) {
        self.stalls.client_works();
        self.buffer.skip(partition, offset);
    }

    /// Records that the client reached a partition's end, and that all records before it have been read.
    pub fn end_reached(&mut self, partition: i32) {
        self.stalls.client_works();
        self.passed_over.end_reached(partition);
    }

    /// Records that everything that was fetched of a partition has been read.
    pub fn queue_empty(&mut self, partition: i32) {
        if let Some(position) = self.passed_over.queue_empty(partition)
            && matches!(self.rewind, Rewind::No)
        {
            self.buffer.pass(partition, position);
        }
    }

    /// Records that everything that was fetched has been read.
    pub fn all_read(&mut self) {
        if self.topic_id.is_another() && matches!(self.rewind, Rewind::No) && !self.is_closing() {
            self.rewind = Rewind::Draining(None);
        }
    }

    // Messages of the client.

    /// Takes a change of the assignment. It is acknowledged by [`Action::Assign`] or [`Action::Unassign`].
    pub fn rebalance(&mut self, rebalance: Rebalance) {
        self.rebalances.push_back(rebalance);
    }

    /// Takes the partitions' end offsets.
    pub fn ends(&mut self, ends: &BTreeMap<i32, Ends>) {
        for (partition, Ends { end, reached }) in ends {
            self.ends.insert(*partition, *end);
            self.passed_over.end_reported(*partition, *reached);
        }
    }

    /// Takes the topic's id as the brokers report it.
    pub fn topic_id_seen(&mut self, id: String) {
        self.topic_id.seen(id);
    }

    /// Takes an error of the client.
    pub fn client_hindered(&mut self, problem: ClientProblem, obstacle: Obstacle, now: Instant) {
        self.stalls.client_hindered(problem, obstacle, now);
    }

    // Results of broker calls.

    /// Takes why the commit fails that runs; [`ConsumerState::committed`] follows.
    pub fn commit_hindered(&mut self, obstacle: &Obstacle) {
        if let Some(RunningCall::Commit(positions)) = &self.call {
            for (partition, _) in positions {
                self.stalls.hindered(*partition, obstacle);
            }
        }
    }

    /// Takes the result of [`BrokerCall::LookUp`]. Without it the client follows the committed offsets itself and, where
    /// there is none, starts at the oldest record.
    pub fn looked_up(&mut self, positions: Option<Positions>, now: Instant) {
        self.call = None;
        let Rebalancing::Assigning(assigned) = std::mem::replace(&mut self.rebalancing, Rebalancing::No)
        else {
            return;
        };
        let mut starts = Vec::with_capacity(assigned.len());
        for partition in assigned {
            let committed = positions.as_ref().and_then(|it| it.committed.get(&partition).copied());
            let start = positions.as_ref().and_then(|it| it.starts.get(&partition).copied());
            self.buffer.assign(partition, committed.or(start).unwrap_or(-1));
            self.passed_over.forget(partition);
            if let Some(offset) = committed {
                self.buffer.set_committed(partition, offset);
            }
            // A starting position is committed at once, so that a restart finds the same one.
            starts.push((partition, start.filter(|_| committed.is_none())));
        }
        if let Some(positions) = positions {
            self.topic_id.begin(positions.topic_id);
            self.n_initial = positions.n_initial;
        }
        if matches!(self.topic_id_check, TopicIdCheck::NotScheduled) {
            self.topic_id_check = TopicIdCheck::At(now + TOPIC_ID_WAIT);
        }
        self.due.push_back(Action::Assign(starts));
    }

    /// Takes the result of [`BrokerCall::Commit`].
    pub fn committed(&mut self, outcome: CallOutcome, now: Instant) {
        let Some(RunningCall::Commit(positions)) = self.call.take() else { return };
        match outcome {
            CallOutcome::Done => {
                self.stalls.client_works();
                for (partition, position) in positions {
                    self.buffer.set_committed(partition, position);
                }
            }
            CallOutcome::Failed => self.commit_after = Some(now + COMMIT_DELAY),
        }
    }

    /// Takes the result of [`BrokerCall::Rewind`]: the offsets that the partitions are read from, if it succeeded.
    pub fn rewound(&mut self, positions: Option<Vec<(i32, i64)>>, now: Instant) {
        self.call = None;
        let Some(positions) = positions else {
            self.rewind = Rewind::Draining(Some(now + REWIND_DELAY));
            return;
        };
        for (partition, position) in positions {
            self.buffer.rewind(partition, position);
        }
        self.passed_over.forget_all();
        self.topic_id.follow();
        self.rewind = Rewind::No;
    }

    // Messages of deliveries.

    /// Takes a delivery's request for a further attempt. Returns those of its assignments that it may still deliver; the
    /// attempt counts as started with them.
    pub fn permit_attempt(&mut self, assignments: &[Assignment]) -> Vec<Assignment> {
        let held: Vec<Assignment> =
            assignments.iter().copied().filter(|assignment| self.buffer.holds(*assignment)).collect();
        self.buffer.begin_attempt(&held);
        held
    }

    /// Takes the assignments of which a running attempt has no records.
    pub fn attempt_without(&mut self, assignments: &[Assignment]) {
        self.buffer.end_attempt(assignments);
    }

    /// Takes what an attempt with records of `assignments` achieved.
    pub fn attempt_ended(&mut self, assignments: &[Assignment], progress: &Progress) {
        for (assignment, offset) in &progress.advanced {
            self.buffer.advance(*assignment, *offset);
        }
        for assignment in &progress.released {
            self.buffer.release(*assignment);
        }
        self.buffer.end_attempt(assignments);
    }

    /// Takes what kept an attempt with records of `assignments` from delivering all of them.
    pub fn hindered(&mut self, assignments: &[Assignment], obstacle: &Obstacle) {
        for assignment in assignments.iter().filter(|assignment| self.buffer.holds(**assignment)) {
            self.stalls.hindered(assignment.partition, obstacle);
        }
    }

    /// Takes the end of a batch.
    pub fn batch_ended(&mut self) {
        self.buffer.end_batch();
    }

    // The poller's message.

    /// Starts no batch from now on; ends when the running ones are done.
    pub fn stop(&mut self) {
        if matches!(self.closing, Closing::No) {
            self.closing = Closing::Draining(LastCommit::default());
            self.buffer.drain();
            self.due.push_back(Action::InterruptWaits);
        }
    }

    // What follows.

    /// Returns the next action at `now`, until there is none before another message or [`ConsumerState::wake_at`].
    pub fn next(&mut self, now: Instant) -> Option<Action> {
        if let Some(action) = self.due.pop_front() {
            return Some(action);
        }
        self.next_of_topic_id(now)
            .or_else(|| self.next_of_rebalance(now))
            .or_else(|| self.next_of_rewind(now))
            .or_else(|| self.next_commit(now))
            .or_else(|| self.next_batch(now))
            .or_else(|| self.next_of_closing(now))
    }

    /// When to call [`ConsumerState::next`] again even if no message arrives.
    #[must_use]
    pub fn wake_at(&self, now: Instant) -> Option<Instant> {
        let revocation = match &self.rebalancing {
            Rebalancing::Revoking(revocation) => Some(revocation.deadline),
            _ => None,
        };
        let rewind = match self.rewind {
            Rewind::Draining(after) => after,
            _ => None,
        };
        let topic_id_check = match self.topic_id_check {
            TopicIdCheck::At(at) => Some(at),
            _ => None,
        };
        [self.batch_due, revocation, rewind, self.commit_after, topic_id_check]
            .into_iter()
            .flatten()
            .filter(|at| *at > now)
            .min()
    }

    /// What is known of the assigned partitions.
    #[must_use]
    pub fn partitions(&self) -> Vec<PartitionStatus> {
        let end = |partition: &i32| self.ends.get(partition).copied();
        self.buffer.status().map(|status| PartitionStatus { end: end(&status.partition), ..status }).collect()
    }

    /// What makes no progress at `now`, with the partitions' status as [`ConsumerState::partitions`] has just returned it.
    pub fn stalls(&mut self, partitions: &[PartitionStatus], now: Instant) -> Vec<Stall> {
        self.stalls.watch(partitions, now);
        self.stalls.stalls(now)
    }

    /// Whether the topic's id is known.
    #[must_use]
    pub fn topic_id_is_known(&self) -> bool {
        self.topic_id.is_known()
    }

    fn is_closing(&self) -> bool {
        !matches!(self.closing, Closing::No)
    }

    fn next_of_topic_id(&mut self, now: Instant) -> Option<Action> {
        let TopicIdCheck::At(at) = self.topic_id_check else { return None };
        if now < at {
            return None;
        }
        self.topic_id_check = TopicIdCheck::Done;
        (!self.topic_id.is_known()).then_some(Action::Warn(Warning::TopicIdUnknown))
    }

    fn next_of_rebalance(&mut self, now: Instant) -> Option<Action> {
        match &self.rebalancing {
            Rebalancing::No if !matches!(self.rewind, Rewind::Running) => self.start_rebalance(now),
            Rebalancing::Revoking(_) => self.next_of_revocation(now),
            Rebalancing::No | Rebalancing::Assigning(_) => None,
        }
    }

    fn start_rebalance(&mut self, now: Instant) -> Option<Action> {
        match self.rebalances.pop_front()? {
            // The partitions come back as revoked when the client is closed.
            Rebalance::Assigned(partitions) if self.is_closing() => {
                Some(Action::Assign(partitions.into_iter().map(|partition| (partition, None)).collect()))
            }
            Rebalance::Assigned(partitions) if partitions.is_empty() => Some(Action::Assign(Vec::new())),
            Rebalance::Assigned(partitions) if self.call.is_some() => {
                self.rebalances.push_front(Rebalance::Assigned(partitions));
                None
            }
            Rebalance::Assigned(partitions) => {
                self.call = Some(RunningCall::LookUp);
                self.rebalancing = Rebalancing::Assigning(partitions.clone());
                Some(Action::Call(BrokerCall::LookUp(partitions)))
            }
            Rebalance::Revoked(partitions, ownership) => {
                let buffered: Vec<i32> =
                    self.buffer.assigned().filter(|partition| partitions.contains(partition)).collect();
                if buffered.is_empty() {
                    return Some(Action::Unassign(partitions));
                }
                buffered.iter().for_each(|partition| self.buffer.begin_revoke(*partition));
                self.rebalancing = Rebalancing::Revoking(Revocation {
                    partitions,
                    buffered,
                    ownership,
                    deadline: now + REVOKE_WAIT,
                    last_commit: LastCommit::default(),
                });
                Some(Action::InterruptWaits)
            }
        }
    }

    /// Waits for running attempts, commits, and releases the partitions.
    fn next_of_revocation(&mut self, now: Instant) -> Option<Action> {
        let Rebalancing::Revoking(revocation) = &mut self.rebalancing else { return None };
        let runs = self.buffer.is_attempting(&revocation.buffered);
        if runs && now < revocation.deadline {
            return None;
        }
        let mut is_committed = true;
        if revocation.ownership == Ownership::Kept {
            if self.call.is_some() {
                return None;
            }
            let mut positions = self.buffer.to_commit();
            positions.retain(|(partition, _)| revocation.buffered.contains(partition));
            if !positions.is_empty() {
                match revocation.last_commit.next(self.commit_after, now) {
                    NextLastCommit::Commit => return Some(self.commit(positions)),
                    NextLastCommit::Wait => return None,
                    NextLastCommit::GiveUp => is_committed = false,
                }
            }
        }
        let Rebalancing::Revoking(revocation) = std::mem::replace(&mut self.rebalancing, Rebalancing::No)
        else {
            return None;
        };
        let Revocation { partitions, buffered, ownership, .. } = revocation;
        buffered.iter().for_each(|partition| self.buffer.remove(*partition));
        let mut warnings = Vec::new();
        if runs {
            warnings.push(Warning::AttemptStillRuns(buffered.clone()));
        }
        if ownership == Ownership::Lost {
            warnings.push(Warning::PartitionsLost(buffered));
        } else if !is_committed {
            warnings.push(Warning::LastOffsetsNotCommitted(buffered));
        }
        self.due.extend(warnings.into_iter().map(Action::Warn));
        self.due.push_back(Action::Unassign(partitions));
        self.due.pop_front()
    }

    /// Seeks to the beginning of a recreated topic once all records of the old one are done. Until then offsets are
    /// committed with the old topic's id.
    fn next_of_rewind(&mut self, now: Instant) -> Option<Action> {
        let Rewind::Draining(after) = self.rewind else { return None };
        let is_settled = self.call.is_none()
            && self.rebalances.is_empty()
            && matches!(self.rebalancing, Rebalancing::No)
            && self.buffer.is_empty()
            && !self.is_closing();
        if !is_settled || after.is_some_and(|after| now < after) {
            return None;
        }
        (self.rewind, self.call) = (Rewind::Running, Some(RunningCall::Rewind));
        Some(Action::Call(BrokerCall::Rewind(self.buffer.assigned().collect())))
    }

    fn next_commit(&mut self, now: Instant) -> Option<Action> {
        if self.call.is_some() || self.commit_after.is_some_and(|after| now < after) {
            return None;
        }
        self.commit_after = None;
        let positions = self.buffer.to_commit();
        (!positions.is_empty()).then(|| self.commit(positions))
    }

    fn commit(&mut self, positions: Vec<(i32, i64)>) -> Action {
        self.call = Some(RunningCall::Commit(positions.clone()));
        let topic_id = self.topic_id.followed().map(str::to_owned);
        Action::Call(BrokerCall::Commit { positions, n_initial: self.n_initial, topic_id })
    }

    fn next_batch(&mut self, now: Instant) -> Option<Action> {
        self.batch_due = None;
        match self.buffer.take(now) {
            NextBatch::Ready(batch) => return Some(Action::Deliver(batch)),
            NextBatch::DueAt(due) => self.batch_due = Some(due),
            NextBatch::Nothing => {}
        }
        None
    }

    /// Commits a last time and ends, once all batches have ended and all rebalances are acknowledged.
    fn next_of_closing(&mut self, now: Instant) -> Option<Action> {
        let Closing::Draining(last_commit) = &mut self.closing else { return None };
        if !self.buffer.is_idle()
            || self.call.is_some()
            || !self.rebalances.is_empty()
            || !matches!(self.rebalancing, Rebalancing::No)
        {
            return None;
        }
        let positions = self.buffer.to_commit();
        let is_committed = positions.is_empty();
        if !is_committed {
            match last_commit.next(self.commit_after, now) {
                NextLastCommit::Commit => return Some(self.commit(positions)),
                NextLastCommit::Wait => return None,
                NextLastCommit::GiveUp => {}
            }
        }
        let partitions: Vec<i32> = self.buffer.assigned().collect();
        partitions.iter().for_each(|partition| self.buffer.remove(*partition));
        self.closing = Closing::Ended;
        if !is_committed {
            self.due.push_back(Action::End(partitions.clone()));
            return Some(Action::Warn(Warning::LastOffsetsNotCommitted(partitions)));
        }
        Some(Action::End(partitions))
    }
}

#[cfg(test)]
mod tests;
