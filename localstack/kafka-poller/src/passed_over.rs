//! Finds out up to which offset a partition was read where its last offsets hold no record for a consumer: the markers that
//! end transactions, aborted records, deleted ones. Pure.
//!
//! The client hands out records alone, so the offset after the last one is not where it stopped reading. Two of its reports
//! give that away: a mark in the partition's queue, behind all records, says that the end was reached, and the statistics say
//! where. Neither is enough alone. The mark has no offset. The statistics come from another thread: they may be of an earlier
//! assignment, or of an end whose records are still in the queue. So an offset counts if three things hold:
//!
//! - The statistics were made after the mark was read. The thread takes all statistics in each turn, so those that it takes in
//!   the turn after the next are.
//! - The queue was empty afterwards: the records before that end have been read.
//! - Nothing was assigned or moved since.

use std::collections::BTreeMap;

/// What is known of the ends of the partitions.
#[derive(Debug, Default)]
pub struct PassedOver {
    turn: u64,
    partitions: BTreeMap<i32, Reading>,
}

#[derive(Debug)]
struct Reading {
    /// The turn in which the first mark was read.
    marked_in: u64,
    /// The end that the statistics of this turn name.
    reported: Option<i64>,
}

impl PassedOver {
    /// Begins a turn of the thread. It takes the client's statistics, and then reads the queues.
    pub fn begin_turn(&mut self) {
        self.turn += 1;
        for reading in self.partitions.values_mut() {
            reading.reported = None;
        }
    }

    /// Records that the mark in a partition's queue was read.
    pub fn end_reached(&mut self, partition: i32) {
        let turn = self.turn;
        self.partitions.entry(partition).or_insert(Reading { marked_in: turn, reported: None });
    }

    /// Takes the offset at which the client last reached a partition's end.
    pub fn end_reported(&mut self, partition: i32, end: i64) {
        if let Some(reading) = self.partitions.get_mut(&partition)
            && reading.marked_in + 1 < self.turn
            && end >= 0
        {
            reading.reported = Some(end);
        }
    }

    /// Records that a partition's queue is empty. Returns an offset before which every record was read, if it is known.
    pub fn queue_empty(&mut self, partition: i32) -> Option<i64> {
        self.partitions.get_mut(&partition)?.reported.take()
    }

    /// Forgets a partition that is read from another offset from now on.
    pub fn forget(&mut self, partition: i32) {
        self.partitions.remove(&partition);
    }

    /// Forgets all partitions.
    pub fn forget_all(&mut self) {
        self.partitions.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turns in which nothing happens.
    fn pass(passed_over: &mut PassedOver, n_turns: usize) {
        (0..n_turns).for_each(|_| passed_over.begin_turn());
    }

    /// A partition whose end was reached long ago.
    fn at_end() -> PassedOver {
        let mut passed_over = PassedOver::default();
        passed_over.begin_turn();
        passed_over.end_reached(0);
        pass(&mut passed_over, 2);
        passed_over
    }

    #[test]
    fn an_end_counts_once_the_mark_was_read_and_the_queue_is_empty() {
        let mut passed_over = at_end();
        passed_over.end_reported(0, 13);
        assert_eq!(passed_over.queue_empty(0), Some(13));
        assert_eq!(passed_over.queue_empty(0), None, "it is known");
        // The next end: the mark says only that the client reads for this assignment.
        passed_over.begin_turn();
        passed_over.end_reported(0, 16);
        assert_eq!(passed_over.queue_empty(0), Some(16));
    }

    #[test]
    fn statistics_from_before_the_mark_do_not_count() {
        let mut passed_over = PassedOver::default();
        passed_over.begin_turn();
        passed_over.end_reported(0, 500);
        assert_eq!(passed_over.queue_empty(0), None, "of an earlier assignment");
        passed_over.end_reached(0);
        // Made while the queues were read, taken in the next turn.
        passed_over.begin_turn();
        passed_over.end_reported(0, 500);
        assert_eq!(passed_over.queue_empty(0), None);
    }

    #[test]
    fn an_end_whose_records_are_not_read_yet_does_not_count() {
        let mut passed_over = at_end();
        passed_over.end_reported(0, 13);
        passed_over.begin_turn();
        assert_eq!(passed_over.queue_empty(0), None, "records may have come and gone since");
    }

    #[test]
    fn what_was_known_of_a_partition_does_not_outlive_its_assignment() {
        let mut passed_over = at_end();
        passed_over.forget(0);
        passed_over.end_reported(0, 13);
        assert_eq!(passed_over.queue_empty(0), None);
        let mut passed_over = at_end();
        passed_over.end_reported(0, 13);
        passed_over.forget_all();
        assert_eq!(passed_over.queue_empty(0), None);
    }

    #[test]
    fn a_client_without_an_end_passes_nothing() {
        let mut passed_over = at_end();
        passed_over.end_reported(0, -1_001);
        assert_eq!(passed_over.queue_empty(0), None);
    }
}
