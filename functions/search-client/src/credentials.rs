//! Where a client gets new credentials from.

use std::pin::Pin;

use crate::auth::Auth;

/// Why [`Credentials`] could not be fetched: an error of the place that keeps them.
pub type FetchError = Box<dyn std::error::Error + Send + Sync>;

/// Fetches new credentials when the cluster refuses those in use. Implemented by the crate that reads secrets.
pub trait Credentials: Send + Sync {
    /// Fetches the current credentials.
    ///
    /// # Errors
    /// [`FetchError`]; the old credentials stay in use.
    fn fetch(&self) -> Pin<Box<dyn Future<Output = Result<Auth, FetchError>> + Send + '_>>;
}

/// Whether new credentials were fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewed {
    /// There are new ones.
    Yes,
    /// The source has none, or there is no source.
    No,
}
