//! Helpers that the tests of several crates share: environment variables as a table, servers as a script or on a free port,
//! responses to bulk requests, the payload of an event source mapping, percent-encoding, AWS signatures computed a second
//! time, and the filter of Lambda's logs.
//!
//! Only dev-dependencies name this crate, and it depends on no other crate of the workspace.

pub mod bulk;
pub mod environment;
pub mod http_server;
pub mod kafka_event;
pub mod lambda_logs;
pub mod percent;
pub mod script;
pub mod sigv4;
