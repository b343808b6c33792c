//! The poller as a process, on a real Kafka named by KAFKA_BOOTSTRAP_SERVERS and, for queues, buckets and secrets, a
//! LocalStack named by AWS_ENDPOINT_URL. A server of the test stands in for the Lambda API, since a real one can't be
//! made to throttle, fail or disappear at a given moment.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test ends where its expectation does not hold"
)]

mod contract;
mod destinations;
mod failures;
mod health;
mod http;
mod kafka;
mod lambda_api;
mod mappings;
mod offset_lag;
mod offsets;
mod process;
mod rebalance;
#[cfg(any(feature = "tls", feature = "tls-vendored"))]
mod secured;
#[cfg(any(feature = "tls", feature = "tls-vendored"))]
mod secured_kafka;
mod services;
mod status;
mod transactions;
mod wait;
