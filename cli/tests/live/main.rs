//! `simulate` and `account` as processes, on the Kafka and the cluster that KAFKA_BOOTSTRAP_SERVERS and SEARCH_ENDPOINT name.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where its expectation does not hold"
)]

mod account;
mod bad_input;
mod cluster;
mod comparison;
mod interruption;
mod kafka;
mod program;
