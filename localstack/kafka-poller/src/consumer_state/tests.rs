//! What the consumer does next, by example and for any sequence of messages.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::batch::Limits;
use crate::record::PartitionRecords;
use crate::stall::PATIENCE;
use crate::testing::shape;

const WINDOW: Duration = Duration::from_millis(500);
const SECOND: Duration = Duration::from_secs(1);

fn state() -> ConsumerState {
    let stalls = Stalls::new(PATIENCE, WINDOW);
    ConsumerState::new(Buffer::new(shape(), Limits::new(2, WINDOW, 8, 1 << 20)), stalls)
}

fn positions(committed: &[(i32, i64)], starts: &[(i32, i64)], topic_id: Option<&str>) -> Positions {
    Positions {
        n_initial: 3,
        topic_id: topic_id.map(str::to_owned),
        committed: committed.iter().copied().collect(),
        starts: starts.iter().copied().collect(),
    }
}

/// All actions that follow now.
fn actions(state: &mut ConsumerState, now: Instant) -> Vec<Action> {
    std::iter::from_fn(|| state.next(now)).collect()
}

/// A consumer that reads these partitions from their committed offset 0.
fn with_partitions(partitions: &[i32], now: Instant) -> ConsumerState {
    let mut state = state();
    assign(&mut state, partitions, now);
    state
}

fn assign(state: &mut ConsumerState, partitions: &[i32], now: Instant) {
    state.rebalance(Rebalance::Assigned(partitions.to_vec()));
    assert_eq!(actions(state, now), [Action::Call(BrokerCall::LookUp(partitions.to_vec()))]);
    let committed: Vec<(i32, i64)> = partitions.iter().map(|partition| (*partition, 0)).collect();
    state.looked_up(Some(positions(&committed, &[], None)), now);
    let starts = partitions.iter().map(|partition| (*partition, None)).collect();
    assert_eq!(actions(state, now), [Action::Assign(starts)]);
}

fn push(state: &mut ConsumerState, partition: i32, offsets: std::ops::Range<i64>, received: Instant) {
    for offset in offsets {
        let json = b"{}".to_vec().into();
        state.push(partition, EncodedRecord { offset, timestamp_ms: offset, received, json, rejected: None });
    }
}

/// Takes the one batch that follows now.
#[track_caller]
fn batch(state: &mut ConsumerState, now: Instant) -> Vec<PartitionRecords> {
    match actions(state, now).as_slice() {
        [Action::Deliver(batch)] => batch.clone(),
        other => panic!("expected a batch, not {other:?}"),
    }
}

fn assignments(batch: &[PartitionRecords]) -> Vec<Assignment> {
    batch.iter().map(|part| part.assignment).collect()
}

/// What an attempt achieves that delivers all of a batch.
fn success(batch: &[PartitionRecords]) -> Progress {
    let end = |part: &PartitionRecords| (part.assignment, part.records.last().unwrap().offset + 1);
    Progress {
        advanced: batch.iter().map(end).collect(),
        released: assignments(batch),
        ..Progress::default()
    }
}

fn succeed(state: &mut ConsumerState, batch: &[PartitionRecords]) {
    state.attempt_ended(&assignments(batch), &success(batch));
    state.batch_ended();
}

fn commit(positions: &[(i32, i64)], topic_id: Option<&str>) -> Action {
    let topic_id = topic_id.map(str::to_owned);
    Action::Call(BrokerCall::Commit { positions: positions.to_vec(), n_initial: 3, topic_id })
}

fn revoke(state: &mut ConsumerState, partitions: &[i32], ownership: Ownership) {
    state.rebalance(Rebalance::Revoked(partitions.to_vec(), ownership));
}

#[test]
fn a_starting_position_is_read_from_and_committed_at_once_and_a_committed_offset_is_left_to_the_client() {
    let now = Instant::now();
    let mut state = state();
    state.rebalance(Rebalance::Assigned(vec![0, 1]));
    assert_eq!(actions(&mut state, now), [Action::Call(BrokerCall::LookUp(vec![0, 1]))]);
    state.looked_up(Some(positions(&[(0, 7)], &[(1, 40)], Some("one"))), now);
    let expected = [Action::Assign(vec![(0, None), (1, Some(40))]), commit(&[(1, 40)], Some("one"))];
    assert_eq!(actions(&mut state, now), expected);
    state.committed(CallOutcome::Done, now);
    assert_eq!(actions(&mut state, now), []);
    let committed: Vec<_> = state.partitions().into_iter().map(|it| (it.partition, it.committed)).collect();
    assert_eq!(committed, [(0, Some(7)), (1, Some(40))]);
}

