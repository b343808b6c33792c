//! What the functions share: configuration from the environment, the way to the cluster, telemetry, the deadline
//! and the payload as bytes.

#[cfg(feature = "aws")]
mod aws;
pub mod deadline;
pub mod metrics;
pub mod payload;
pub mod search;
pub mod telemetry;
pub mod variables;
