//! Writes batches of Kafka records to a cluster: the indexer, the bulk writer and their configuration.

mod account;
pub mod bulk_sender;
pub mod bulk_writer;
pub mod config;
pub mod indexer;
mod response_error;
pub mod transport;
