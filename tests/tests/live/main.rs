//! The whole system on real servers: Kafka, event source mappings, the deployed function, OpenSearch.
//!
//! One stack serves all tests, one at a time (`--test-threads=1`): some of them stop its servers. A test has a topic
//! and a mapping of its own, and ends with the account.
#![expect(
    clippy::indexing_slicing,
    reason = "a missing member of a JSON value is null, which the assertions find"
)]

mod broken_responses;
mod certificates;
mod delivery;
mod field_limit;
mod kafka_faults;
mod lambda_faults;
mod odd_records;
mod on_failure;
mod poller_faults;
mod provisioning;
mod redelivery;
mod replay;
mod search_faults;
mod soak;
