//! Tests of the function on brokers and services that are not the real ones. tests/tests/live/account.rs has those on real servers.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod deadline;
mod iam_requests;
mod stand_ins;
