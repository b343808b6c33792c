//! Keeps the records of the assigned partitions until they are delivered, builds batches, and knows which offsets may be
//! committed. Pure: time is an argument.
//!
//! Invariants: at most one batch in flight holds records of a partition; records leave in the order of arrival; the
//! position to commit never passes a record that is neither delivered nor discarded.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::event::{EventShape, MAX_PAYLOAD};
use crate::record::{Assignment, EncodedRecord, PartitionRecords};
use crate::status::PartitionStatus;

/// Limits of batches and of memory.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most records in a batch.
    pub batch_size: usize,
    /// The most bytes of an event.
    pub payload: usize,
    /// How long records are gathered after the oldest one's arrival.
    pub window: Duration,
    /// Batches in flight at once.
    pub concurrency: usize,
    /// Bytes of records kept for all partitions.
    pub memory: usize,
}

/// The next batch, or when to ask for it.
#[derive(Debug, PartialEq, Eq)]
pub enum NextBatch {
    /// It is ready to be delivered.
    Ready(Vec<PartitionRecords>),
    /// It is due at this time, or earlier if more records arrive or a batch ends.
    DueAt(Instant),
    /// None before a record arrives or a batch ends.
    Nothing,
}

#[derive(Debug)]
struct Partition {
    assignment: Assignment,
    pending: VecDeque<EncodedRecord>,
    pending_bytes: usize,
    /// The offset up to which it was read: after the last record, kept or filtered out, and after what follows without one.
    received_through: i64,
    /// The first offset of the batch in flight that is not done.
    in_flight: Option<i64>,
    /// An attempt to deliver its records runs at this moment.
    attempting: bool,
    /// It is being revoked: no batch and no attempt is started.
    revoking: bool,
    committed: Option<i64>,
}

/// The records of all assigned partitions.
#[derive(Debug)]
pub struct Buffer {
    shape: EventShape,
    limits: Limits,
    partitions: BTreeMap<i32, Partition>,
    n_in_flight: usize,
    n_bytes: usize,
    n_assignments: u64,
    draining: bool,
}

impl Buffer {
    /// Makes a buffer without partitions.
    #[must_use]
    pub fn new(shape: EventShape, limits: Limits) -> Self {
        Self {
            shape,
            limits,
            partitions: BTreeMap::new(),
            n_in_flight: 0,
            n_bytes: 0,
            n_assignments: 0,
            draining: false,
        }
    }

    /// Adds a partition that is read from `position` on; −1 if that is not known.
    pub fn assign(&mut self, partition: i32, position: i64) {
        self.remove(partition);
        self.n_assignments += 1;
        let fresh = Partition {
            assignment: Assignment { partition, generation: self.n_assignments },
            pending: VecDeque::new(),
            pending_bytes: 0,
            received_through: position,
            in_flight: None,
            attempting: false,
            revoking: false,
            committed: None,
        };
        self.partitions.insert(partition, fresh);
    }

    /// Starts to revoke a partition: no batch and no attempt with its records is started any more.
    pub fn begin_revoke(&mut self, partition: i32) {
        if let Some(state) = self.partitions.get_mut(&partition) {
            state.revoking = true;
        }
    }

    /// Removes a partition with its pending records; results of its batch in flight are ignored from now on.
    pub fn remove(&mut self, partition: i32) {
        if let Some(state) = self.partitions.remove(&partition) {
            self.n_bytes -= state.pending_bytes;
        }
    }

    /// Starts no batch and no attempt from now on.
    pub fn drain(&mut self) {
        self.draining = true;
        for state in self.partitions.values_mut() {
            state.revoking = true;
        }
    }

