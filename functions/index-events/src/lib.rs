//! Lambda function behind Kafka event source mappings: writes each batch of events to daily indices.

pub mod config;
pub mod handler;
mod metrics;