#[test]
fn without_a_look_up_the_client_finds_the_offsets_itself() {
    let now = Instant::now();
    let mut state = state();
    state.rebalance(Rebalance::Assigned(vec![0]));
    actions(&mut state, now);
    state.looked_up(None, now);
    assert_eq!(actions(&mut state, now), [Action::Assign(vec![(0, None)])]);
    state.skip(0, 4);
    let expected = Action::Call(BrokerCall::Commit { positions: vec![(0, 5)], n_initial: 0, topic_id: None });
    assert_eq!(actions(&mut state, now), [expected]);
}

#[test]
fn offsets_are_committed_one_call_after_the_other() {
    let now = Instant::now();
    let mut state = with_partitions(&[0], now);
    push(&mut state, 0, 0..2, now);
    let first = batch(&mut state, now);
    succeed(&mut state, &first);
    assert_eq!(actions(&mut state, now), [commit(&[(0, 2)], None)]);
    push(&mut state, 0, 2..4, now);
    let second = batch(&mut state, now);
    succeed(&mut state, &second);
    assert_eq!(actions(&mut state, now), [], "the first commit still runs");
    state.committed(CallOutcome::Done, now);
    assert_eq!(actions(&mut state, now), [commit(&[(0, 4)], None)]);
}

#[test]
fn a_failed_commit_is_repeated_after_a_delay() {
    let now = Instant::now();
    let mut state = with_partitions(&[0], now);
    state.skip(0, 0);
    assert_eq!(actions(&mut state, now), [commit(&[(0, 1)], None)]);
    state.committed(CallOutcome::Failed, now);
    assert_eq!(actions(&mut state, now), []);
    assert_eq!(state.wake_at(now), Some(now + COMMIT_DELAY));
    assert_eq!(actions(&mut state, now + COMMIT_DELAY), [commit(&[(0, 1)], None)]);
}

#[test]
fn a_batch_is_delivered_when_its_window_ends() {
    let now = Instant::now();
    let mut state = with_partitions(&[0], now);
    push(&mut state, 0, 0..1, now);
    assert_eq!(actions(&mut state, now), []);
    assert_eq!(state.wake_at(now), Some(now + WINDOW));
    assert_eq!(batch(&mut state, now + WINDOW).len(), 1);
}

#[test]
fn a_revoked_partition_is_given_up_after_its_attempt_and_a_last_commit() {
    let now = Instant::now();
    let mut state = with_partitions(&[0, 1], now);
    push(&mut state, 0, 0..2, now);
    let running = batch(&mut state, now);
    push(&mut state, 0, 2..4, now);
    revoke(&mut state, &[0], Ownership::Kept);
    assert_eq!(actions(&mut state, now), [Action::InterruptWaits]);
    assert!(!state.has_room(0) && state.has_room(1));
    assert_eq!(actions(&mut state, now + WINDOW), [], "no batch is started with its records");
    succeed(&mut state, &running);
    assert_eq!(actions(&mut state, now), [commit(&[(0, 2)], None)]);
    state.committed(CallOutcome::Done, now);
    assert_eq!(actions(&mut state, now), [Action::Unassign(vec![0])]);
    assert_eq!(state.partitions().iter().map(|it| it.partition).collect::<Vec<_>>(), [1]);
}

#[test]
fn a_revoked_partition_without_a_running_attempt_is_given_up_at_once() {
    let now = Instant::now();
    let mut state = with_partitions(&[0], now);
    push(&mut state, 0, 0..2, now);
    let waiting = batch(&mut state, now);
    // The attempt failed; the delivery waits before the next one.
    state.attempt_ended(&assignments(&waiting), &Progress::default());
    revoke(&mut state, &[0], Ownership::Kept);
    assert_eq!(actions(&mut state, now), [Action::InterruptWaits, Action::Unassign(vec![0])]);
    assert_eq!(state.permit_attempt(&assignments(&waiting)), []);
}

