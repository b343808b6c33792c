//! Serves Kafka event source mappings, read from the Lambda API of any endpoint, as AWS documents them.
//!
//! `supervisor` follows the mappings; `poller` serves one, with `consumer` on the Kafka side and `dispatch` on the
//! Lambda side of a shared `batch::Buffer`. What is decided stands in pure modules: `batch` (which records make a
//! batch, what may be committed), `delivery` (retries, splits, discards), `response`, `filter`, `event`, `mapping`.

pub mod aws;
pub mod batch;
pub mod consumer;
pub mod delivery;
pub mod destination;
pub mod dispatch;
pub mod event;
pub mod filter;
pub mod http;
pub mod lag;
pub mod lambda;
pub mod mapping;
pub mod metrics;
pub mod offsets;
pub mod pattern;
pub mod poller;
pub mod response;
pub mod source_access;
pub mod status;
pub mod supervisor;
pub mod topic_id;
pub mod wake;
