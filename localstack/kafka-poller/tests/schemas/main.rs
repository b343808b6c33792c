//! Mappings with a schema registry, on a real Kafka (KAFKA_BOOTSTRAP_SERVERS), a real registry (SCHEMA_REGISTRY_URL) and a LocalStack
//! (AWS_ENDPOINT_URL). A server of the test stands in for the Lambda API, as in the other live tests. Another stands before the
//! registry where it must count requests, fail or disappear.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test ends where its expectation does not hold"
)]
#![allow(dead_code, reason = "the other live tests need the rest of the shared files")]

mod decoding;
mod registry;
mod rejections;
mod unavailable;

#[path = "../live/kafka.rs"]
mod kafka;
#[path = "../live/lambda_api.rs"]
mod lambda_api;
#[path = "../live/process.rs"]
mod process;
#[path = "../live/services.rs"]
mod services;
#[path = "../live/wait.rs"]
mod wait;
