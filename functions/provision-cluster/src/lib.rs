//! Prepares a search cluster for the events: index templates, lifecycle, access, monitors and dashboards. [`command_line`]
//! is its command line, `provision`.
//!
//! Read [`provision`] first: it has the steps in their order. A step has a file of its own ([`templates`],
//! [`lifecycle`], [`access`], [`monitors`], [`dashboards`]). Each knows OpenSearch and Elasticsearch, compares what the
//! cluster holds with what it should hold, changes what differs, and says what became of each thing ([`report`]).

pub mod access;
pub mod cluster;
pub mod command_line;
pub mod compare;
pub mod dashboards;
pub mod files;
pub mod lifecycle;
pub mod monitors;
pub mod product;
pub mod provision;
pub mod report;
pub mod settings;
pub mod show;
pub mod templates;
