//! Helpers that the tests of several crates share: environment variables as a table, servers as a script or on a free port,
//! responses to bulk requests, the payload of an event source mapping, percent-encoding, AWS signatures computed a second
//! time, the filter of Lambda's logs, and a function's process with the AWS services that it calls.
//!
//! Only dev-dependencies name this crate, and it depends on no other crate of the workspace.

pub mod aws_services;
pub mod bulk;
pub mod environment;
pub mod function_process;
pub mod http_server;
pub mod iam_requests;
pub mod kafka_event;
pub mod lambda_logs;
pub mod percent;
pub mod script;
pub mod sigv4;
