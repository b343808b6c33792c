//! Turns the payload of a Kafka event source mapping into bulk requests.
//!
//! Pure: no IO, no clock, no environment. Everything comes as an argument, so that the same record gives the same
//! document, id and index whenever and however it is delivered.

pub mod address;
pub mod batch_response;
pub mod bulk;
pub mod bulk_response;
mod dead_letter;
mod document;
pub mod encoder;
pub mod event;
mod extra;
mod headers;
pub mod index;
pub mod item_result;
pub mod json;
pub mod object;
mod origin;
pub mod outcome;
pub mod settings;
mod text;
pub mod timestamp;
pub mod write_error;
