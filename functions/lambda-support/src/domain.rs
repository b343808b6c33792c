//! Why the endpoint of a managed domain is not known.

use std::error::Error as StdError;

use thiserror::Error;

/// Why a domain's endpoint could not be looked up.
#[derive(Debug, Error)]
pub enum DomainError {
    /// `DescribeDomain` failed.
    #[error("the domain `{name}` can't be looked up: {source}")]
    Describe {
        /// Name of the domain.
        name: String,
        /// Why.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The response holds no domain.
    #[error("there is no domain `{0}`")]
    NotFound(String),
    /// The domain is still being created.
    #[error("the domain `{0}` has no endpoint yet: wait until it is created")]
    NoEndpoint(String),
    /// What secrets are read from is not AWS.
    #[error("the domain `{0}` can't be looked up: these secrets are not AWS's")]
    NotAws(String),
    /// The build lacks the AWS SDK.
    #[error("this build has no AWS SDK: build with the feature `aws`")]
    NoSdk,
}
