//! Lambda function that puts dead letters, and on-failure records of event source mappings, through the pipeline again:
//! to the same documents under the same ids. A dead letter is removed only after its record is indexed.

pub mod cluster;
pub mod dead_letter;
mod dead_letter_page;
mod dead_letter_preview;
mod dead_letter_walk;
mod discarded_batch;
pub mod handler;
mod metrics;
mod object_walk;
mod query;
pub mod reader;
mod replay_event;
mod replayer;
pub mod request;
pub mod response;
pub mod s3;
mod search;
pub mod selection;
mod stored;
mod time_budget;
mod walk;
