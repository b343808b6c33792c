//! Takes records in Avro, Protobuf or JSON Schema out of a schema registry's frame and writes them as JSON, straight from the bytes.
//!
//! Pure: no IO, no clock, no environment. The caller fetches schemas and keeps them; the JSON of a record depends on its bytes and
//! its schema alone. Any bytes end in JSON or an error, within bounded memory.

mod avro;
pub mod compression;
mod date_time;
mod decimal;
pub mod decode_error;
pub mod frame;
mod input;
pub mod key;
pub mod limits;
mod map_keys;
pub mod notes;
mod output;
mod protobuf;
pub mod schema;
pub mod schema_error;
