//! Turns the payload of a Kafka event source mapping into bulk requests.
//!
//! Pure: no IO, no clock, no environment. Everything comes as an argument, so that the same record gives the same
//! document, id and index whenever and however it is delivered.

pub mod address;
mod append;
pub mod batch_response;
mod bit_stack;
pub mod bulk;
pub mod bulk_response;
pub mod conflict;
mod conflict_text;
mod dead_letter;
mod debezium;
pub mod decoder;
mod document;
pub mod encoder;
pub mod encoding;
mod epoch;
pub mod event;
mod event_time;
mod exact_field;
mod extra;
pub mod field_path;
pub mod formats;
mod header_bytes;
mod headers;
pub mod index;
pub mod item_result;
pub mod json;
pub mod json_string;
mod members;
pub mod name_table;
pub mod nearly_json;
pub mod object;
mod object_key;
mod origin;
pub mod outcome;
mod payload;
pub mod rescue;
pub mod restore;
pub mod routing;
pub mod rules;
pub mod salt;
pub mod sampling;
pub mod settings;
mod stable_hash;
pub mod time_text;
pub mod timestamp;
pub mod topic_pattern;
pub mod transform;
mod unsearched_field;
pub mod write_error;
