//! OpenSearch and Elasticsearch over HTTP: the endpoint, authentication, and bulk writes with their retries.

pub mod auth;
pub mod backoff;
pub mod bulk;
pub mod client;
pub mod endpoint;
pub mod sigv4;