#[test]
fn a_partition_that_is_still_in_an_attempt_is_given_up_after_a_minute() {
    let now = Instant::now();
    let mut state = with_partitions(&[0], now);
    state.topic_id_seen("one".to_owned());
    push(&mut state, 0, 0..2, now);
    let running = batch(&mut state, now);
    revoke(&mut state, &[0], Ownership::Kept);
    assert_eq!(actions(&mut state, now), [Action::InterruptWaits]);
    assert_eq!(actions(&mut state, now + REVOKE_WAIT - SECOND), []);
    let expected = [Action::Warn(Warning::AttemptStillRuns(vec![0])), Action::Unassign(vec![0])];
    assert_eq!(actions(&mut state, now + REVOKE_WAIT), expected);
    // The late result moves nothing, not even after the partition came back.
    assign(&mut state, &[0], now);
    succeed(&mut state, &running);
    assert_eq!(actions(&mut state, now), []);
}

#[test]
fn partitions_that_were_lost_are_given_up_without_a_commit() {
    let now = Instant::now();
    let mut state = with_partitions(&[0], now);
    state.skip(0, 0);
    let first = actions(&mut state, now);
    assert_eq!(first, [commit(&[(0, 1)], None)]);
    state.committed(CallOutcome::Failed, now);
    revoke(&mut state, &[0], Ownership::Lost);
    let expected =
        [Action::InterruptWaits, Action::Warn(Warning::PartitionsLost(vec![0])), Action::Unassign(vec![0])];
    assert_eq!(actions(&mut state, now), expected);
}

#[test]
fn a_last_commit_that_keeps_failing_is_repeated_for_a_while_and_reported() {
    let now = Instant::now();
    let mut state = with_partitions(&[0], now);
    revoke(&mut state, &[0], Ownership::Kept);
    state.skip(0, 0);
    assert_eq!(actions(&mut state, now), [Action::InterruptWaits, commit(&[(0, 1)], None)]);
    state.committed(CallOutcome::Failed, now);
    assert_eq!(actions(&mut state, now), []);
    assert_eq!(state.wake_at(now), Some(now + COMMIT_DELAY));
    assert_eq!(actions(&mut state, now + COMMIT_DELAY), [commit(&[(0, 1)], None)]);
    state.committed(CallOutcome::Failed, now + LAST_COMMIT_WAIT);
    let expected = [Action::Warn(Warning::LastOffsetsNotCommitted(vec![0])), Action::Unassign(vec![0])];
    assert_eq!(actions(&mut state, now + LAST_COMMIT_WAIT), expected);
}

#[test]
fn a_last_commit_that_the_broker_refuses_during_a_rebalance_is_made_again() {
    let now = Instant::now();
    let mut state = with_partitions(&[0], now);
    state.skip(0, 0);
    assert_eq!(actions(&mut state, now), [commit(&[(0, 1)], None)]);
    state.stop();
    assert_eq!(actions(&mut state, now), [Action::InterruptWaits]);
    let mut now = now;
    for _ in 0..3 {
        state.committed(CallOutcome::Failed, now);
        assert_eq!(actions(&mut state, now), []);
        now += COMMIT_DELAY;
        assert_eq!(actions(&mut state, now), [commit(&[(0, 1)], None)]);
    }
    state.committed(CallOutcome::Done, now);
    assert_eq!(actions(&mut state, now), [Action::End(vec![0])]);
}

#[test]
fn rebalances_are_processed_in_order() {
    let now = Instant::now();
    let mut state = with_partitions(&[0], now);
    state.rebalance(Rebalance::Assigned(vec![1]));
    revoke(&mut state, &[0, 1], Ownership::Kept);
    assert_eq!(actions(&mut state, now), [Action::Call(BrokerCall::LookUp(vec![1]))]);
    state.looked_up(Some(positions(&[(1, 5)], &[], None)), now);
    let expected = [Action::Assign(vec![(1, None)]), Action::InterruptWaits, Action::Unassign(vec![0, 1])];
    assert_eq!(actions(&mut state, now), expected);
}

#[test]
fn an_attempt_is_permitted_with_the_assignments_that_are_held_and_holds_up_their_revocation() {
    let now = Instant::now();
    let mut state = with_partitions(&[0, 1], now);
    push(&mut state, 0, 0..1, now);
    push(&mut state, 1, 0..1, now);
    let both = batch(&mut state, now);
    state.attempt_ended(&assignments(&both), &Progress::default());
    revoke(&mut state, &[0], Ownership::Kept);
    assert_eq!(actions(&mut state, now), [Action::InterruptWaits, Action::Unassign(vec![0])]);
    let permitted = state.permit_attempt(&assignments(&both));
    assert_eq!(permitted, [both[1].assignment]);
    revoke(&mut state, &[1], Ownership::Kept);
    assert_eq!(actions(&mut state, now), [Action::InterruptWaits]);
    // The attempt has no records of it: it discards others.
    state.attempt_without(&permitted);
    assert_eq!(actions(&mut state, now), [Action::Unassign(vec![1])]);
}

