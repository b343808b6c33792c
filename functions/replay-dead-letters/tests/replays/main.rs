//! Whole replays against a cluster in memory, which can refuse documents, lose its responses, and stop responding. The real
//! cluster is in the tests of `tests/tests/live/replay.rs`.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod bucket;
mod dead_letters;
mod iam_requests;
mod interruptions;
mod memory_cluster;
mod objects;
mod pages;
mod requests;
mod stand_in;
mod world;
