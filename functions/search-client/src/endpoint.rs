//! The cluster's URL.

use std::net::IpAddr;

use reqwest::Url;
use thiserror::Error;

/// URL of a cluster, without credentials, query or fragment; it may have a path, as behind a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint(Url);

/// Why a text can't be a cluster's URL.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum EndpointError {
    /// The text is not a URL.
    #[error("`{0}` is not a URL: give one such as `https://search.example.com:9200`")]
    NotAUrl(String),
    /// The URL has another scheme than http or https.
    #[error("`{0}` must begin with http:// or https://")]
    Scheme(String),
    /// The URL holds credentials, which belong in a secret.
    #[error(
        "the URL of the cluster must not hold credentials: put them in Secrets Manager and name the secret"
    )]
    Credentials,
    /// The URL has a query or a fragment, which would not be sent.
    #[error("`{0}` must not have a query or a fragment")]
    Query(String),
}

impl Endpoint {
    /// Reads a URL. A host without a scheme, as AWS lists managed domains, gets https.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        let text = text.trim();
        // Checked first, as the other errors show the text.
        if text.contains('@') {
            return Err(EndpointError::Credentials);
        }
        let with_scheme = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
        let mut url = Url::parse(&with_scheme).map_err(|_| EndpointError::NotAUrl(text.to_owned()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(EndpointError::Scheme(text.to_owned()));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(EndpointError::Query(text.to_owned()));
        }
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        Ok(Self(url))
    }

    /// Whether the connection is encrypted.
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Whether a request to it leaves the machine unencrypted, so that anyone on its way can read what it carries.
    pub fn is_readable_on_the_way(&self) -> bool {
        let host = self.host();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        let is_loopback = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
        !self.is_https() && !is_loopback
    }

    /// URL of an API below the endpoint, such as `_bulk?filter_path=errors`.
    pub fn join(&self, path_and_query: &str) -> Url {
        self.0.join(path_and_query).expect("API paths are valid relative URLs")
    }

    /// The host's name or address.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// Whether it is that of a collection of OpenSearch Serverless, which takes fewer parameters than a cluster.
    /// <https://docs.aws.amazon.com/opensearch-service/latest/developerguide/serverless-genref.html>
    pub fn is_serverless(&self) -> bool {
        self.host().ends_with(".aoss.amazonaws.com")
    }

    /// The URL as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_before_the_apis_is_kept() {
        for text in ["https://gateway.example.com/search", "gateway.example.com/search/"] {
            let endpoint = Endpoint::parse(text).unwrap();
            assert_eq!(endpoint.join("_bulk?a=b").as_str(), "https://gateway.example.com/search/_bulk?a=b");
        }
        assert!(!Endpoint::parse("http://localhost:9200").unwrap().is_https());
    }

    #[test]
    fn a_collection_is_known_by_its_host() {
        let is_serverless = |text: &str| Endpoint::parse(text).unwrap().is_serverless();
        assert!(is_serverless("https://abc123.eu-central-1.aoss.amazonaws.com"));
        assert!(!is_serverless("https://vpc-events.eu-central-1.es.amazonaws.com"));
        assert!(!is_serverless("https://search.example.com/.aoss.amazonaws.com"));
    }

    #[test]
    fn only_https_and_the_machine_itself_keep_a_request_from_readers() {
        for (text, expected) in [
            ("https://search.example.com", false),
            ("http://LOCALHOST:9200", false),
            ("http://127.0.0.1:9200", false),
            ("http://127.8.9.1", false),
            ("http://[::1]:9200", false),
            ("http://search.example.com", true),
            ("http://10.0.0.5:9200", true),
            ("http://elasticsearch:9200", true),
            ("http://localhost.example.com", true),
            ("http://[2001:db8::1]", true),
            ("http://0.0.0.0:9200", true),
        ] {
            assert_eq!(Endpoint::parse(text).unwrap().is_readable_on_the_way(), expected, "{text}");
        }
    }

    #[test]
    fn a_text_that_is_not_a_url_is_refused_with_the_cause() {
        assert_eq!(Endpoint::parse("ftp://x"), Err(EndpointError::Scheme("ftp://x".into())));
        for text in ["https://u:p@x", "https://u:p@x:92000", "u:p@x"] {
            assert_eq!(Endpoint::parse(text), Err(EndpointError::Credentials));
        }
        assert_eq!(Endpoint::parse("https://x/?a"), Err(EndpointError::Query("https://x/?a".into())));
        assert_eq!(Endpoint::parse("https://"), Err(EndpointError::NotAUrl("https://".into())));
    }
}
