//! OpenSearch and Elasticsearch over HTTP: endpoint, authentication, requests, retries, and which of the two it is.

pub mod auth;
pub mod backoff;
mod body;
pub mod client;
mod credentials;
pub mod endpoint;
pub mod endpoints;
pub mod engine;
pub mod percent;
pub mod retry;
mod rotation;
mod send_error;
pub mod sigv4;
