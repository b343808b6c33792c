//! Changes of the partitions that the group assigns to this consumer.

/// A change of the assignment that the client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rebalance {
    /// Partitions are added.
    Assigned(Vec<i32>),
    /// Partitions are removed.
    Revoked(Vec<i32>, Ownership),
}

/// Whether revoked partitions still belong to this consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// Yes, until it gives them up: their offsets can be committed.
    Kept,
    /// No: the group did without this consumer. Another one may read them already.
    Lost,
}
