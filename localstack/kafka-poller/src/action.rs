//! Actions that the consumer's state requests from its thread.

use crate::record::PartitionRecords;

/// What the consumer thread has to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Make a call that waits for the broker, and report its result.
    Call(BrokerCall),
    /// Add partitions to the client's assignment, each with the offset to read from, or without one to follow the
    /// committed offset.
    Assign(Vec<(i32, Option<i64>)>),
    /// Remove partitions from the client's assignment.
    Unassign(Vec<i32>),
    /// Deliver a batch.
    Deliver(Vec<PartitionRecords>),
    /// End the waits between attempts, so that deliveries notice revoked partitions.
    InterruptWaits,
    /// Report a problem.
    Warn(Warning),
    /// Close the client and end the thread. The partitions that it still had are named.
    End(Vec<i32>),
}

/// A call that waits for the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BrokerCall {
    /// Look up where these partitions are read from; see `ConsumerState::looked_up`.
    LookUp(Vec<i32>),
    /// Commit offsets; see `ConsumerState::committed`.
    Commit {
        /// Partitions and offsets.
        positions: Vec<(i32, i64)>,
        /// How many partitions the topic had when the group began.
        n_initial: i32,
        /// The id of the topic that the offsets belong to.
        topic_id: Option<String>,
    },
    /// Seek to the oldest record of these partitions; see `ConsumerState::rewound`.
    Rewind(Vec<i32>),
}

/// How a broker call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallOutcome {
    /// The broker did it.
    Done,
    /// The broker refused it, or did not respond.
    Failed,
}

/// A problem to report.
#[derive(Debug, PartialEq, Eq)]
pub enum Warning {
    /// Partitions are given up while an attempt with their records still runs.
    AttemptStillRuns(Vec<i32>),
    /// Partitions were lost; records whose offsets are not committed are delivered again.
    PartitionsLost(Vec<i32>),
    /// The last offsets of partitions were not committed; their records are delivered again.
    LastOffsetsNotCommitted(Vec<i32>),
    /// The topic's id is still unknown, so a recreated topic would not be noticed.
    TopicIdUnknown,
}
