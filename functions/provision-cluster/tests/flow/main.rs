//! Whole runs against stand-ins: scripts over HTTP that answer as the documentation of the APIs shows, for the plugins that
//! no registry serves, and for faults that no server shows on demand. They say of themselves that they are no servers.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod access;
mod apply;
mod custom_resource;
mod delete;
mod server;
mod stand_in;
mod world;
