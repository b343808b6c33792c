//! Secrets that are read and written by their id.

use std::pin::Pin;
use std::sync::Arc;

use search_client::auth::Secret;

use crate::aws;

/// What a call to a store gives.
pub type Called<'c, T> = Pin<Box<dyn Future<Output = Result<T, String>> + Send + 'c>>;

/// Where secrets are kept: Secrets Manager, or in tests a map.
pub trait SecretStore: Send + Sync {
    /// Reads a secret's text; `None` where it has none yet.
    ///
    /// # Errors
    /// A text that says why it can't be read, without any of it.
    fn read<'c>(&'c self, id: &'c str) -> Called<'c, Option<Secret>>;

    /// Puts a new text into a secret that exists. The one before stays as its previous version.
    ///
    /// # Errors
    /// A text that says why it can't be written, without any of it.
    fn write<'c>(&'c self, id: &'c str, text: &'c Secret) -> Called<'c, ()>;
}

/// Secrets Manager, by the role and region of the environment. A build without the feature `aws` refuses each call.
pub fn secrets_manager() -> Arc<dyn SecretStore> {
    aws::secret_store()
}