/// The client's statistics in a turn in which the queue of partition 0 is then empty.
fn report_end(state: &mut ConsumerState, reached: i64) {
    state.begin_turn();
    state.ends(&BTreeMap::from([(0, Ends { end: reached, reached })]));
    state.queue_empty(0);
}

/// The client reaches the end of partition 0.
fn reach_end(state: &mut ConsumerState) {
    state.begin_turn();
    state.end_reached(0);
    state.begin_turn();
}

#[test]
fn a_partition_whose_batch_or_commit_fails_is_stalled_until_it_is_committed() {
    let now = Instant::now();
    let later = now + PATIENCE + WINDOW;
    let mut state = with_partitions(&[0], now);
    state.ends(&BTreeMap::from([(0, Ends { end: 2, reached: -1 })]));
    let of = |state: &mut ConsumerState, now| {
        let partitions = state.partitions();
        state.stalls(&partitions, now).into_iter().map(|stall| stall.obstacle.what).collect::<Vec<_>>()
    };
    let obstacle = |what: &str| Obstacle { what: what.to_owned(), fix: "" };
    assert_eq!(of(&mut state, now), Vec::<String>::new());
    push(&mut state, 0, 0..2, now);
    let first = batch(&mut state, now);
    assert_eq!(of(&mut state, later), Vec::<String>::new(), "its first attempt runs");
    state.hindered(&assignments(&first), &obstacle("the function fails"));
    assert_eq!(of(&mut state, later), ["the function fails"]);
    succeed(&mut state, &first);
    assert_eq!(actions(&mut state, now), [commit(&[(0, 2)], None)]);
    state.commit_hindered(&obstacle("the commit fails"));
    state.committed(CallOutcome::Failed, now);
    assert_eq!(of(&mut state, later), ["the commit fails"]);
    assert_eq!(actions(&mut state, now + COMMIT_DELAY), [commit(&[(0, 2)], None)]);
    state.committed(CallOutcome::Done, later);
    assert_eq!(of(&mut state, later), Vec::<String>::new());
}

#[test]
fn offsets_without_a_record_are_committed_once_the_records_before_them_are_done() {
    let now = Instant::now();
    let mut state = with_partitions(&[0], now);
    push(&mut state, 0, 0..2, now);
    let first = batch(&mut state, now);
    reach_end(&mut state);
    report_end(&mut state, 3);
    assert_eq!(actions(&mut state, now), [], "the records before the marker are in flight");
    succeed(&mut state, &first);
    assert_eq!(actions(&mut state, now), [commit(&[(0, 3)], None)]);
    state.committed(CallOutcome::Done, now);
    // A transaction of one record that was aborted.
    report_end(&mut state, 5);
    assert_eq!(actions(&mut state, now), [commit(&[(0, 5)], None)]);
    state.committed(CallOutcome::Done, now);
    report_end(&mut state, 4);
    assert_eq!(actions(&mut state, now), [], "never back");
}

#[test]
fn an_end_of_an_earlier_assignment_or_topic_is_not_committed() {
    let now = Instant::now();
    let mut state = with_partitions(&[0], now);
    reach_end(&mut state);
    revoke(&mut state, &[0], Ownership::Kept);
    actions(&mut state, now);
    assign(&mut state, &[0], now);
    report_end(&mut state, 40);
    assert_eq!(actions(&mut state, now), []);

    let mut state = with_partitions(&[0], now);
    reach_end(&mut state);
    state.topic_id_seen("old".to_owned());
    state.topic_id_seen("new".to_owned());
    state.all_read();
    report_end(&mut state, 40);
    assert_eq!(actions(&mut state, now), [Action::Call(BrokerCall::Rewind(vec![0]))]);
    state.rewound(Some(vec![(0, 0)]), now);
    report_end(&mut state, 40);
    assert_eq!(actions(&mut state, now), [commit(&[(0, 0)], Some("new"))]);
}

