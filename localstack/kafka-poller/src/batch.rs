//! Keeps the records of the assigned partitions until they are delivered, builds batches, and knows what may be
//! committed. Pure: time comes in as an argument.
//!
//! Invariants: at most one batch in flight holds records of a partition; records leave in the order of arrival; the
//! position to commit never passes a record that is neither delivered nor discarded.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::event::{EventShape, MAX_PAYLOAD};
use crate::status::PartitionStatus;

/// A record, as it will stand in the event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its offset.
    pub offset: i64,
    /// Its timestamp in milliseconds since the epoch; −1 if it has none.
    pub timestamp_ms: i64,
    /// When the poller received it.
    pub received: Instant,
    /// The record as the event tells it.
    pub json: Box<[u8]>,
}

/// Records of one partition, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The partition.
    pub partition: i32,
    /// The assignment under which they were read.
    pub assignment: Assignment,
    /// Never empty.
    pub records: Vec<Record>,
}

/// Tells one assignment of a partition from the next, so that a late result of the first can't move the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Assignment(u64);

/// Bounds of batches and of what is kept in memory.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most records in a batch.
    pub batch_size: usize,
    /// The most bytes of an event.
    pub payload: usize,
    /// How long records are gathered, from the oldest one's arrival.
    pub window: Duration,
    /// Batches in flight at once.
    pub concurrency: usize,
    /// Bytes of records kept for all partitions.
    pub memory: usize,
}

/// What is to be done now.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// Deliver this.
    Batch(Vec<Slice>),
    /// Ask again then, or when something arrives or ends.
    Wait(Instant),
    /// Ask again when something arrives or ends.
    Idle,
}

#[derive(Debug)]
struct Partition {
    assignment: Assignment,
    pending: VecDeque<Record>,
    pending_bytes: usize,
    /// The offset after the last one received, delivered or filtered out.
    received_through: i64,
    /// The first offset of the batch in flight that is not done.
    in_flight: Option<i64>,
    /// An invocation with its records runs at this moment.
    invoking: bool,
    /// It is being given back: nothing more is begun.
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
    /// Makes one without partitions.
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

    /// The form of the events.
    #[must_use]
    pub fn shape(&self) -> &EventShape {
        &self.shape
    }

    /// Adds a partition that is read from `position` on.
    pub fn assign(&mut self, partition: i32, position: i64) {
        self.remove(partition);
        self.n_assignments += 1;
        let fresh = Partition {
            assignment: Assignment(self.n_assignments),
            pending: VecDeque::new(),
            pending_bytes: 0,
            received_through: position,
            in_flight: None,
            invoking: false,
            revoking: false,
            committed: None,
        };
        self.partitions.insert(partition, fresh);
    }

    /// Begins to give a partition back: no batch and no attempt with its records is begun any more.
    pub fn begin_revoke(&mut self, partition: i32) {
        if let Some(state) = self.partitions.get_mut(&partition) {
            state.revoking = true;
        }
    }

    /// Forgets a partition; what it had pending or in flight is no longer ours.
    pub fn remove(&mut self, partition: i32) {
        if let Some(state) = self.partitions.remove(&partition) {
            self.n_bytes -= state.pending_bytes;
        }
    }

    /// Begins no batch from now on.
    pub fn drain(&mut self) {
        self.draining = true;
        for state in self.partitions.values_mut() {
            state.revoking = true;
        }
    }

