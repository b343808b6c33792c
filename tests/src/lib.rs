//! What the tests of the whole system share: the servers, a topic of a test's own with a way into the index, the
//! account of what became of each record, proxies that break answers or speak TLS, random
//! faults, and the table of protections.
#![cfg_attr(
    feature = "live",
    expect(
        clippy::indexing_slicing,
        reason = "a missing member of a JSON value is null, which is told from a value"
    )
)]

pub mod account;
#[cfg(feature = "live")]
pub mod certificate;
#[cfg(feature = "live")]
pub mod destination;
#[cfg(feature = "live")]
pub mod flow;
pub mod imports;
#[cfg(feature = "live")]
pub mod kafka;
#[cfg(feature = "live")]
pub mod lambda;
#[cfg(feature = "live")]
pub mod poll;
#[cfg(feature = "live")]
pub mod prebuilt;
pub mod protections;
#[cfg(feature = "live")]
pub mod proxy;
#[cfg(feature = "live")]
pub mod search;
#[cfg(feature = "live")]
pub mod soak;
#[cfg(feature = "live")]
pub mod stack;
#[cfg(feature = "live")]
pub mod stream;
#[cfg(feature = "live")]
pub mod tls_proxy;
pub mod workspace;
