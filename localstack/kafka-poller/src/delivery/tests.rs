//! How a batch is delivered under the mapping's rules, by example and for any sequence of outcomes.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::testing::{records, shape};

const UNLIMITED: RetryPolicy = RetryPolicy { max_retries: None, max_age_ms: None, split: SplitOnError::No };
const PAYLOAD: usize = 1 << 20;

fn retries(max_retries: u32, split: SplitOnError) -> RetryPolicy {
    RetryPolicy { max_retries: Some(max_retries), split, ..UNLIMITED }
}

/// The step, with the offsets of its records.
fn next(delivery: &mut Delivery, now_ms: i64) -> (Step, Vec<(i32, Vec<i64>)>) {
    let step = delivery.next(&shape(), now_ms);
    let parts = if step == Step::Done { &[] } else { delivery.current() };
    (step, parts.iter().map(|it| (it.partition(), it.records.iter().map(|it| it.offset).collect())).collect())
}

fn invoke(delivery: &mut Delivery, outcome: Outcome) -> Vec<(i32, Vec<i64>)> {
    let (step, parts) = next(delivery, 0);
    assert_eq!(step, Step::Invoke);
    delivery.invoked(&outcome, 0.5);
    parts
}

/// Partition and offset of each advance, and the partitions that were released.
fn progress(progress: &Progress) -> (Vec<(i32, i64)>, Vec<i32>) {
    let advanced =
        progress.advanced.iter().map(|(assignment, offset)| (assignment.partition, *offset)).collect();
    (advanced, progress.released.iter().map(|assignment| assignment.partition).collect())
}

#[test]
fn success_ends_the_batch() {
    let mut delivery = Delivery::new(vec![records(0, 0..3), records(1, 7..8)], UNLIMITED, PAYLOAD);
    assert_eq!(next(&mut delivery, 0), (Step::Invoke, vec![(0, vec![0, 1, 2]), (1, vec![7])]));
    let done = delivery.invoked(&Outcome::Succeeded, 0.5);
    assert_eq!(progress(&done), (vec![(0, 3), (1, 8)], vec![0, 1]));
    assert_eq!((done.delay, next(&mut delivery, 0)), (None, (Step::Done, vec![])));
}

#[test]
fn a_failed_batch_is_retried_whole_with_growing_delays() {
    let mut delivery = Delivery::new(vec![records(0, 0..3)], UNLIMITED, PAYLOAD);
    let mut delays = Vec::new();
    for _ in 0..9 {
        assert_eq!(next(&mut delivery, 0), (Step::Invoke, vec![(0, vec![0, 1, 2])]));
        let failed = delivery.invoked(&Outcome::Failed, 1.0);
        assert_eq!(progress(&failed), (vec![], vec![]));
        delays.push(failed.delay.unwrap().as_millis());
    }
    assert_eq!(delays, [200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000, 10_000]);
}

#[test]
fn throttles_and_service_errors_are_not_counted_as_retries() {
    let mut delivery = Delivery::new(vec![records(0, 0..1)], retries(1, SplitOnError::No), PAYLOAD);
    for _ in 0..20 {
        invoke(&mut delivery, Outcome::NotInvoked);
    }
    invoke(&mut delivery, Outcome::Failed);
    invoke(&mut delivery, Outcome::Failed);
    let exhausted = Step::Discard { condition: Condition::RetryAttemptsExhausted, n_invoked: 2 };
    assert_eq!(next(&mut delivery, 0), (exhausted, vec![(0, vec![0])]));
}

#[test]
fn exhausted_records_stay_until_the_destination_has_them() {
    let mut delivery = Delivery::new(vec![records(0, 0..2)], retries(0, SplitOnError::No), PAYLOAD);
    invoke(&mut delivery, Outcome::Failed);
    let exhausted = Step::Discard { condition: Condition::RetryAttemptsExhausted, n_invoked: 1 };
    for _ in 0..3 {
        assert_eq!(next(&mut delivery, 0), (exhausted, vec![(0, vec![0, 1])]));
    }
    assert_eq!(progress(&delivery.discarded()), (vec![(0, 2)], vec![0]));
    assert_eq!(next(&mut delivery, 0).0, Step::Done);
}

