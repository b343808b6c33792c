//! Why a request got no response.

use std::time::Duration;

use thiserror::Error;

/// Why a request got no response.
#[derive(Debug, Error)]
pub enum SendError {
    /// There was no connection, or it broke.
    #[error("the cluster could not be reached: {}", with_causes(.0))]
    Connection(#[source] reqwest::Error),
    /// The response, or part of it, did not come in time.
    #[error("the cluster did not respond within {0:?}")]
    Timeout(Duration),
    /// The request could not be signed.
    #[error("the request could not be signed: {0}")]
    Signing(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl SendError {
    /// Whether the request can't have reached the cluster, so that sending it again does nothing twice.
    pub fn never_arrived(&self) -> bool {
        match self {
            Self::Connection(error) => error.is_connect(),
            Self::Timeout(_) => false,
            Self::Signing(_) => true,
        }
    }

    pub(crate) fn signing(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Signing(error.into())
    }
}

/// The error with its causes. reqwest's own text has the URL but not the cause.
fn with_causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
