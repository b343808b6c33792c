//! What the fuzz targets check: Avro against apache-avro, Protobuf against prost-reflect, and any bytes against all that is read.
//! `tests/fuzz_corpora.rs` runs the same checks on the corpora and on random bytes, with a stable compiler.

#![allow(dead_code, reason = "each fuzz target runs one of the checks")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a check fails by panicking"
)]

pub(crate) mod avro;
pub(crate) mod choices;
pub(crate) mod frame;
pub(crate) mod leaves;
pub(crate) mod protobuf;