#[test]
fn a_recreated_topic_is_read_from_its_beginning_once_the_old_records_are_done() {
    let now = Instant::now();
    let mut state = with_partitions(&[0], now);
    state.topic_id_seen("old".to_owned());
    state.all_read();
    assert!(state.has_room(0));
    push(&mut state, 0, 0..2, now);
    let last = batch(&mut state, now);
    state.topic_id_seen("new".to_owned());
    assert!(state.has_room(0), "what was fetched of the old topic is still read");
    state.all_read();
    assert!(!state.has_room(0));
    assert_eq!(actions(&mut state, now), []);
    succeed(&mut state, &last);
    // Seeking comes first here: the old topic's offsets are of no use any more.
    assert_eq!(actions(&mut state, now), [Action::Call(BrokerCall::Rewind(vec![0]))]);
    assert_eq!(actions(&mut state, now), [], "nothing is committed meanwhile");
    state.rewound(Some(vec![(0, 0)]), now);
    assert!(state.has_room(0));
    assert_eq!(actions(&mut state, now), [commit(&[(0, 0)], Some("new"))]);
    state.all_read();
    assert!(state.has_room(0), "the new topic is followed");
}

#[test]
fn a_failed_seek_is_repeated_and_nothing_is_read_before_it_succeeds() {
    let now = Instant::now();
    let mut state = with_partitions(&[0], now);
    state.topic_id_seen("old".to_owned());
    state.topic_id_seen("new".to_owned());
    state.all_read();
    assert_eq!(actions(&mut state, now), [Action::Call(BrokerCall::Rewind(vec![0]))]);
    state.rewound(None, now);
    assert_eq!(actions(&mut state, now), []);
    assert!(!state.has_room(0));
    assert_eq!(state.wake_at(now), Some(now + REWIND_DELAY));
    let again = actions(&mut state, now + REWIND_DELAY);
    assert_eq!(again, [Action::Call(BrokerCall::Rewind(vec![0]))]);
}

#[test]
fn a_rebalance_waits_for_a_seek() {
    let now = Instant::now();
    let mut state = with_partitions(&[0], now);
    state.topic_id_seen("old".to_owned());
    state.topic_id_seen("new".to_owned());
    state.all_read();
    actions(&mut state, now);
    revoke(&mut state, &[0], Ownership::Lost);
    assert_eq!(actions(&mut state, now), []);
    state.rewound(Some(vec![(0, 0)]), now);
    let expected =
        [Action::InterruptWaits, Action::Warn(Warning::PartitionsLost(vec![0])), Action::Unassign(vec![0])];
    assert_eq!(actions(&mut state, now), expected);
}

#[test]
fn offsets_of_a_topic_that_was_deleted_since_are_not_followed() {
    let now = Instant::now();
    let mut state = state();
    state.topic_id_seen("new".to_owned());
    state.rebalance(Rebalance::Assigned(vec![0]));
    actions(&mut state, now);
    state.looked_up(Some(positions(&[(0, 7)], &[], Some("old"))), now);
    assert_eq!(actions(&mut state, now), [Action::Assign(vec![(0, None)])]);
    state.all_read();
    assert_eq!(actions(&mut state, now), [Action::Call(BrokerCall::Rewind(vec![0]))]);
}

#[test]
fn a_topic_id_that_stays_unknown_is_reported_once() {
    let now = Instant::now();
    let mut state = with_partitions(&[0], now);
    assert_eq!(state.wake_at(now), Some(now + TOPIC_ID_WAIT));
    assert_eq!(actions(&mut state, now + TOPIC_ID_WAIT - SECOND), []);
    let expected = [Action::Warn(Warning::TopicIdUnknown)];
    assert_eq!(actions(&mut state, now + TOPIC_ID_WAIT), expected);
    assert_eq!(actions(&mut state, now + 2 * TOPIC_ID_WAIT), []);
    assign(&mut state, &[1], now);
    assert_eq!(actions(&mut state, now + 4 * TOPIC_ID_WAIT), []);
}

#[test]
fn a_topic_id_that_is_known_in_time_is_not_reported() {
    let now = Instant::now();
    let mut state = with_partitions(&[0], now);
    state.topic_id_seen("one".to_owned());
    assert_eq!(actions(&mut state, now + TOPIC_ID_WAIT), []);
}

#[test]
fn a_stop_lets_running_batches_end_commits_them_and_ends() {
    let now = Instant::now();
    let mut state = with_partitions(&[0], now);
    push(&mut state, 0, 0..2, now);
    let running = batch(&mut state, now);
    push(&mut state, 0, 2..4, now);
    state.stop();
    assert_eq!(actions(&mut state, now), [Action::InterruptWaits]);
    assert!(!state.has_room(0));
    state.attempt_ended(&assignments(&running), &success(&running));
    assert_eq!(actions(&mut state, now), [commit(&[(0, 2)], None)], "no other batch is started");
    state.committed(CallOutcome::Done, now);
    assert_eq!(actions(&mut state, now), []);
    state.batch_ended();
    assert_eq!(actions(&mut state, now), [Action::End(vec![0])]);
    assert_eq!(actions(&mut state, now), []);
}

