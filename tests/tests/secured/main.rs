//! Credentials, TLS and provisioning on servers with security: OpenSearch with its security plugin, and Elasticsearch.
//!
//! `stack.py with --servers …` starts them. Nothing is deployed: the functions' code runs in the test. Each test has its own
//! index names.
#![expect(
    clippy::indexing_slicing,
    reason = "a missing member of a JSON value is null, which the assertions find"
)]

mod gateway;
mod provisioning;
mod secrets;
mod servers;
mod sigv4;
mod writing;
