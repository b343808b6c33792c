//! What a batch holds and which offsets may be committed, by example and for any sequence of events.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::testing::shape;

const WINDOW: Duration = Duration::from_millis(500);

fn buffer(limits: Limits, partitions: &[i32]) -> Buffer {
    let mut buffer = Buffer::new(shape(), limits);
    partitions.iter().for_each(|partition| buffer.assign(*partition, 0));
    buffer
}

fn limits(batch_size: usize) -> Limits {
    Limits { concurrency: 8, ..Limits::new(batch_size, WINDOW, 8, 1 << 20) }
}

fn record(offset: i64, received: Instant, size: usize) -> EncodedRecord {
    EncodedRecord { offset, timestamp_ms: 0, received, json: vec![b'x'; size].into(), rejected: None }
}

fn push(buffer: &mut Buffer, partition: i32, offsets: std::ops::Range<i64>, received: Instant) {
    offsets.for_each(|offset| buffer.push(partition, record(offset, received, 10)));
}

/// Partition and offsets of each part.
fn offsets(next: NextBatch) -> Vec<(i32, Vec<i64>)> {
    let NextBatch::Ready(parts) = next else { panic!("expected a batch, not {next:?}") };
    parts.iter().map(|part| (part.partition(), part.records.iter().map(|it| it.offset).collect())).collect()
}

fn finish(buffer: &mut Buffer, parts: &[PartitionRecords]) {
    for part in parts {
        buffer.advance(part.assignment, part.records.last().unwrap().offset + 1);
        buffer.release(part.assignment);
    }
    buffer.end_batch();
}

fn take(buffer: &mut Buffer, now: Instant) -> Vec<PartitionRecords> {
    match buffer.take(now) {
        NextBatch::Ready(parts) => parts,
        other => panic!("expected a batch, not {other:?}"),
    }
}

#[test]
fn records_wait_for_the_window_and_are_then_delivered_together() {
    let start = Instant::now();
    let mut buffer = buffer(limits(100), &[0, 1]);
    assert_eq!(buffer.take(start), NextBatch::Nothing);
    push(&mut buffer, 1, 0..2, start);
    push(&mut buffer, 0, 0..3, start + Duration::from_millis(100));
    assert_eq!(buffer.take(start + Duration::from_millis(200)), NextBatch::DueAt(start + WINDOW));
    assert_eq!(offsets(buffer.take(start + WINDOW)), [(1, vec![0, 1]), (0, vec![0, 1, 2])]);
}

#[test]
fn a_full_batch_does_not_wait() {
    let start = Instant::now();
    let mut buffer = buffer(limits(5), &[0, 1]);
    push(&mut buffer, 0, 0..3, start);
    push(&mut buffer, 1, 0..3, start + Duration::from_millis(1));
    assert_eq!(offsets(buffer.take(start)), [(0, vec![0, 1, 2]), (1, vec![0, 1])]);
}

#[test]
fn a_partition_that_fills_a_batch_gets_a_batch_of_its_own() {
    let start = Instant::now();
    let mut buffer = buffer(limits(5), &[0, 1]);
    push(&mut buffer, 0, 0..3, start);
    push(&mut buffer, 1, 0..7, start);
    assert_eq!(offsets(buffer.take(start)), [(1, vec![0, 1, 2, 3, 4])]);
}

#[test]
fn a_batch_ends_before_the_payload_limit() {
    let start = Instant::now();
    let mut limits = limits(100);
    limits.payload = shape().base_len() + shape().partition_len(0) + 3 * 11;
    let mut buffer = buffer(limits, &[0]);
    push(&mut buffer, 0, 0..5, start);
    let parts = take(&mut buffer, start);
    assert_eq!(parts[0].records.len(), 3);
    assert!(shape().event(&parts).len() <= limits.payload);
}

#[test]
fn a_record_over_the_limit_is_a_batch_of_its_own() {
    let start = Instant::now();
    let mut limits = limits(100);
    limits.payload = 200;
    let mut buffer = buffer(limits, &[0]);
    buffer.push(0, record(0, start, 10));
    buffer.push(0, record(1, start, 500));
    buffer.push(0, record(2, start, 10));
    for offset in 0..3 {
        let parts = take(&mut buffer, start + WINDOW);
        assert_eq!(parts[0].records.iter().map(|it| it.offset).collect::<Vec<_>>(), [offset]);
        finish(&mut buffer, &parts);
    }
}

#[test]
fn a_partition_in_flight_waits_while_others_continue() {
    let start = Instant::now();
    let mut buffer = buffer(limits(2), &[0, 1]);
    push(&mut buffer, 0, 0..4, start);
    let first = take(&mut buffer, start);
    assert_eq!(buffer.take(start), NextBatch::Nothing);
    push(&mut buffer, 1, 0..2, start);
    assert_eq!(offsets(buffer.take(start)), [(1, vec![0, 1])]);
    finish(&mut buffer, &first);
    assert_eq!(offsets(buffer.take(start)), [(0, vec![2, 3])]);
}

