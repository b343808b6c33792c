//! The program `kafka-to-search`: tries, tests, checks and simulates what the functions make of Kafka records, by the same library,
//! and plans what a load needs.

pub mod case_edit;
pub mod cases;
pub mod check;
pub mod command_line;
pub mod document_diff;
pub mod evaluate;
pub mod exit;
pub mod expectation;
pub mod explain;
pub mod output;
pub mod pipeline;
pub mod plan;
pub mod pretty;
pub mod record;
pub mod record_text;
pub mod schemas;
pub mod setup;
#[cfg(feature = "simulate")]
pub mod simulate;
pub mod test_cases;
pub mod try_events;
pub mod variables;
