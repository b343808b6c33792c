//! The URLs of one cluster: a list of its nodes, or of what stands before them.

use std::fmt;

use thiserror::Error;

use crate::endpoint::{Endpoint, EndpointError};

/// One or more URLs of one cluster, all of one scheme and each a different one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    first: Endpoint,
    more: Vec<Endpoint>,
}

/// Why a text can't be a list of a cluster's URLs.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum EndpointsError {
    /// One of them is not a cluster's URL.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// There is nothing before, after or between commas.
    #[error("an entry of the list is empty: remove the comma that is too many")]
    Empty,
    /// Something else than a comma stands between two of them.
    #[error("`{0}` is not one URL: separate the nodes by commas")]
    Separator(String),
    /// The same URL stands in the list twice.
    #[error("`{0}` is in the list more than once: name each node once")]
    Duplicate(String),
    /// Some are encrypted and some are not.
    #[error("`{0}` and `{1}` have different schemes: give all nodes http:// or all https://")]
    MixedSchemes(String, String),
}

impl Endpoints {
    /// Reads URLs separated by commas, each as [`Endpoint::parse`] does.
    ///
    /// # Errors
    /// [`EndpointsError`] for the first entry that can't be used.
    pub fn parse(text: &str) -> Result<Self, EndpointsError> {
        let mut entries = text.split(',').map(str::trim);
        let first = entries.next().unwrap_or_default();
        let is_list = text.contains(',');
        let read = |entry: &str| {
            if is_list && entry.is_empty() {
                return Err(EndpointsError::Empty);
            }
            if entry.contains([';', '|', ' ', '\t', '\n']) || entry.matches("://").count() > 1 {
                // What holds credentials is not shown.
                return Err(match Endpoint::parse(entry) {
                    Err(error @ EndpointError::Credentials) => error.into(),
                    _ => EndpointsError::Separator(entry.to_owned()),
                });
            }
            Ok(Endpoint::parse(entry)?)
        };
        let mut endpoints = Self::from(read(first)?);
        for entry in entries {
            let endpoint = read(entry)?;
            if endpoints.iter().any(|other| *other == endpoint) {
                return Err(EndpointsError::Duplicate(endpoint.as_str().to_owned()));
            }
            if endpoint.is_https() != endpoints.first.is_https() {
                let (first, other) = (endpoints.first.as_str(), endpoint.as_str());
                return Err(EndpointsError::MixedSchemes(first.to_owned(), other.to_owned()));
            }
            endpoints.more.push(endpoint);
        }
        Ok(endpoints)
    }

    /// Each of them, in the order of the list.
    pub fn iter(&self) -> impl Iterator<Item = &Endpoint> {
        std::iter::once(&self.first).chain(&self.more)
    }

    /// The one at a position counted from 0; the first one for a position that the list does not have.
    pub fn at(&self, position: usize) -> &Endpoint {
        position.checked_sub(1).and_then(|position| self.more.get(position)).unwrap_or(&self.first)
    }

    /// The only one; `None` where there are several.
    pub fn only(&self) -> Option<&Endpoint> {
        self.more.is_empty().then_some(&self.first)
    }

    /// How many there are: at least 1.
    pub fn n_endpoints(&self) -> usize {
        1 + self.more.len()
    }

    /// Whether the connections are encrypted.
    pub fn is_https(&self) -> bool {
        self.first.is_https()
    }
}

impl From<Endpoint> for Endpoints {
    fn from(first: Endpoint) -> Self {
        Self { first, more: Vec::new() }
    }
}

/// The list as text, for errors and logs.
impl fmt::Display for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.first.as_str())?;
        self.more.iter().try_for_each(|endpoint| write!(f, ", {}", endpoint.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_each_node_in_its_order() {
        let endpoints = Endpoints::parse(" https://a:9200,b:9200 ,\nhttps://b:9201/search").unwrap();
        assert_eq!(endpoints.to_string(), "https://a:9200/, https://b:9200/, https://b:9201/search/");
        assert_eq!((endpoints.n_endpoints(), endpoints.only()), (3, None));
        let at: Vec<_> = (0..4).map(|position| endpoints.at(position).as_str()).collect();
        assert_eq!(at, ["https://a:9200/", "https://b:9200/", "https://b:9201/search/", "https://a:9200/"]);
        let one = Endpoints::parse("http://a").unwrap();
        assert_eq!(one.only().map(Endpoint::as_str), Some("http://a/"));
    }

    #[test]
    fn a_list_that_is_not_one_of_one_cluster_is_refused_with_the_cause() {
        let problem = |text: &str| Endpoints::parse(text).unwrap_err();
        for text in [",http://a", "http://a,", "http://a,,http://b", ",", "http://a, ,http://b"] {
            assert_eq!(problem(text), EndpointsError::Empty, "{text}");
        }
        for text in ["http://a:9200,http://b,http://A:9200/", "a,https://a:443", "http://a,http://a:80"] {
            assert!(matches!(problem(text), EndpointsError::Duplicate(_)), "{text}");
        }
        for text in ["http://a:9200,b:9200", "https://a,http://b"] {
            assert!(matches!(problem(text), EndpointsError::MixedSchemes(..)), "{text}");
        }
        for text in
            ["http://a;http://b", "http://a http://b", "a:9200|b:9200", "http://a,b\nc", "http://ahttp://b"]
        {
            assert!(matches!(problem(text), EndpointsError::Separator(_)), "{text}");
        }
        for text in ["http://a,ftp://b", "http://a,http://u:p@b", "http://u:p@a;http://b", ""] {
            assert!(matches!(problem(text), EndpointsError::Endpoint(_)), "{text}");
        }
    }
}
