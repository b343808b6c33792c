//! Which product the cluster is, and its version.

use std::fmt;

use search_client::engine::{Engine, Version, from_nodes, from_root_document};

use crate::cluster::Cluster;
use crate::report::StepError;

/// Product and version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Product {
    /// The product.
    pub engine: Engine,
    /// `None` if the cluster does not reveal it. It counts as a current version then.
    pub version: Option<Version>,
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version {
            Some(version) => write!(f, "{} {version}", self.engine),
            None => write!(f, "{}, version unknown", self.engine),
        }
    }
}

impl Product {
    /// Whether this is OpenSearch of at least this version.
    pub fn is_opensearch_from(&self, major: u32, minor: u32) -> bool {
        self.engine == Engine::OpenSearch && self.is_from(major, minor)
    }

    /// Whether this is Elasticsearch of at least this version.
    pub fn is_elasticsearch_from(&self, major: u32, minor: u32) -> bool {
        self.engine == Engine::Elasticsearch && self.is_from(major, minor)
    }

    fn is_from(&self, major: u32, minor: u32) -> bool {
        self.version.is_none_or(|version| (version.major, version.minor) >= (major, minor))
    }
}

/// Detects the product and its version. With `configured` the cluster need not identify itself, but must not be the other
/// product.
///
/// # Errors
/// [`StepError`] when the cluster can't be reached, rejects the credential, or does not identify itself.
pub async fn detect(cluster: &Cluster, configured: Option<Engine>) -> Result<Product, StepError> {
    let (root, why) = match cluster.get("").await {
        Ok(Some(root)) => (Some(root), "its root document is from neither".to_owned()),
        Ok(None) => (None, "GET / returned 404".to_owned()),
        Err(error) if error.is_final() => return Err(error.into()),
        // A gateway's page, or a credential that lacks only `cluster:monitor/main`.
        Err(error) => (None, error.to_string()),
    };
    let detected = root.as_ref().and_then(from_root_document);
    let (engine, version) = match (configured, detected) {
        (Some(configured), Some((engine, _))) if configured != engine => {
            return Err(StepError::Other(format!(
                "SEARCH_ENGINE says {configured}, but {} is {engine}; correct the setting, or leave it at `auto`",
                cluster.client().endpoints()
            )));
        }
        (_, Some((engine, version))) => (engine, version),
        (Some(engine), None) => (engine, None),
        (None, None) => {
            return Err(StepError::Other(format!(
                "{} does not say whether it is OpenSearch or Elasticsearch ({why}); check SEARCH_ENDPOINT, or set \
                 SEARCH_ENGINE to `opensearch` or `elasticsearch`",
                cluster.client().endpoints()
            )));
        }
    };
    let version = match version {
        Some(version) => Some(version),
        None => match cluster.get("_nodes?filter_path=nodes.*.version").await {
            Ok(nodes) => nodes.as_ref().and_then(from_nodes),
            Err(error) if error.is_final() => return Err(error.into()),
            Err(_) => None,
        },
    };
    Ok(Product { engine, version })
}
