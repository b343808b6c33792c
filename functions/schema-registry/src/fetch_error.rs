//! Why a schema could not be fetched.

use thiserror::Error;

/// Why a schema could not be fetched: it does not exist, or the registry can't be asked.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum FetchError {
    /// The registry has no such schema, or one that can't be used. The records that name it are at fault.
    #[error("{0}")]
    Schema(String),
    /// The registry could not be asked, or what responds is no registry. Records have to be delivered again.
    #[error("{0}")]
    Registry(RegistryError),
}

/// Why a registry could not be asked.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum RegistryError {
    /// There was no response in time.
    #[error("the schema registry could not be reached: {0}")]
    Unreachable(String),
    /// It refused the credentials.
    #[error("the schema registry refused the credentials with status {status}: {reason}")]
    Unauthorized {
        /// HTTP status: 401 or 403.
        status: u16,
        /// The registry's own words.
        reason: String,
    },
    /// It responded with an error that says nothing about the schema.
    #[error("the schema registry responded with status {status}: {reason}")]
    Status {
        /// HTTP status.
        status: u16,
        /// The registry's own words.
        reason: String,
    },
    /// It responded with something else than the API's JSON.
    #[error("the schema registry's response is not that of its API: {0}")]
    Response(String),
}

impl RegistryError {
    /// The HTTP status, where there was a response.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Unauthorized { status, .. } | Self::Status { status, .. } => Some(*status),
            Self::Unreachable(_) | Self::Response(_) => None,
        }
    }
}

impl From<RegistryError> for FetchError {
    fn from(error: RegistryError) -> Self {
        Self::Registry(error)
    }
}
