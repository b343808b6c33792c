//! Lambda function that accounts for the records in Kafka on a schedule: whether each has reached its place. It counts as
//! `kafka-to-search account` does, by the same code, reports what is missing by metrics, a log and its response, and changes nothing.

pub mod config;
pub mod handler;
pub mod kafka;
pub mod login;
pub mod metrics;
