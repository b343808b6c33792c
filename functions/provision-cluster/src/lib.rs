//! Prepares a search cluster for the events: index templates, lifecycle, access, monitors and dashboards. The same code
//! answers a CloudFormation custom resource ([`handler`]) and serves the command line `provision` ([`command_line`]).
//!
//! Read [`provision`] first: it has the steps in their order. A step has a file of its own ([`templates`],
//! [`lifecycle`], [`access`], [`monitors`], [`dashboards`]). Each knows OpenSearch and Elasticsearch, compares what the
//! cluster holds with what it should hold, changes what differs, and says what became of each thing ([`report`]).

pub mod access;
pub mod cluster;
pub mod command_line;
pub mod compare;
pub mod custom_resource;
pub mod dashboards;
pub mod files;
pub mod handler;
pub mod lifecycle;
pub mod monitors;
pub mod product;
pub mod provision;
pub mod refusal;
pub mod report;
pub mod settings;
pub mod show;
pub mod templates;
