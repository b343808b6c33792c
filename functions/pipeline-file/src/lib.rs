//! Reads the file with the rules of topics, `infra/pipeline.yaml`.
//!
//! Every problem is reported at once, with its line, its column, the path of the value and the fix. docs/PIPELINE.md has the
//! whole format.

pub mod no_scripts;
mod node;
pub mod pipeline;
pub mod problem;
mod reader;
mod topic_rules;
pub mod without_scripts;

pub use no_scripts::NoScripts;
pub use pipeline::{PipelineFile, parse};
pub use problem::{PipelineFileError, Problem};
pub use without_scripts::WithoutScripts;
