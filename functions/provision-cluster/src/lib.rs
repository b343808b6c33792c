//! Prepares a search cluster for the events: index templates, lifecycle, access, monitors and dashboards. A CloudFormation
//! custom resource ([`handler`]) and the command line `provision` ([`command_line`]) share this code.
//!
//! Read [`provision`] first: it lists the steps in their order. Each step has its own file ([`templates`], [`lifecycle`],
//! [`access`], [`monitors`], [`dashboards`]). A step knows OpenSearch and Elasticsearch, compares what the cluster holds
//! with what it should hold, changes the differences, and adds the outcome of each thing to the [`report`].

pub mod access;
mod administrator;
pub mod call_error;
pub mod clause_limit;
pub mod cluster;
pub mod command_line;
pub mod compare;
pub mod config;
pub mod custom_resource;
pub mod dashboards;
pub mod event_indices;
pub mod files;
pub mod handler;
pub mod lifecycle;
mod mapping_dialect;
pub mod monitors;
pub mod product;
pub mod provision;
pub mod report;
pub mod role;
pub mod run;
pub mod settings;
pub mod show;
pub mod templates;
pub mod text;
pub mod values;
