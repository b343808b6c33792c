//! The whole system on real servers: Kafka, event source mappings, the deployed function, OpenSearch.
//!
//! One stack serves all tests, one at a time. A test has a topic and a mapping of its own, and ends with the account.

mod broken_answers;
mod delivery;
mod kafka_faults;
mod lambda_faults;
mod odd_records;
mod poller_faults;
mod redelivery;
mod search_faults;
