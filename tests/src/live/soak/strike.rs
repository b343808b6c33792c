//! The faults of a soak, and how often each comes.

use crate::live::proxy::{Fault, Reached};

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Strike {
    KillPoller,
    RestartPoller,
    SecondPoller,
    KillFunction,
    HangFunction,
    ReplaceFunction,
    BlockIndices,
    BreakResponses,
    KillOpenSearch,
    StopOpenSearch,
    KillKafka,
    RestartKafka,
    KillBroker,
    KillController,
    KillTwoBrokers,
    RollBrokers,
    KillNode,
    StopNode,
    KillManager,
    HangNode,
    RollNodes,
}

/// Those of one broker and one search node. Faults that take little time come more often.
pub(super) const SINGLE: [Strike; 19] = [
    Strike::KillPoller,
    Strike::KillPoller,
    Strike::RestartPoller,
    Strike::SecondPoller,
    Strike::SecondPoller,
    Strike::KillFunction,
    Strike::KillFunction,
    Strike::HangFunction,
    Strike::ReplaceFunction,
    Strike::KillOpenSearch,
    Strike::StopOpenSearch,
    Strike::BlockIndices,
    Strike::BlockIndices,
    Strike::KillKafka,
    Strike::RestartKafka,
    Strike::BreakResponses,
    Strike::BreakResponses,
    Strike::BreakResponses,
    Strike::BreakResponses,
];

/// Those of clusters. The rolling restarts take minutes.
pub(super) const CLUSTERS: [Strike; 24] = [
    Strike::KillPoller,
    Strike::RestartPoller,
    Strike::SecondPoller,
    Strike::SecondPoller,
    Strike::KillFunction,
    Strike::KillFunction,
    Strike::HangFunction,
    Strike::ReplaceFunction,
    Strike::BlockIndices,
    Strike::BreakResponses,
    Strike::BreakResponses,
    Strike::BreakResponses,
    Strike::KillBroker,
    Strike::KillBroker,
    Strike::KillController,
    Strike::KillController,
    Strike::KillTwoBrokers,
    Strike::RollBrokers,
    Strike::KillNode,
    Strike::KillNode,
    Strike::StopNode,
    Strike::KillManager,
    Strike::HangNode,
    Strike::RollNodes,
];

/// Broken responses. Slow ones take longer than the function's timeout allows.
pub(super) const FAULTS: [(Fault, Reached); 10] = [
    (Fault::Reset, Reached::Written),
    (Fault::Reset, Reached::NotWritten),
    (Fault::CutShort, Reached::Written),
    (Fault::CutShort, Reached::NotWritten),
    (Fault::NotJson, Reached::NotWritten),
    (Fault::WrongItemCount, Reached::NotWritten),
    (Fault::Status(503), Reached::Written),
    (Fault::Status(429), Reached::NotWritten),
    (Fault::Slow(15_000), Reached::Written),
    (Fault::Silence, Reached::NotWritten),
];