#[test]
fn a_stop_ends_although_the_last_commit_fails() {
    let now = Instant::now();
    let mut state = with_partitions(&[0], now);
    state.skip(0, 0);
    actions(&mut state, now);
    state.stop();
    assert_eq!(actions(&mut state, now), [Action::InterruptWaits]);
    for delay in [COMMIT_DELAY, LAST_COMMIT_WAIT] {
        state.committed(CallOutcome::Failed, now);
        assert_eq!(actions(&mut state, now), []);
        assert_eq!(actions(&mut state, now + delay), [commit(&[(0, 1)], None)]);
    }
    let now = now + LAST_COMMIT_WAIT;
    state.committed(CallOutcome::Failed, now);
    let expected = [Action::Warn(Warning::LastOffsetsNotCommitted(vec![0])), Action::End(vec![0])];
    assert_eq!(actions(&mut state, now), expected);
}

#[test]
fn rebalances_are_acknowledged_before_the_end() {
    let now = Instant::now();
    let mut state = with_partitions(&[0], now);
    state.rebalance(Rebalance::Assigned(vec![1]));
    actions(&mut state, now);
    state.stop();
    state.rebalance(Rebalance::Assigned(vec![2]));
    assert_eq!(actions(&mut state, now), [Action::InterruptWaits]);
    state.looked_up(Some(positions(&[], &[(1, 3)], None)), now);
    let expected =
        [Action::Assign(vec![(1, Some(3))]), Action::Assign(vec![(2, None)]), commit(&[(1, 3)], None)];
    assert_eq!(actions(&mut state, now), expected);
    state.committed(CallOutcome::Done, now);
    assert_eq!(actions(&mut state, now), [Action::End(vec![0, 1])]);
}

#[test]
fn the_status_has_the_ends_that_were_reported() {
    let now = Instant::now();
    let mut state = with_partitions(&[0, 1], now);
    let ends = |end| Ends { end, reached: -1 };
    state.ends(&BTreeMap::from([(0, ends(30)), (7, ends(5))]));
    push(&mut state, 0, 0..1, now);
    let status = |partition, end, pending| PartitionStatus {
        partition,
        committed: Some(0),
        end,
        pending,
        in_flight: false,
    };
    assert_eq!(state.partitions(), [status(0, Some(30), 1), status(1, None, 0)]);
}

/// What can happen to a consumer.
#[derive(Clone, Debug)]
enum Happening {
    /// The group adds or removes a partition.
    Toggle(i32, Ownership),
    Receive(i32),
    Filter(i32),
    AllRead,
    /// A marker of a transaction follows; the client reads it.
    Marker(i32),
    /// The statistics come, as of now or of a while ago, and the queues are empty.
    Statistics(bool),
    /// The topic is created again.
    Recreate,
    /// The running broker call ends.
    CallEnds(CallOutcome),
    /// A delivery makes an attempt: it succeeds or fails.
    Attempt(usize, CallOutcome),
    Wait(Duration),
}

fn happening() -> impl Strategy<Value = Happening> {
    let outcome = || prop_oneof![3 => Just(CallOutcome::Done), 1 => Just(CallOutcome::Failed)];
    let ownership = prop_oneof![4 => Just(Ownership::Kept), 1 => Just(Ownership::Lost)];
    prop_oneof![
        2 => (0..3, ownership).prop_map(|(partition, ownership)| Happening::Toggle(partition, ownership)),
        8 => (0..3).prop_map(Happening::Receive),
        2 => (0..3).prop_map(Happening::Filter),
        2 => Just(Happening::AllRead),
        3 => (0..3).prop_map(Happening::Marker),
        3 => any::<bool>().prop_map(Happening::Statistics),
        1 => Just(Happening::Recreate),
        6 => outcome().prop_map(Happening::CallEnds),
        6 => (0..4_usize, outcome()).prop_map(|(place, outcome)| Happening::Attempt(place, outcome)),
        3 => (0..2_000_u64).prop_map(|ms| Happening::Wait(Duration::from_millis(ms))),
    ]
}

