//! OpenSearch and Elasticsearch over HTTP: the endpoint, authentication, bulk writes with their retries, and which of
//! the two it is.

pub mod auth;
pub mod backoff;
pub mod bulk;
pub mod client;
pub mod endpoint;
pub mod engine;
pub mod sigv4;
