//! Transforms of payloads in Vector Remap Language, VRL: compiles scripts and runs them on the JSON text of records.
//!
//! Pure: a shaped payload depends on the record and the script alone, so a record that is delivered again or replayed is the
//! same document. The functions of VRL that read a clock, random numbers, the machine or the network are refused when a
//! script is compiled ([`functions::REFUSED`]).

pub mod compiler;
mod digits;
mod error_text;
pub mod functions;
mod json_reader;
mod json_writer;
pub mod limits;
mod metadata;
mod path_hash;
mod script_place;
mod surrogates;
mod syslog;
mod transform;
mod zone;

pub use compiler::VrlCompiler;
