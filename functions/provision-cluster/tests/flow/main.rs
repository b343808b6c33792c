//! Whole runs against stand-ins: scripts over HTTP that respond as the APIs are documented. They replace plugins that no
//! registry serves, and servers with faults that can't be produced on demand. Their names say that they are not servers.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod access;
mod apply;
mod custom_resource;
mod delete;
mod iam_requests;
mod index_management;
mod lifecycle;
mod routed;
mod server;
mod stand_in;
mod world;
