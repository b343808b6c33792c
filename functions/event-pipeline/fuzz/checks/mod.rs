//! What the fuzz targets check: the pipeline against serde_json and chrono. `tests/fuzz_corpora.rs` runs the same checks on the
//! corpora, with a stable compiler.

#![allow(dead_code, reason = "each fuzz target runs one of the checks")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a check fails by panicking"
)]

pub(crate) mod batch;
pub(crate) mod bulk_response;
pub(crate) mod document;
pub(crate) mod nearly_json;
pub(crate) mod reading;
pub(crate) mod rescue;
pub(crate) mod times;
