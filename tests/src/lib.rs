//! What the tests of the whole system share: the servers, a topic of a test's own with a way into the index, the
//! account of what became of each record, and a proxy that breaks answers.

pub mod account;
#[cfg(feature = "live")]
pub mod flow;
#[cfg(feature = "live")]
pub mod kafka;
#[cfg(feature = "live")]
pub mod lambda;
#[cfg(feature = "live")]
pub mod poll;
#[cfg(feature = "live")]
pub mod proxy;
#[cfg(feature = "live")]
pub mod search;
#[cfg(feature = "live")]
pub mod stack;
#[cfg(feature = "live")]
pub mod stream;