/// A group, a broker, a client and deliveries, as simple as they can be.
struct World {
    state: ConsumerState,
    now: Instant,
    /// Partitions as the group assigned them, acknowledged or not.
    assigned: BTreeSet<i32>,
    unacknowledged: VecDeque<Rebalance>,
    /// Where the client reads each partition.
    reading: BTreeMap<i32, i64>,
    /// Statistics that are made and not taken.
    statistics: BTreeMap<i32, Ends>,
    call: Option<BrokerCall>,
    committed: BTreeMap<i32, i64>,
    /// Offsets of the current topic that were delivered or filtered out.
    done: BTreeSet<(i32, i64)>,
    n_topics: u32,
    /// The topic that the broker has and the one whose records are read.
    read_topic: u32,
    deliveries: Vec<Vec<PartitionRecords>>,
    has_ended: bool,
}

impl World {
    fn new() -> Self {
        let mut state = state();
        state.topic_id_seen("0".to_owned());
        Self {
            state,
            now: Instant::now(),
            assigned: BTreeSet::new(),
            unacknowledged: VecDeque::new(),
            reading: BTreeMap::new(),
            statistics: BTreeMap::new(),
            call: None,
            committed: BTreeMap::new(),
            done: BTreeSet::new(),
            n_topics: 1,
            read_topic: 0,
            deliveries: Vec::new(),
            has_ended: false,
        }
    }

    fn act(&mut self) {
        for action in actions(&mut self.state, self.now) {
            assert!(!self.has_ended, "{action:?} after the end");
            match action {
                Action::Call(call) => {
                    assert_eq!(self.call, None, "a second broker call: {call:?}");
                    if let BrokerCall::Commit { positions, topic_id, .. } = &call {
                        self.check_commit(positions, topic_id.as_deref());
                    }
                    self.call = Some(call);
                }
                Action::Assign(starts) => {
                    let partitions = starts.iter().map(|(partition, _)| *partition).collect();
                    assert_eq!(self.unacknowledged.pop_front(), Some(Rebalance::Assigned(partitions)));
                    for (partition, start) in starts {
                        let committed = self.committed.get(&partition).copied();
                        self.reading.insert(partition, start.or(committed).unwrap_or(0));
                    }
                }
                Action::Unassign(partitions) => {
                    let next = self.unacknowledged.pop_front();
                    let Some(Rebalance::Revoked(revoked, _)) = next else { panic!("{next:?}") };
                    assert_eq!(revoked, partitions);
                    partitions.iter().for_each(|partition| {
                        self.reading.remove(partition);
                    });
                }
                Action::Deliver(batch) => {
                    for part in &batch {
                        let current = self.deliveries.iter().flatten();
                        let is_twice = current.into_iter().any(|other| other.assignment == part.assignment);
                        assert!(!is_twice, "partition {} is in two batches", part.partition());
                    }
                    self.deliveries.push(batch);
                }
                Action::End(_) => {
                    assert!(self.deliveries.is_empty() && self.call.is_none());
                    assert_eq!(self.unacknowledged, [], "the client would wait for ever");
                    self.has_ended = true;
                }
                Action::InterruptWaits | Action::Warn(_) => {}
            }
        }
    }

    /// No offset is committed that passes a record of its topic which is not done.
    fn check_commit(&self, positions: &[(i32, i64)], topic_id: Option<&str>) {
        assert_eq!(topic_id, Some(self.read_topic.to_string().as_str()), "an offset of another topic");
        for (partition, position) in positions {
            let begin = self.committed.get(partition).copied().unwrap_or(0).min(*position);
            for offset in begin..*position {
                assert!(self.done.contains(&(*partition, offset)), "{partition}-{offset} is not done");
            }
        }
    }

    fn end_call(&mut self, outcome: CallOutcome) {
        let is_done = outcome == CallOutcome::Done;
        match self.call.take() {
            None => {}
            Some(BrokerCall::LookUp(partitions)) => {
                let known = |partition: &i32| self.committed.get(partition).map(|at| (*partition, *at));
                let committed: Vec<_> = partitions.iter().filter_map(known).collect();
                let starts: Vec<_> = partitions.iter().map(|partition| (*partition, 0)).collect();
                // Commits of before carry the id of the topic that they are of.
                let found = positions(&committed, &starts, None);
                self.state.looked_up(is_done.then_some(found), self.now);
            }
            Some(BrokerCall::Commit { positions, .. }) => {
                if is_done {
                    self.committed.extend(positions);
                }
                self.state.committed(outcome, self.now);
            }
            Some(BrokerCall::Rewind(partitions)) => {
                let positions = partitions.iter().map(|partition| (*partition, 0)).collect();
                if is_done {
                    self.reading.values_mut().for_each(|at| *at = 0);
                    self.read_topic = self.n_topics - 1;
                    self.done.clear();
                    self.committed.clear();
                }
                self.state.rewound(is_done.then_some(positions), self.now);
            }
        }
    }

