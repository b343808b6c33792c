//! OpenSearch and Elasticsearch over HTTP: endpoint, authentication, bulk.
