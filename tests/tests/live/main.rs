//! The whole system on real servers: Kafka, event source mappings, the deployed function, OpenSearch.
//!
//! All tests share one stack and run one at a time (`--test-threads=1`), since some of them stop its servers. Each test has its
//! own topic and mapping, and ends with the account.
#![expect(
    clippy::indexing_slicing,
    reason = "a missing member of a JSON value is null, which the assertions find"
)]

mod account;
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
mod topic_rules;