    /// A delivery asks whether it may make an attempt, makes it, and ends if nothing is left.
    fn attempt(&mut self, place: usize, outcome: CallOutcome) {
        if self.deliveries.is_empty() {
            return;
        }
        let place = place % self.deliveries.len();
        let mut batch = self.deliveries.swap_remove(place);
        self.state.attempt_ended(&assignments(&batch), &Progress::default());
        let permitted = self.state.permit_attempt(&assignments(&batch));
        batch.retain(|part| permitted.contains(&part.assignment));
        if batch.is_empty() {
            self.state.batch_ended();
        } else if outcome == CallOutcome::Done {
            for part in &batch {
                self.done.extend(part.records.iter().map(|record| (part.partition(), record.offset)));
            }
            succeed(&mut self.state, &batch);
        } else {
            self.state.attempt_ended(&assignments(&batch), &Progress::default());
            self.deliveries.push(batch);
        }
    }

    fn make_statistics(&mut self) {
        for (partition, at) in &self.reading {
            self.statistics.insert(*partition, Ends { end: *at, reached: *at });
        }
    }

    fn take_statistics(&mut self) {
        self.state.ends(&self.statistics);
        for partition in
            self.reading.keys().copied().filter(|it| self.state.has_room(*it)).collect::<Vec<_>>()
        {
            self.state.queue_empty(partition);
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Toggle(partition, ownership) => {
                let rebalance = if self.assigned.insert(partition) {
                    Rebalance::Assigned(vec![partition])
                } else {
                    self.assigned.remove(&partition);
                    Rebalance::Revoked(vec![partition], ownership)
                };
                self.unacknowledged.push_back(rebalance.clone());
                self.state.rebalance(rebalance);
            }
            Happening::Receive(partition) | Happening::Filter(partition) => {
                let has_room = self.state.has_room(partition);
                let Some(at) = self.reading.get_mut(&partition).filter(|_| has_room) else { return };
                if matches!(happening, Happening::Filter(_)) {
                    self.state.skip(partition, *at);
                    self.done.insert((partition, *at));
                } else {
                    push(&mut self.state, partition, *at..*at + 1, self.now);
                }
                *at += 1;
            }
            Happening::AllRead => self.state.all_read(),
            Happening::Marker(partition) => {
                let has_room = self.state.has_room(partition);
                let Some(at) = self.reading.get_mut(&partition).filter(|_| has_room) else { return };
                self.done.insert((partition, *at));
                *at += 1;
                self.state.begin_turn();
                // Those of before the mark, in the turn that follows it.
                self.state.end_reached(partition);
                self.state.begin_turn();
                self.take_statistics();
                self.make_statistics();
            }
            Happening::Statistics(are_new) => {
                if are_new {
                    self.make_statistics();
                }
                self.state.begin_turn();
                self.take_statistics();
            }
            Happening::Recreate => {
                self.n_topics += 1;
                self.state.topic_id_seen((self.n_topics - 1).to_string());
            }
            Happening::CallEnds(outcome) => self.end_call(outcome),
            Happening::Attempt(place, outcome) => self.attempt(place, outcome),
            Happening::Wait(time) => self.now += time,
        }
        self.act();
    }
}

proptest! {
    /// Whatever happens: one broker call at a time, no partition in two batches, no commit past a record that is not done
    /// or with another topic's id, and each rebalance is acknowledged once and in order. A stop always ends it.
    #[test]
    fn any_sequence_of_messages_keeps_the_invariants(happenings in vec(happening(), 1..200)) {
        let mut world = World::new();
        for happening in happenings {
            world.happen(happening);
        }
        world.state.stop();
        for _ in 0..100 {
            world.happen(Happening::Attempt(0, CallOutcome::Failed));
            world.happen(Happening::CallEnds(CallOutcome::Done));
            world.happen(Happening::Wait(REVOKE_WAIT));
        }
        prop_assert!(world.has_ended, "{:?}", world.state);
    }
}
