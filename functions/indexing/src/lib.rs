//! Writes batches of Kafka records to a cluster: the indexer, the bulk writer and their configuration.

pub mod bulk_writer;
pub mod config;
pub mod indexer;
pub mod transport;