    /// Whether [`Buffer::drain`] was called.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// The partitions that are assigned.
    pub fn assigned(&self) -> impl Iterator<Item = i32> + '_ {
        self.partitions.keys().copied()
    }

    /// Whether an invocation with records of one of `partitions` runs at this moment.
    #[must_use]
    pub fn invoking(&self, partitions: &[i32]) -> bool {
        partitions.iter().any(|partition| self.partitions.get(partition).is_some_and(|state| state.invoking))
    }

    /// Whether another record of `partition` may be taken in.
    #[must_use]
    pub fn has_room(&self, partition: i32) -> bool {
        let Some(state) = self.partitions.get(&partition) else { return false };
        if state.revoking {
            return false;
        }
        // A partition with nothing pending always may, or a full buffer of others would starve it.
        state.pending.is_empty()
            || (state.pending.len() < 2 * self.limits.batch_size
                && state.pending_bytes < 2 * self.limits.payload
                && self.n_bytes < self.limits.memory)
    }

    /// Takes a record in.
    pub fn push(&mut self, partition: i32, record: Record) {
        let Some(state) = self.partitions.get_mut(&partition) else { return };
        state.received_through = record.offset + 1;
        state.pending_bytes += EventShape::record_len(&record);
        self.n_bytes += EventShape::record_len(&record);
        state.pending.push_back(record);
    }

    /// Notes a record that the filter dropped: it counts as done once all before it are.
    pub fn skip(&mut self, partition: i32, offset: i64) {
        if let Some(state) = self.partitions.get_mut(&partition) {
            state.received_through = offset + 1;
        }
    }

    /// Whether every record that was taken in is done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.partitions.values().all(|state| state.pending.is_empty() && state.in_flight.is_none())
    }

    /// Begins a partition without pending records anew, at `position`, which is to be committed.
    pub fn rewind(&mut self, partition: i32, position: i64) {
        if let Some(state) = self.partitions.get_mut(&partition) {
            (state.received_through, state.committed) = (position, None);
        }
    }

    /// Gives the next batch, if one is due at `now`.
    ///
    /// A partition that fills a batch by itself is served by itself, so that partitions are served in parallel.
    /// Otherwise the records of all idle partitions are gathered into one batch, as Lambda does.
    pub fn take(&mut self, now: Instant) -> Taken {
        if self.draining || self.n_in_flight >= self.limits.concurrency {
            return Taken::Idle;
        }
        let mut idle: Vec<(Instant, i32)> = self
            .partitions
            .iter()
            .filter(|(_, state)| state.in_flight.is_none() && !state.revoking)
            .filter_map(|(partition, state)| Some((state.pending.front()?.received, *partition)))
            .collect();
        idle.sort_unstable();
        let Some((oldest, _)) = idle.first().copied() else { return Taken::Idle };

        if let Some((_, full)) = idle.iter().find(|(_, partition)| self.is_full(&[*partition])) {
            return Taken::Batch(self.fill(&[*full]));
        }
        let all: Vec<i32> = idle.iter().map(|(_, partition)| *partition).collect();
        let due = oldest + self.limits.window;
        if now >= due || self.is_full(&all) {
            return Taken::Batch(self.fill(&all));
        }
        Taken::Wait(due)
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
    fn fill(&mut self, partitions: &[i32]) -> Vec<Slice> {
        let mut slices = Vec::new();
        let mut n_records = 0;
        let mut n_bytes = self.shape.base_len();
        for partition in partitions {
            let Some(state) = self.partitions.get_mut(partition) else { continue };
            let mut size = n_bytes + self.shape.partition_len(*partition);
            let mut records = Vec::new();
            while let Some(record) = state.pending.front() {
                size += EventShape::record_len(record);
                // The first record of a batch is taken however large it is, or it would block its partition: one
                // that exceeds the limit alone is not sent but discarded, with the reason.
                let first = n_records == 0;
                if n_records >= self.limits.batch_size || (size > self.limits.payload && !first) {
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
            state.in_flight = Some(first.offset);
            slices.push(Slice { partition: *partition, assignment: state.assignment, records });
        }
        self.n_in_flight += 1;
        slices
    }

    /// Says whether a partition is still ours and not being given back.
    #[must_use]
    pub fn holds(&self, partition: i32, assignment: Assignment) -> bool {
        self.partitions.get(&partition).is_some_and(|state| state.assignment == assignment && !state.revoking)
    }

    /// Notes that an invocation with records of a partition begins or ends.
    pub fn set_invoking(&mut self, partition: i32, assignment: Assignment, invoking: bool) {
        if let Some(state) = self.partitions.get_mut(&partition)
            && state.assignment == assignment
        {
            state.invoking = invoking;
        }
    }

    /// Notes that all records of the batch in flight before `offset` are done.
    pub fn advance(&mut self, partition: i32, assignment: Assignment, offset: i64) {
        if let Some(state) = self.partitions.get_mut(&partition)
            && state.assignment == assignment
            && let Some(in_flight) = &mut state.in_flight
        {
            *in_flight = offset;
        }
    }

    /// Notes that a batch in flight has no more records of a partition: it may be part of the next batch.
    pub fn release(&mut self, partition: i32, assignment: Assignment) {
        if let Some(state) = self.partitions.get_mut(&partition)
            && state.assignment == assignment
        {
            state.in_flight = None;
        }
    }

    /// Notes that a batch in flight has ended.
    pub fn end_batch(&mut self) {
        self.n_in_flight -= 1;
    }

    /// The partitions whose position has moved since [`Buffer::set_committed`], with the position.
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

    /// Notes that a position is committed.
    pub fn set_committed(&mut self, partition: i32, position: i64) {
        if let Some(state) = self.partitions.get_mut(&partition) {
            state.committed = Some(position);
        }
    }

    /// What is known of each partition, but for its end.
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
    /// The limits of a mapping, with Lambda's own for the payload.
    #[must_use]
    pub fn new(batch_size: usize, window: Duration, concurrency: usize, memory: usize) -> Self {
        Self { batch_size, payload: MAX_PAYLOAD, window, concurrency, memory }
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) mod testing {
    //! Builders for tests of this and other modules.

    use std::ops::Range;

    use super::{Assignment, Instant, Record, Slice};
    use crate::event::EventShape;
    use crate::mapping::Mapping;

    /// A mapping of `order.events` with Lambda's defaults.
    pub(crate) fn mapping() -> Mapping {
        let configuration = serde_json::json!({
            "UUID": "uuid", "FunctionArn": "arn:aws:lambda:us-east-1:000000000000:function:f",
            "Topics": ["order.events"], "SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["a:9092"]}}
        });
        Mapping::read(&serde_json::from_value(configuration).unwrap()).unwrap().unwrap()
    }

    /// The shape of that mapping's events.
    pub(crate) fn shape() -> EventShape {
        EventShape::new(&mapping(), "a:9092")
    }

    /// Makes records of these offsets, each with a timestamp of its offset.
    pub(crate) fn slice(partition: i32, offsets: Range<i64>) -> Slice {
        let received = Instant::now();
        let record =
            |offset: i64| Record { offset, timestamp_ms: offset, received, json: b"{}".to_vec().into() };
        Slice { partition, assignment: Assignment(1), records: offsets.map(record).collect() }
    }
}