    /// The partitions that are assigned.
    pub fn assigned(&self) -> impl Iterator<Item = i32> + '_ {
        self.partitions.keys().copied()
    }

    /// Whether an attempt to deliver records of one of `partitions` runs at this moment.
    #[must_use]
    pub fn is_attempting(&self, partitions: &[i32]) -> bool {
        partitions
            .iter()
            .any(|partition| self.partitions.get(partition).is_some_and(|state| state.attempting))
    }

    /// Whether no batch is in flight, not even with records of partitions that were removed.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.n_in_flight == 0
    }

    /// Whether another record of `partition` may be added.
    #[must_use]
    pub fn has_room(&self, partition: i32) -> bool {
        let Some(state) = self.partitions.get(&partition) else { return false };
        if state.revoking || self.draining {
            return false;
        }
        // A partition without pending records always has room, or a buffer full of other partitions' would starve it.
        state.pending.is_empty()
            || (state.pending.len() < 2 * self.limits.batch_size
                && state.pending_bytes < 2 * self.limits.payload
                && self.n_bytes < self.limits.memory)
    }

    /// Adds a record.
    pub fn push(&mut self, partition: i32, record: EncodedRecord) {
        let Some(state) = self.partitions.get_mut(&partition) else { return };
        state.received_through = record.offset + 1;
        state.pending_bytes += EventShape::record_len(&record);
        self.n_bytes += EventShape::record_len(&record);
        state.pending.push_back(record);
    }

    /// Records that the filter dropped a record: it counts as done once all records before it are.
    pub fn skip(&mut self, partition: i32, offset: i64) {
        if let Some(state) = self.partitions.get_mut(&partition) {
            state.received_through = offset + 1;
        }
    }

    /// Records that a partition was read up to `position`: no offset between the last received record and there holds
    /// another. They count as done once all records before them are.
    pub fn pass(&mut self, partition: i32, position: i64) {
        if let Some(state) = self.partitions.get_mut(&partition) {
            state.received_through = state.received_through.max(position);
        }
    }

    /// Whether every record that was added is done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.partitions.values().all(|state| state.pending.is_empty() && state.in_flight.is_none())
    }

    /// Moves a partition without pending records to `position`, which the next commit includes.
    pub fn rewind(&mut self, partition: i32, position: i64) {
        if let Some(state) = self.partitions.get_mut(&partition) {
            (state.received_through, state.committed) = (position, None);
        }
    }

    /// Removes the next batch from the pending records, if one is due at `now`. Its first attempt counts as started, so
    /// that the delivery can make it without asking.
    ///
    /// A partition that fills a batch alone gets a batch of its own, so that partitions are delivered in parallel.
    /// Otherwise the records of all idle partitions are gathered into one batch, as Lambda does.
    pub fn take(&mut self, now: Instant) -> NextBatch {
        if self.draining || self.n_in_flight >= self.limits.concurrency {
            return NextBatch::Nothing;
        }
        let mut idle: Vec<(Instant, i32)> = self
            .partitions
            .iter()
            .filter(|(_, state)| state.in_flight.is_none() && !state.revoking)
            .filter_map(|(partition, state)| Some((state.pending.front()?.received, *partition)))
            .collect();
        idle.sort_unstable();
        let Some((oldest, _)) = idle.first().copied() else { return NextBatch::Nothing };

        if let Some((_, full)) = idle.iter().find(|(_, partition)| self.is_full(&[*partition])) {
            return NextBatch::Ready(self.fill(&[*full]));
        }
        let all: Vec<i32> = idle.iter().map(|(_, partition)| *partition).collect();
        let due = oldest + self.limits.window;
        if now >= due || self.is_full(&all) {
            return NextBatch::Ready(self.fill(&all));
        }
        NextBatch::DueAt(due)
    }

    /// Whether the pending records of `partitions` fill a batch by count or by bytes.
    fn is_full(&self, partitions: &[i32]) -> bool {
        let states = || partitions.iter().filter_map(|partition| self.partitions.get(partition));
        let n_records: usize = states().map(|state| state.pending.len()).sum();
        let n_bytes: usize = states().map(|state| state.pending_bytes).sum();
        let overhead: usize = partitions.iter().map(|partition| self.shape.partition_len(*partition)).sum();
        n_records >= self.limits.batch_size
            || self.shape.base_len() + overhead + n_bytes > self.limits.payload
    }

    /// Moves as many records as one event holds out of `partitions`, in that order.
    fn fill(&mut self, partitions: &[i32]) -> Vec<PartitionRecords> {
        let mut batch = Vec::new();
        let mut n_records = 0;
        let mut n_bytes = self.shape.base_len();
        for partition in partitions {
            let Some(state) = self.partitions.get_mut(partition) else { continue };
            let mut size = n_bytes + self.shape.partition_len(*partition);
            let mut records = Vec::new();
            while let Some(record) = state.pending.front() {
                size += EventShape::record_len(record);
                // The first record of a batch is taken whatever its size, or it would block its partition. If it
                // exceeds the limit alone, it is discarded with that condition instead of sent.
                let first = n_records == 0;
                if n_records >= self.limits.batch_size || (size > self.limits.payload && !first) {
                    break;
                }
                // What the function gets and what it does not are never in one batch, so that they are done in order.
                if records.last().is_some_and(|last: &EncodedRecord| last.rejected != record.rejected) {
                    break;
                }
                n_records += 1;
                n_bytes = size;
                records.extend(state.pending.pop_front());
            }
            let Some(first) = records.first() else { continue };
            let taken: usize = records.iter().map(EventShape::record_len).sum();
            state.pending_bytes -= taken;
            self.n_bytes -= taken;
            (state.in_flight, state.attempting) = (Some(first.offset), true);
            batch.push(PartitionRecords { assignment: state.assignment, records });
        }
        self.n_in_flight += 1;
        batch
    }

    /// Whether an assignment is current and not being revoked.
    #[must_use]
    pub fn holds(&self, assignment: Assignment) -> bool {
        self.partitions
            .get(&assignment.partition)
            .is_some_and(|state| state.assignment == assignment && !state.revoking)
    }

    /// Records that an attempt to deliver records of these assignments starts.
    pub fn begin_attempt(&mut self, assignments: &[Assignment]) {
        for assignment in assignments {
            if let Some(state) = self.current(*assignment) {
                state.attempting = true;
            }
        }
    }

    /// Records that the attempt with records of these assignments ended.
    pub fn end_attempt(&mut self, assignments: &[Assignment]) {
        for assignment in assignments {
            if let Some(state) = self.current(*assignment) {
                state.attempting = false;
            }
        }
    }

    /// Records that all records of the batch in flight before `offset` are done.
    pub fn advance(&mut self, assignment: Assignment, offset: i64) {
        if let Some(state) = self.current(assignment)
            && let Some(in_flight) = &mut state.in_flight
        {
            *in_flight = offset;
        }
    }

    /// Records that the batch in flight has no more records of a partition: it may be part of the next batch.
    pub fn release(&mut self, assignment: Assignment) {
        if let Some(state) = self.current(assignment) {
            state.in_flight = None;
        }
    }

    /// Records that a batch in flight ended.
    pub fn end_batch(&mut self) {
        self.n_in_flight -= 1;
    }

    /// The partition's state, if `assignment` is its current one.
    fn current(&mut self, assignment: Assignment) -> Option<&mut Partition> {
        self.partitions.get_mut(&assignment.partition).filter(|state| state.assignment == assignment)
    }

    /// The partitions whose position moved since [`Buffer::set_committed`], with the position.
    #[must_use]
    pub fn to_commit(&self) -> Vec<(i32, i64)> {
        self.partitions
            .iter()
            .filter_map(|(partition, state)| {
                let position = state.position();
                (position >= 0 && state.committed != Some(position)).then_some((*partition, position))
            })
            .collect()
    }

    /// Records that a position is committed.
    pub fn set_committed(&mut self, partition: i32, position: i64) {
        if let Some(state) = self.partitions.get_mut(&partition) {
            state.committed = Some(position);
        }
    }

    /// The status of each partition, without its end.
    pub fn status(&self) -> impl Iterator<Item = PartitionStatus> + '_ {
        self.partitions.iter().map(|(partition, state)| PartitionStatus {
            partition: *partition,
            committed: state.committed,
            end: None,
            pending: state.pending.len(),
            in_flight: state.in_flight.is_some(),
        })
    }
}

impl Partition {
    /// The offset of the first record that is not done.
    fn position(&self) -> i64 {
        match (self.in_flight, self.pending.front()) {
            (Some(offset), _) => offset,
            (None, Some(record)) => record.offset,
            (None, None) => self.received_through,
        }
    }
}

impl Limits {
    /// The limits of a mapping, with Lambda's limit for the payload.
    #[must_use]
    pub fn new(batch_size: usize, window: Duration, concurrency: usize, memory: usize) -> Self {
        Self { batch_size, payload: MAX_PAYLOAD, window, concurrency, memory }
    }
}

#[cfg(test)]
mod tests;
