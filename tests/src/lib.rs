//! What the tests of the whole system share: the account of each record's outcome, the table of protections, the
//! imports between files, and behind the feature `live` everything that needs servers.

pub mod account;
pub mod cpu_time;
pub mod imports;
#[cfg(feature = "live")]
pub mod live;
pub mod protections;
pub mod workspace;