#[test]
fn no_more_batches_than_allowed_are_in_flight() {
    let start = Instant::now();
    let mut limits = limits(1);
    limits.concurrency = 1;
    let mut buffer = buffer(limits, &[0, 1]);
    push(&mut buffer, 0, 0..1, start);
    push(&mut buffer, 1, 0..1, start);
    let first = take(&mut buffer, start);
    assert_eq!(buffer.take(start), NextBatch::Nothing);
    finish(&mut buffer, &first);
    assert_eq!(offsets(buffer.take(start)), [(1, vec![0])]);
}

#[test]
fn a_filtered_record_is_committed_once_all_before_it_are_done() {
    let start = Instant::now();
    let mut buffer = buffer(limits(10), &[0]);
    buffer.set_committed(0, 0);
    buffer.skip(0, 0);
    assert_eq!(buffer.to_commit(), [(0, 1)]);
    push(&mut buffer, 0, 1..3, start);
    buffer.skip(0, 3);
    assert_eq!(buffer.to_commit(), [(0, 1)]);
    let parts = take(&mut buffer, start + WINDOW);
    assert_eq!(buffer.to_commit(), [(0, 1)]);
    finish(&mut buffer, &parts);
    assert_eq!(buffer.to_commit(), [(0, 4)]);
    buffer.set_committed(0, 4);
    assert_eq!(buffer.to_commit(), []);
}

#[test]
fn rejected_records_are_in_no_batch_with_others_of_their_partition() {
    use crate::record::Rejection::{DeserializationError, SchemaNotFound};
    let start = Instant::now();
    let mut buffer = buffer(limits(100), &[0, 1]);
    let verdicts = [None, Some(DeserializationError), Some(DeserializationError), Some(SchemaNotFound), None];
    for (offset, rejected) in (0..).zip(verdicts) {
        buffer.push(0, EncodedRecord { rejected, ..record(offset, start, 10) });
    }
    push(&mut buffer, 1, 0..2, start);
    let mut batches = Vec::new();
    while let NextBatch::Ready(parts) = buffer.take(start + WINDOW) {
        finish(&mut buffer, &parts);
        batches.push(offsets(NextBatch::Ready(parts)));
    }
    let alone = |offsets: &[i64]| vec![(0, offsets.to_vec())];
    let first = vec![(0, vec![0]), (1, vec![0, 1])];
    assert_eq!(batches, [first, alone(&[1, 2]), alone(&[3]), alone(&[4])]);
    assert_eq!(buffer.to_commit(), [(0, 5), (1, 2)]);
}

#[test]
fn a_late_result_of_an_earlier_assignment_moves_nothing() {
    let start = Instant::now();
    let mut buffer = buffer(limits(10), &[0]);
    push(&mut buffer, 0, 0..3, start);
    let old = take(&mut buffer, start + WINDOW);
    buffer.remove(0);
    buffer.assign(0, 0);
    assert!(!buffer.holds(old[0].assignment));
    push(&mut buffer, 0, 0..3, start);
    let new = take(&mut buffer, start + WINDOW);
    finish(&mut buffer, &old);
    assert_eq!(buffer.to_commit(), [(0, 0)]);
    finish(&mut buffer, &new);
    assert_eq!(buffer.to_commit(), [(0, 3)]);
}

#[test]
fn no_batch_is_started_with_a_partition_that_is_being_revoked() {
    let start = Instant::now();
    let mut buffer = buffer(limits(10), &[0, 1]);
    push(&mut buffer, 0, 0..3, start);
    push(&mut buffer, 1, 0..3, start);
    buffer.begin_revoke(0);
    assert!(!buffer.has_room(0));
    assert_eq!(offsets(buffer.take(start + WINDOW)), [(1, vec![0, 1, 2])]);
    buffer.drain();
    push(&mut buffer, 1, 3..5, start);
    assert_eq!(buffer.take(start + WINDOW), NextBatch::Nothing);
}

#[test]
fn memory_is_bounded_but_an_empty_partition_always_has_room() {
    let start = Instant::now();
    let mut limits = limits(100);
    limits.memory = 50;
    let mut buffer = buffer(limits, &[0, 1]);
    push(&mut buffer, 0, 0..5, start);
    assert!(!buffer.has_room(0));
    assert!(buffer.has_room(1));
    push(&mut buffer, 1, 0..1, start);
    assert!(!buffer.has_room(1));
}

/// What can happen to a buffer.
#[derive(Clone, Debug)]
enum Happening {
    Receive {
        partition: i32,
        filtered: bool,
    },
    Take,
    /// The oldest or a later batch in flight ends.
    End(usize),
    /// A batch gets through up to some of its records.
    Advance(usize, usize),
    Reassign(i32),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        6 => (0..3, prop::bool::weighted(0.2))
            .prop_map(|(partition, filtered)| Happening::Receive { partition, filtered }),
        3 => Just(Happening::Take),
        2 => (0..4_usize).prop_map(Happening::End),
        2 => (0..4_usize, 0..9_usize).prop_map(|(batch, n_records)| Happening::Advance(batch, n_records)),
        1 => (0..3).prop_map(Happening::Reassign),
    ]
}

