//! Lambda function that puts dead letters, and on-failure records of event source mappings, through the pipeline again:
//! to the same documents under the same ids. A dead letter is removed only after its record is indexed. It also lists the
//! documents that were written in another form because the cluster rejected them, and restores their usual form once the
//! mapping takes it.

pub mod cluster;
mod conditions;
mod conflict_fix;
mod conflict_groups;
mod conflict_list;
mod conflict_proposal;
mod conflict_query;
mod conflict_reason;
pub mod conflict_response;
mod conflict_search;
pub mod dead_letter;
mod dead_letter_page;
mod dead_letter_preview;
mod dead_letter_walk;
mod discarded_batch;
mod field_mapping;
pub mod handler;
mod metrics;
mod object_walk;
mod page_size;
mod query;
pub mod reader;
mod replay_event;
mod replayer;
pub mod request;
pub mod request_error;
pub mod response;
pub mod s3;
mod search;
pub mod selection;
mod stored;
mod time_budget;
mod value_shape;
mod walk;
