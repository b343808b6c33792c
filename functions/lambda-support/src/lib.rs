//! What the functions share: start-up, environment variables, the connection to the cluster, secrets, logs, metrics, the
//! deadline, and the payload as bytes.

#[cfg_attr(not(feature = "aws"), path = "without_aws.rs")]
pub mod aws;
pub mod ca_certificate;
pub mod deadline;
pub mod domain;
pub mod logs;
pub mod metrics;
pub mod partition;
pub mod payload;
pub mod registry;
pub mod role;
pub mod search;
pub mod secrets;
pub mod start;
pub mod variables;
