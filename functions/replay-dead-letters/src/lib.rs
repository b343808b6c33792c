//! Lambda function that puts dead letters, and on-failure records of event source mappings, through the pipeline again:
//! to the same documents under the same ids, each removed only after its record is indexed.

pub mod answer;
pub mod cluster;
pub mod handler;
pub mod letter;
mod metrics;
pub mod objects;
mod pace;
pub mod query;
pub mod replay;
pub mod request;
pub mod s3;
