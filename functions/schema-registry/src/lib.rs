//! Schemas of a registry with Confluent's API or of AWS Glue: fetched once, compiled and kept for the life of the process.
//!
//! The local poller, which stands for Lambda's own, has another client of Confluent's API (`kafka-poller/src/registry.rs`). It shows
//! what Lambda does, not what the functions do: it waits without a deadline, and validates JSON Schemas with what they refer to.

mod cache;
mod client;
mod confluent;
pub mod fetch_error;
mod glue;
pub mod registry;
