//! Secrets that are read and written by their id, and the cluster's credentials from one of them.

use std::error::Error as StdError;
use std::pin::Pin;
use std::sync::Arc;

use search_client::auth::{Auth, CredentialType, Secret, SecretError};
use search_client::client::{Credentials, FetchError};
use thiserror::Error;

use crate::domain::DomainError;

/// Why a secret can't be read or written. Never holds any of its text.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Reading failed.
    #[error("the secret `{id}` can't be read: {source}")]
    Read {
        /// Id of the secret.
        id: String,
        /// The store's error.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// Writing failed.
    #[error("the secret `{id}` can't be written: {source}")]
    Write {
        /// Id of the secret.
        id: String,
        /// The store's error.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The secret has no text.
    #[error("the secret `{0}` is binary")]
    Binary(String),
    /// A function's role writes no secrets.
    #[error("the secret `{0}` can't be written: the role of a function only reads secrets")]
    ReadOnly(String),
    /// The build lacks the AWS SDK.
    #[error("this build has no AWS SDK: build with the feature `aws`")]
    NoSdk,
}

/// What a [`SecretStore`] returns.
pub type StoreFuture<'s, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 's>>;

/// What [`SecretStore::domain_endpoint`] returns.
pub type DomainFuture<'s> = Pin<Box<dyn Future<Output = Result<String, DomainError>> + Send + 's>>;

/// Where secrets are kept: Secrets Manager, or a map in tests. AWS's own also finds the endpoints of domains.
pub trait SecretStore: Send + Sync {
    /// Reads a secret's text; `None` if it has none yet.
    ///
    /// # Errors
    /// [`StoreError`]
    fn read<'s>(&'s self, id: &'s str) -> StoreFuture<'s, Option<Secret>>;

    /// Puts a new text into an existing secret. The previous text stays as its previous version.
    ///
    /// # Errors
    /// [`StoreError`]
    fn write<'s>(&'s self, id: &'s str, text: &'s Secret) -> StoreFuture<'s, ()>;

    /// Looks up the endpoint of a managed domain by `DescribeDomain`:
    /// <https://docs.aws.amazon.com/opensearch-service/latest/APIReference/API_DescribeDomain.html>.
    ///
    /// # Errors
    /// [`DomainError`]; [`DomainError::NotAws`] of a store that is not AWS's.
    fn domain_endpoint<'s>(&'s self, name: &'s str) -> DomainFuture<'s> {
        Box::pin(std::future::ready(Err(DomainError::NotAws(name.to_owned()))))
    }
}

/// Why a secret gives no credentials for the cluster.
#[derive(Debug, Error)]
pub enum StoredCredentialsError {
    /// The store returned an error.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The secret does not exist, or has no value yet.
    #[error("the secret `{0}` can't be read: it does not exist or has no value")]
    NoValue(String),
    /// The text is not a credential of the configured kind.
    #[error("the secret `{id}`: {source}")]
    Unusable {
        /// Id of the secret.
        id: String,
        /// What is wrong with the text.
        source: SecretError,
    },
}

/// The cluster's credentials in a secret, read again when the cluster rejects those in use.
pub(crate) struct StoredCredentials {
    store: Arc<dyn SecretStore>,
    id: String,
    /// `None` if the secret may hold either kind.
    kind: Option<CredentialType>,
}

impl StoredCredentials {
    pub(crate) fn new(store: Arc<dyn SecretStore>, id: &str, kind: Option<CredentialType>) -> Self {
        Self { store, id: id.to_owned(), kind }
    }

    pub(crate) async fn read(&self) -> Result<Auth, StoredCredentialsError> {
        let text = self.store.read(&self.id).await?;
        let text = text.ok_or_else(|| StoredCredentialsError::NoValue(self.id.clone()))?;
        let auth = match self.kind {
            Some(kind) => Auth::from_secret(kind, text.expose()),
            None => Auth::from_any_secret(text.expose()),
        };
        auth.map_err(|source| StoredCredentialsError::Unusable { id: self.id.clone(), source })
    }
}

impl Credentials for StoredCredentials {
    fn fetch(&self) -> Pin<Box<dyn Future<Output = Result<Auth, FetchError>> + Send + '_>> {
        Box::pin(async { Ok(self.read().await?) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct OneSecret(Option<&'static str>);

    impl SecretStore for OneSecret {
        fn read<'s>(&'s self, _id: &'s str) -> StoreFuture<'s, Option<Secret>> {
            Box::pin(async { Ok(self.0.map(Secret::new)) })
        }

        fn write<'s>(&'s self, _id: &'s str, _text: &'s Secret) -> StoreFuture<'s, ()> {
            Box::pin(async { Ok(()) })
        }
    }

    #[tokio::test]
    async fn a_secret_of_either_kind_is_read_by_what_it_holds() {
        let read = async |text| {
            StoredCredentials::new(Arc::new(OneSecret(Some(text))), "admin", None).read().await.unwrap()
        };
        assert!(matches!(read(r#"{"username":"a","password":"b"}"#).await, Auth::Basic { .. }));
        assert!(matches!(read(r#"{"api_key":"aWQ6a2V5"}"#).await, Auth::ApiKey(_)));
    }

    #[tokio::test]
    async fn credentials_are_read_from_their_secret_and_an_error_names_it_without_its_text() {
        let read = async |text| {
            StoredCredentials::new(Arc::new(OneSecret(text)), "admin", Some(CredentialType::Basic))
                .read()
                .await
        };
        let auth = read(Some(r#"{"username":"a","password":"hunter2"}"#)).await.unwrap();
        assert!(matches!(auth, Auth::Basic { username, .. } if username == "a"));
        let error = read(Some("hunter2")).await.unwrap_err().to_string();
        assert_eq!(error, "the secret `admin`: the secret is not a JSON object");
        let error = read(None).await.unwrap_err().to_string();
        assert_eq!(error, "the secret `admin` can't be read: it does not exist or has no value");
    }
}
