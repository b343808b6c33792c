//! Credentials, TLS and provisioning on servers that have them: OpenSearch with its security plugin, and Elasticsearch.
//!
//! `stack.py with --servers …` starts them; nothing is deployed, the functions' own code runs in the test. Each test has
//! index names of its own.
#![expect(
    clippy::indexing_slicing,
    reason = "a missing member of a JSON value is null, which the assertions find"
)]

mod gateway;
mod provisioning;
mod secrets;
mod servers;
mod signature;
mod sigv4;
mod writing;
