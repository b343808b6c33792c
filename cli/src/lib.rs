//! The program `kafka-to-search`: tries, tests, checks and simulates what the functions make of Kafka records, by the same library,
//! and accounts for each record in Kafka.

#[cfg(feature = "simulate")]
pub mod account;
#[cfg(feature = "simulate")]
pub mod aws_api;
pub mod case_edit;
pub mod cases;
pub mod check;
pub mod command_line;
#[cfg(feature = "simulate")]
pub mod decider;
pub mod document_diff;
pub mod evaluate;
pub mod exit;
pub mod expectation;
pub mod explain;
#[cfg(feature = "simulate")]
pub mod kafka_options;
#[cfg(feature = "simulate")]
pub mod offsets;
pub mod output;
pub mod pipeline;
pub mod pretty;
pub mod record;
pub mod record_text;
pub mod schemas;
#[cfg(feature = "simulate")]
pub mod search_options;
pub mod setup;
#[cfg(feature = "simulate")]
pub mod simulate;
#[cfg(feature = "simulate")]
pub mod since;
pub mod test_cases;
pub mod try_events;
pub mod variables;
