//! Schemas of a registry with Confluent's API or of AWS Glue: fetched once, compiled and kept for the life of the process.

mod cache;
mod client;
mod confluent;
pub mod fetch_error;
mod glue;
pub mod registry;
