//! Real servers and what tests do with them: a topic of a test's own with a way into the index, proxies that break responses
//! or add TLS, and random faults.
#![expect(
    clippy::indexing_slicing,
    reason = "a missing member of a JSON value is null, which differs from every value"
)]

pub mod backlog;
pub mod certificate;
pub mod cut;
pub mod destination;
pub mod flow;
pub mod kafka;
pub mod lambda;
pub mod poll;
pub mod prebuilt;
pub mod program;
pub mod proxy;
pub mod quorum;
pub mod search;
pub mod serialized;
pub mod small_disk;
pub mod soak;
pub mod stack;
pub mod stream;
pub mod tls_proxy;
pub mod world;
