//! OpenSearch and Elasticsearch over HTTP: the endpoint, authentication, requests, and which of the two it is.

pub mod auth;
pub mod backoff;
pub mod client;
pub mod endpoint;
pub mod engine;
pub mod retry;
pub mod sigv4;
