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
    /// `None` where the cluster keeps it to itself: it is taken for a current one then.
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
    /// Whether it is an OpenSearch of this version or newer.
    pub fn is_opensearch_from(&self, major: u32, minor: u32) -> bool {
        self.engine == Engine::OpenSearch && self.is_from(major, minor)
    }

    /// Whether it is an Elasticsearch of this version or newer.
    pub fn is_elasticsearch_from(&self, major: u32, minor: u32) -> bool {
        self.engine == Engine::Elasticsearch && self.is_from(major, minor)
    }

    fn is_from(&self, major: u32, minor: u32) -> bool {
        self.version.is_none_or(|version| (version.major, version.minor) >= (major, minor))
    }
}

/// Asks the cluster who it is, unless `given` tells the product; the version is asked for in any case.
///
/// # Errors
/// [`StepError`]: the cluster is out of reach, refuses the credential, or does not tell.
pub async fn detect(cluster: &Cluster, given: Option<Engine>) -> Result<Product, StepError> {
    let (root, why) = match cluster.get("").await {
        Ok(Some(root)) => (Some(root), "its root document is none of theirs".to_owned()),
        Ok(None) => (None, "GET / was answered 404".to_owned()),
        Err(error) if error.is_final() => return Err(error.into()),
        // A gateway's page, or a credential without `cluster:monitor/main` that may still do all the rest.
        Err(error) => (None, error.to_string()),
    };
    let told = root.as_ref().and_then(from_root_document);
    let (engine, version) = match (given, told) {
        (Some(engine), Some((told, _))) if engine != told => {
            return Err(StepError::Other(format!(
                "SEARCH_ENGINE says {engine}, but {} is {told}; correct the setting, or leave it at `auto`",
                cluster.client().endpoint().as_str()
            )));
        }
        (_, Some((engine, version))) => (engine, version),
        (Some(engine), None) => (engine, None),
        (None, None) => {
            return Err(StepError::Other(format!(
                "{} does not say whether it is OpenSearch or Elasticsearch ({why}); check SEARCH_ENDPOINT, or set \
                 SEARCH_ENGINE to `opensearch` or `elasticsearch`",
                cluster.client().endpoint().as_str()
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