#[test]
fn only_records_that_are_not_done_are_retried_after_a_partial_response() {
    let mut delivery =
        Delivery::new(vec![records(0, 0..5), records(1, 0..2), records(2, 0..2)], UNLIMITED, PAYLOAD);
    next(&mut delivery, 0);
    let partial = delivery.invoked(&Outcome::Partial(vec![(0, 4), (0, 2), (2, 0)]), 0.5);
    assert_eq!(progress(&partial), (vec![(0, 2), (1, 2)], vec![1]));
    assert!(partial.delay.is_some());
    assert_eq!(next(&mut delivery, 0), (Step::Invoke, vec![(0, vec![2, 3, 4]), (2, vec![0, 1])]));
}

#[test]
fn a_split_isolates_the_record_that_fails() {
    let mut delivery =
        Delivery::new(vec![records(0, 0..4), records(1, 0..4)], retries(1, SplitOnError::Halves), PAYLOAD);
    let mut tried = Vec::new();
    let mut discarded = Vec::new();
    loop {
        let (step, parts) = next(&mut delivery, 0);
        match step {
            Step::Invoke => {
                let poisoned =
                    parts.iter().any(|(partition, offsets)| *partition == 0 && offsets.contains(&2));
                delivery.invoked(&if poisoned { Outcome::Failed } else { Outcome::Succeeded }, 0.5);
                tried.push(parts);
            }
            Step::Discard { .. } => {
                discarded.push(parts);
                delivery.discarded();
            }
            Step::Done => break,
        }
    }
    let expected: Vec<Vec<(i32, Vec<i64>)>> = vec![
        vec![(0, vec![0, 1, 2, 3]), (1, vec![0, 1, 2, 3])],
        vec![(0, vec![0, 1, 2, 3])],
        vec![(0, vec![0, 1])],
        vec![(0, vec![2, 3])],
        vec![(0, vec![2])],
        // The one retry: splits do not count.
        vec![(0, vec![2])],
        vec![(0, vec![3])],
        vec![(1, vec![0, 1, 2, 3])],
    ];
    assert_eq!(tried, expected);
    assert_eq!(discarded, [vec![(0, vec![2])]]);
}

#[test]
fn records_over_the_age_limit_are_not_sent() {
    let policy = RetryPolicy { max_age_ms: Some(100), ..UNLIMITED };
    // A record's timestamp is its offset here.
    let mut delivery = Delivery::new(vec![records(0, 0..4), records(1, 1..2)], policy, PAYLOAD);
    let too_old = Step::Discard { condition: Condition::RecordAgeExceeded, n_invoked: 0 };
    assert_eq!(next(&mut delivery, 102), (too_old, vec![(0, vec![0, 1]), (1, vec![1])]));
    assert_eq!(progress(&delivery.discarded()), (vec![(0, 2), (1, 2)], vec![1]));
    assert_eq!(next(&mut delivery, 102), (Step::Invoke, vec![(0, vec![2, 3])]));
    delivery.invoked(&Outcome::Failed, 0.5);
    let too_old = Step::Discard { condition: Condition::RecordAgeExceeded, n_invoked: 1 };
    assert_eq!(next(&mut delivery, 200), (too_old, vec![(0, vec![2, 3])]));
}

#[test]
fn a_record_without_a_timestamp_has_no_age() {
    let mut records = records(0, 0..1);
    records.records[0].timestamp_ms = -1;
    let policy = RetryPolicy { max_age_ms: Some(100), ..UNLIMITED };
    let mut delivery = Delivery::new(vec![records], policy, PAYLOAD);
    assert_eq!(next(&mut delivery, 1_000_000).0, Step::Invoke);
}

#[test]
fn a_record_larger_than_the_payload_limit_is_discarded() {
    let mut delivery = Delivery::new(vec![records(0, 0..1)], UNLIMITED, 20);
    let too_large = Step::Discard { condition: Condition::MaximumPayloadSizeExceeded, n_invoked: 0 };
    assert_eq!(next(&mut delivery, 0), (too_large, vec![(0, vec![0])]));
}

