//! Helpers that the tests of several crates share: environment variables as a table, an HTTP server on a free port, the
//! payload of an event source mapping, percent-encoding, and signatures of AWS computed a second time.
//!
//! Only dev-dependencies name this crate, and it depends on no other crate of the workspace.

pub mod environment;
pub mod http_server;
pub mod kafka_event;
pub mod percent;
pub mod sigv4;
