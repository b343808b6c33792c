//! What the functions share: the start, configuration from the environment, the way to the cluster, secrets, telemetry,
//! the deadline and the payload as bytes.

#[cfg_attr(not(feature = "aws"), path = "without_aws.rs")]
mod aws;
pub mod deadline;
pub mod metrics;
pub mod payload;
pub mod search;
pub mod secrets;
pub mod start;
pub mod telemetry;
pub mod variables;