#[test]
fn rejected_records_are_discarded_without_an_invocation_and_each_reason_for_itself() {
    let rejected = |partition, rejection| {
        let mut part = records(partition, 0..2);
        part.records.iter_mut().for_each(|record| record.rejected = Some(rejection));
        part
    };
    let parts = vec![
        records(0, 0..1),
        rejected(1, Rejection::DeserializationError),
        rejected(2, Rejection::SchemaNotFound),
        rejected(3, Rejection::DeserializationError),
    ];
    let mut delivery = Delivery::new(parts, UNLIMITED, PAYLOAD);
    let discard = |rejection| Step::Discard { condition: Condition::Rejected(rejection), n_invoked: 0 };
    let both = vec![(1, vec![0, 1]), (3, vec![0, 1])];
    for _ in 0..2 {
        // The destination has not taken them the first time.
        assert_eq!(next(&mut delivery, 0), (discard(Rejection::DeserializationError), both.clone()));
    }
    assert_eq!(progress(&delivery.discarded()), (vec![(1, 2), (3, 2)], vec![1, 3]));
    assert_eq!(next(&mut delivery, 0), (discard(Rejection::SchemaNotFound), vec![(2, vec![0, 1])]));
    delivery.discarded();
    assert_eq!(next(&mut delivery, 0), (Step::Invoke, vec![(0, vec![0])]));
    delivery.invoked(&Outcome::Succeeded, 0.5);
    assert_eq!(next(&mut delivery, 0), (Step::Done, vec![]));
}

#[test]
fn partitions_that_are_no_longer_ours_are_dropped() {
    let mut delivery = Delivery::new(vec![records(0, 0..2), records(1, 0..2)], UNLIMITED, PAYLOAD);
    invoke(&mut delivery, Outcome::Failed);
    delivery.retain(|assignment| assignment.partition == 1);
    assert_eq!(next(&mut delivery, 0), (Step::Invoke, vec![(1, vec![0, 1])]));
    delivery.retain(|_| false);
    assert_eq!(next(&mut delivery, 0).0, Step::Done);
}

fn any_outcome() -> impl Strategy<Value = u8> {
    0..4_u8
}

proptest! {
    /// Whatever the function does: each record is delivered or discarded exactly once, in order within its partition,
    /// and only then are its offset passed and its partition released.
    #[test]
    fn every_record_ends_in_one_place_in_order(
        outcomes in vec((any_outcome(), 0..12_usize), 300),
        sizes in vec(1..7_i64, 1..4),
        max_retries in 0..3_u32,
        halves in any::<bool>(),
    ) {
        let split = if halves { SplitOnError::Halves } else { SplitOnError::No };
        let parts: Vec<PartitionRecords> = (0..).zip(&sizes).map(|(partition, size)| records(partition, 0..*size)).collect();
        let mut delivery = Delivery::new(parts, retries(max_retries, split), PAYLOAD);
        let mut passed: BTreeMap<i32, i64> = BTreeMap::new();
        let mut released = Vec::new();
        let mut outcomes = outcomes.into_iter();
        loop {
            let (step, parts) = next(&mut delivery, 0);
            let done = match step {
                Step::Done => break,
                Step::Discard { .. } => delivery.discarded(),
                Step::Invoke => {
                    let outcome = match outcomes.next() {
                        Some((0, _)) => Outcome::Failed,
                        Some((1, _)) => Outcome::NotInvoked,
                        Some((2, place)) => {
                            let (partition, offsets) = &parts[place % parts.len()];
                            Outcome::Partial(vec![(*partition, offsets[place % offsets.len()])])
                        }
                        _ => Outcome::Succeeded,
                    };
                    delivery.invoked(&outcome, 0.5)
                }
            };
            for (Assignment { partition, .. }, offset) in &done.advanced {
                let before = passed.insert(*partition, *offset).unwrap_or(0);
                prop_assert!(*offset > before, "partition {partition} went from {before} to {offset}");
                let first = parts.iter().find(|(it, _)| it == partition).and_then(|(_, offsets)| offsets.first());
                prop_assert_eq!(first, Some(&before), "records were skipped");
            }
            released.extend(done.released.iter().map(|assignment| assignment.partition));
        }
        let expected: BTreeMap<i32, i64> = (0..).zip(sizes.iter().copied()).collect();
        prop_assert_eq!(passed, expected);
        released.sort_unstable();
        prop_assert_eq!(released, (0..).take(sizes.len()).collect::<Vec<i32>>());
    }
}