proptest! {
    /// Whatever happens: what is committed is done, nothing is missing or out of order, and no partition is in two batches
    /// at once. A partition that is assigned again continues at its committed offset.
    #[test]
    fn only_what_is_done_is_committed(happenings in vec(happening(), 1..200), batch_size in 1..6_usize) {
        let start = Instant::now();
        let mut buffer = buffer(limits(batch_size), &[0, 1, 2]);
        let mut received: BTreeMap<i32, i64> = (0..3).map(|partition| (partition, 0)).collect();
        // For each partition, which offsets are done (delivered or filtered out).
        let mut done: BTreeMap<i32, Vec<bool>> = (0..3).map(|partition| (partition, Vec::new())).collect();
        let mut committed: BTreeMap<i32, i64> = (0..3).map(|partition| (partition, 0)).collect();
        let mut taken_through: BTreeMap<i32, i64> = committed.clone();
        let mut in_flight: Vec<Vec<PartitionRecords>> = Vec::new();

        for happening in happenings {
            match happening {
                Happening::Receive { partition, filtered } => {
                    let offset = received[&partition];
                    let flags = done.get_mut(&partition).unwrap();
                    if flags.len() <= usize::try_from(offset).unwrap() {
                        flags.push(false);
                    }
                    if filtered {
                        buffer.skip(partition, offset);
                        flags[usize::try_from(offset).unwrap()] = true;
                    } else {
                        buffer.push(partition, record(offset, start, 10));
                    }
                    received.insert(partition, offset + 1);
                }
                Happening::Take => {
                    if let NextBatch::Ready(parts) = buffer.take(start + WINDOW) {
                        prop_assert!(!parts.is_empty());
                        let n_records: usize = parts.iter().map(|part| part.records.len()).sum();
                        prop_assert!((1..=batch_size).contains(&n_records));
                        for part in &parts {
                            let busy = in_flight.iter().flatten().any(|other| {
                                other.assignment == part.assignment
                            });
                            prop_assert!(!busy, "partition {} is in two batches", part.partition());
                            for record in &part.records {
                                prop_assert!(record.offset >= taken_through[&part.partition()]);
                                taken_through.insert(part.partition(), record.offset + 1);
                            }
                        }
                        in_flight.push(parts);
                    }
                }
                Happening::End(batch) if batch < in_flight.len() => {
                    let parts = in_flight.remove(batch);
                    for part in &parts {
                        if buffer.holds(part.assignment) {
                            let flags = done.get_mut(&part.partition()).unwrap();
                            part.records.iter().for_each(|it| flags[usize::try_from(it.offset).unwrap()] = true);
                        }
                    }
                    finish(&mut buffer, &parts);
                }
                Happening::Advance(batch, n_records) if batch < in_flight.len() => {
                    for part in &mut in_flight[batch] {
                        let n_records = n_records.min(part.records.len() - 1);
                        let Some(last) = part.records[..n_records].last() else { continue };
                        buffer.advance(part.assignment, last.offset + 1);
                        let passed: Vec<EncodedRecord> = part.records.drain(..n_records).collect();
                        if buffer.holds(part.assignment) {
                            let flags = done.get_mut(&part.partition()).unwrap();
                            passed.iter().for_each(|it| flags[usize::try_from(it.offset).unwrap()] = true);
                        }
                    }
                }
                Happening::Reassign(partition) => {
                    buffer.assign(partition, committed[&partition]);
                    received.insert(partition, committed[&partition]);
                    taken_through.insert(partition, committed[&partition]);
                    done.get_mut(&partition).unwrap().truncate(usize::try_from(committed[&partition]).unwrap());
                }
                Happening::End(_) | Happening::Advance(..) => {}
            }
            for (partition, position) in buffer.to_commit() {
                prop_assert!(position >= committed[&partition], "partition {partition} went back to {position}");
                let undone = done[&partition].iter().take(usize::try_from(position).unwrap()).position(|done| !done);
                prop_assert_eq!(undone, None, "partition {} commits {}", partition, position);
                committed.insert(partition, position);
                buffer.set_committed(partition, position);
            }
        }

        // In the end everything that was received gets through.
        for parts in std::mem::take(&mut in_flight) {
            finish(&mut buffer, &parts);
        }
        while let NextBatch::Ready(parts) = buffer.take(start + WINDOW) {
            finish(&mut buffer, &parts);
        }
        for (partition, position) in buffer.to_commit() {
            committed.insert(partition, position);
        }
        prop_assert_eq!(committed, received);
        prop_assert_eq!(buffer.n_bytes, 0);
        prop_assert_eq!(buffer.n_in_flight, 0);
    }
}
