//! Detects the product, OpenSearch or Elasticsearch, and its version.

use std::fmt;

use serde_json::Value;

/// The product that a cluster runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// OpenSearch, including Amazon OpenSearch Service.
    OpenSearch,
    /// Elasticsearch, by Elastic.
    Elasticsearch,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OpenSearch => "OpenSearch",
            Self::Elasticsearch => "Elasticsearch",
        })
    }
}

/// A version of either product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
    /// The third number.
    pub patch: u32,
}

impl Version {
    /// Reads a version such as `3.4.0` or `8.19.21-SNAPSHOT`.
    pub fn parse(text: &str) -> Option<Self> {
        let numbers = text.split(['-', '+']).next()?;
        let mut numbers = numbers.split('.').map(|number| number.parse().ok());
        let (major, minor, patch) = (numbers.next()??, numbers.next()??, numbers.next()??);
        numbers.next().is_none().then_some(Self { major, minor, patch })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// Reads the root document, `GET /`. An OpenSearch that claims version 7.10.2 for old clients
/// (`compatibility.override_main_response_version`) still names itself in `distribution`. Its version is unknown then.
pub fn from_root_document(root: &Value) -> Option<(Engine, Option<Version>)> {
    let version = root.get("version")?;
    let number = Version::parse(version.get("number")?.as_str()?)?;
    match version.get("distribution").and_then(Value::as_str) {
        Some("opensearch") if number.major >= 7 => Some((Engine::OpenSearch, None)),
        Some("opensearch") => Some((Engine::OpenSearch, Some(number))),
        Some(_) => None,
        // Elasticsearch names no distribution. `lucene_version` distinguishes its root document from another server's.
        None => version.get("lucene_version").map(|_| (Engine::Elasticsearch, Some(number))),
    }
}

/// The lowest version in the response to `GET _nodes?filter_path=nodes.*.version`, whose features all nodes have.
pub fn from_nodes(nodes: &Value) -> Option<Version> {
    let nodes = nodes.get("nodes")?.as_object()?;
    nodes.values().filter_map(|node| Version::parse(node.get("version")?.as_str()?)).min()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn version(major: u32, minor: u32, patch: u32) -> Option<Version> {
        Some(Version { major, minor, patch })
    }

    #[test]
    fn the_root_document_distinguishes_the_products() {
        let opensearch =
            json!({"version": {"distribution": "opensearch", "number": "3.4.0", "lucene_version": "10"}});
        assert_eq!(from_root_document(&opensearch), Some((Engine::OpenSearch, version(3, 4, 0))));
        let claimed = json!({"version": {"distribution": "opensearch", "number": "7.10.2"}});
        assert_eq!(from_root_document(&claimed), Some((Engine::OpenSearch, None)));
        let elasticsearch =
            json!({"version": {"number": "6.8.23", "build_flavor": "default", "lucene_version": "7"}});
        assert_eq!(from_root_document(&elasticsearch), Some((Engine::Elasticsearch, version(6, 8, 23))));
        for other in [json!({}), json!({"version": {"number": "1.2.3"}}), json!({"version": "1.2.3"})] {
            assert_eq!(from_root_document(&other), None, "{other}");
        }
    }

    #[test]
    fn a_version_is_three_numbers() {
        assert_eq!(Version::parse("8.19.21-SNAPSHOT"), version(8, 19, 21));
        for text in ["", "8", "8.1", "8.1.2.3", "v8.1.2", "8.x.1"] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
        assert!(Version::parse("8.14.0") > Version::parse("8.9.12"));
    }

    #[test]
    fn the_oldest_node_sets_the_version() {
        let nodes = json!({"nodes": {"a": {"version": "3.7.1"}, "b": {"version": "3.4.0"}, "c": {}}});
        assert_eq!(from_nodes(&nodes), version(3, 4, 0));
        assert_eq!(from_nodes(&json!({"nodes": {}})), None);
    }
}
