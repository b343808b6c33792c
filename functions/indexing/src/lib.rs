//! Writes batches of Kafka records to a cluster: the indexer, the bulk writer and their configuration.

mod account;
pub mod bulk_sender;
pub mod bulk_writer;
pub mod config;
mod first_forms;
pub mod index_cap;
pub mod indexer;
pub mod noted;
mod response_error;
pub mod rules;
pub mod transport;
