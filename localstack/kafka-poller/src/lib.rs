//! Serves Kafka event source mappings, read from the Lambda API of any endpoint, as AWS documents them.
//!
//! `supervisor` follows the mappings; `poller` serves one of them: `consumer` is its Kafka side and `dispatch` its Lambda
//! side. The decisions are in pure modules: `consumer_state` (what the consumer does next), `batch` (which records make a
//! batch, which offsets may be committed), `delivery` (retries, splits, discards), `response`, `filter`, `event`,
//! `mapping`. README.md shows the threads, their messages and the invariants.

pub mod action;
pub mod activity;
pub mod aws;
pub mod batch;
pub mod broker_calls;
pub mod callbacks;
pub mod causes;
pub mod consumer;
pub mod consumer_state;
pub mod decoder;
pub mod delivery;
pub mod destination;
pub mod dispatch;
pub mod event;
pub mod filter;
pub mod http;
pub mod intake;
pub mod json_schema;
pub mod lag;
pub mod lambda;
pub mod mailbox;
pub mod mapping;
pub mod metrics;
pub mod obstacles;
pub mod offset_lag;
pub mod offsets;
pub mod passed_over;
pub mod pattern;
pub mod percent;
pub mod poller;
pub mod rebalance;
pub mod record;
pub mod registry;
pub mod registry_config;
pub mod repeated_error;
pub mod response;
pub mod schemas;
pub mod secret;
pub mod source_access;
pub mod stall;
pub mod status;
pub mod supervisor;
pub mod table;
#[cfg(test)]
mod testing;
pub mod topic_id;
