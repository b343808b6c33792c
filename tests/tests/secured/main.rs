//! Credentials, TLS, provisioning and events of any shape, on each search engine: OpenSearch with and without its security
//! plugin, and Elasticsearch.
//!
//! `stack.py with --servers …` starts them. Nothing is deployed: the functions' code runs in the test. Each test has its own
//! index names.
#![expect(
    clippy::indexing_slicing,
    reason = "a missing member of a JSON value is null, which the assertions find"
)]

mod cases;
mod conflicts;
mod gateway;
mod overrides;
mod provisioning;
mod random_events;
mod routed;
mod schemas;
mod secrets;
mod servers;
mod shapes;
mod sigv4;
mod upgrade;
mod values;
mod writing;
