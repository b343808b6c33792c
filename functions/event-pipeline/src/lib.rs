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
mod decoding;
mod document;
pub mod encoder;
mod epoch;
pub mod event;
mod event_time;
mod exact_field;
mod extra;
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
pub mod settings;
pub mod time_text;
pub mod timestamp;
pub mod transform;
mod unsearched_field;
pub mod write_error;
