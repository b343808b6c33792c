//! The schema registry that a function reads: its address, and the credentials for it.

use std::pin::Pin;
use std::sync::Arc;

use schema_registry::registry::{Api, REGISTRY_RETRIES, Registry};
use search_client::auth::{Auth, CredentialType};
use search_client::client::{
    BulkCompression, ClientError, ClientOptions, Credentials, FetchError, SearchClient,
};
use search_client::endpoint::{Endpoint, EndpointError};
use search_client::sigv4::SigningKey;
use thiserror::Error;

use crate::ca_certificate::{CaCertificate, CaCertificateError};
use crate::partition::service_url;
use crate::secrets::{SecretStore, StoredCredentialsError};
use crate::variables::Variables;

/// Where the registry is, and how to authenticate.
#[derive(Clone, PartialEq, Eq)]
pub struct RegistryConfig {
    endpoint: Endpoint,
    auth: AuthConfig,
    ca_certificate: Option<CaCertificate>,
}

/// Shows no credentials.
impl std::fmt::Debug for RegistryConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RegistryConfig").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

#[derive(Clone, PartialEq, Eq)]
enum AuthConfig {
    None,
    Secret {
        id: String,
        kind: TokenKind,
    },
    /// Glue: requests are signed with the role's credentials.
    Glue(Role),
}

#[derive(Clone, PartialEq, Eq)]
struct Role {
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
    region: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TokenKind {
    Basic,
    Bearer,
}

/// Why the registry's client can't be made. The text names the variable at fault.
#[derive(Debug, Error)]
pub enum RegistryConfigError {
    /// The certificate that `SCHEMA_REGISTRY_CA_CERT` names can't be read.
    #[error("SCHEMA_REGISTRY_CA_CERT: {0}")]
    CaCertificate(#[from] CaCertificateError),
    /// The CA certificate can't be used.
    #[error("SCHEMA_REGISTRY_CA_CERT: {0}")]
    Client(#[from] ClientError),
    /// The secret holds no credentials, or can't be read.
    #[error("SCHEMA_REGISTRY_SECRET_ID: {0}")]
    Secret(#[from] StoredCredentialsError),
}

impl RegistryConfig {
    /// Reads the variables and records their problems; `None` if no registry is configured.
    pub fn read(variables: &mut Variables<'_>) -> Option<Self> {
        #[derive(Clone, Copy, PartialEq)]
        enum Method {
            None,
            Secret(TokenKind),
            Glue,
        }
        let methods = [
            ("none", Method::None),
            ("basic", Method::Secret(TokenKind::Basic)),
            ("bearer", Method::Secret(TokenKind::Bearer)),
            ("glue", Method::Glue),
        ];
        let method = variables.one_of_or("SCHEMA_REGISTRY_AUTH", Method::None, &methods);
        let url = variables.text("SCHEMA_REGISTRY_URL");
        let secret_id = variables.text("SCHEMA_REGISTRY_SECRET_ID");
        let ca_certificate =
            variables.text("SCHEMA_REGISTRY_CA_CERT").map(|text| CaCertificate::parse(&text));
        if url.is_none() && method != Method::Glue {
            for (name, is_set) in [
                ("SCHEMA_REGISTRY_AUTH", method != Method::None),
                ("SCHEMA_REGISTRY_SECRET_ID", secret_id.is_some()),
                ("SCHEMA_REGISTRY_CA_CERT", ca_certificate.is_some()),
            ] {
                if is_set {
                    variables.problem(name, "set, but SCHEMA_REGISTRY_URL is not");
                }
            }
            return None;
        }
        let auth = match (method, secret_id) {
            (Method::Secret(kind), Some(id)) => Some(AuthConfig::Secret { id, kind }),
            (Method::Secret(_), None) => {
                variables.problem(
                    "SCHEMA_REGISTRY_SECRET_ID",
                    "not set: SCHEMA_REGISTRY_AUTH needs the id of a secret in Secrets Manager",
                );
                None
            }
            (Method::None | Method::Glue, Some(_)) => {
                variables.problem(
                    "SCHEMA_REGISTRY_SECRET_ID",
                    "set, but SCHEMA_REGISTRY_AUTH is neither `basic` nor `bearer`",
                );
                None
            }
            (Method::None, None) => Some(AuthConfig::None),
            (Method::Glue, None) => read_role(variables).map(AuthConfig::Glue),
        };
        let endpoint = match (&url, &auth) {
            (Some(url), _) => Endpoint::parse(url),
            (None, Some(AuthConfig::Glue(role))) => Endpoint::parse(&service_url("glue", &role.region)),
            (None, _) => return None,
        };
        let endpoint = match endpoint {
            Ok(endpoint) => endpoint,
            Err(error) => {
                variables.problem("SCHEMA_REGISTRY_URL", of_registry(&error));
                return None;
            }
        };
        let config = Self { endpoint, auth: auth?, ca_certificate };
        let is_allowed =
            variables.text("SEARCH_PLAINTEXT").is_some_and(|text| text.eq_ignore_ascii_case("allow"));
        if matches!(config.auth, AuthConfig::Secret { .. })
            && config.endpoint.is_readable_on_the_way()
            && !is_allowed
        {
            variables.problem(
                "SCHEMA_REGISTRY_URL",
                format!(
                    "`{}` is not encrypted, and anyone on the way could read the credentials: use https://, or set \
                     SEARCH_PLAINTEXT to `allow` in a network that is all yours",
                    config.endpoint.as_str()
                ),
            );
        }
        Some(config)
    }

    /// Makes the registry's client: reads the secret and the CA certificate. Opens no connection to the registry.
    ///
    /// # Errors
    /// [`RegistryConfigError`]
    pub async fn connect(&self, secrets: &Arc<dyn SecretStore>) -> Result<Registry, RegistryConfigError> {
        let mut credentials: Option<Arc<dyn Credentials>> = None;
        let (auth, api) = match &self.auth {
            AuthConfig::None => (Auth::None, Api::Confluent),
            AuthConfig::Secret { id, kind } => {
                let stored = StoredToken { store: Arc::clone(secrets), id: id.clone(), kind: *kind };
                let auth = stored.read().await?;
                credentials = Some(Arc::new(stored));
                (auth, Api::Confluent)
            }
            AuthConfig::Glue(role) => {
                let Role { access_key_id, secret_access_key, session_token, region } = role;
                let key = SigningKey::new(
                    access_key_id,
                    secret_access_key,
                    session_token.as_deref(),
                    region,
                    "glue",
                );
                (Auth::SigV4(key), Api::Glue)
            }
        };
        let ca_certificate = match &self.ca_certificate {
            Some(certificate) => Some(certificate.read(secrets).await?),
            None => None,
        };
        let client = SearchClient::new(ClientOptions {
            endpoints: self.endpoint.clone().into(),
            auth,
            credentials,
            ca_certificate: ca_certificate.as_deref(),
            compression: BulkCompression::None,
        })?;
        Ok(Registry::new(client, api, REGISTRY_RETRIES))
    }
}

/// The error, without the words about a cluster.
fn of_registry(error: &EndpointError) -> String {
    match error {
        EndpointError::NotAUrl(text) => {
            format!("`{text}` is not a URL: give one such as `https://registry.example.com:8081`")
        }
        EndpointError::Credentials => {
            "the URL must not hold credentials: put them in Secrets Manager and name the secret".to_owned()
        }
        EndpointError::Scheme(_) | EndpointError::Query(_) => error.to_string(),
    }
}

fn read_role(variables: &mut Variables<'_>) -> Option<Role> {
    let mut required = |name| {
        let text = variables.text(name);
        if text.is_none() {
            variables.problem(name, "not set: SCHEMA_REGISTRY_AUTH `glue` signs with the role's credentials");
        }
        text
    };
    let (id, key, region) =
        (required("AWS_ACCESS_KEY_ID"), required("AWS_SECRET_ACCESS_KEY"), required("AWS_REGION"));
    Some(Role {
        access_key_id: id?,
        secret_access_key: key?,
        session_token: variables.text("AWS_SESSION_TOKEN"),
        region: region?,
    })
}

/// The registry's credentials in a secret, read again when the registry refuses those in use.
struct StoredToken {
    store: Arc<dyn SecretStore>,
    id: String,
    kind: TokenKind,
}

impl StoredToken {
    async fn read(&self) -> Result<Auth, StoredCredentialsError> {
        let text = self.store.read(&self.id).await?;
        let text = text.ok_or_else(|| StoredCredentialsError::NoValue(self.id.clone()))?;
        let auth = match self.kind {
            TokenKind::Basic => Auth::from_secret(CredentialType::Basic, text.expose()),
            TokenKind::Bearer => Auth::bearer_from_secret(text.expose()),
        };
        auth.map_err(|source| StoredCredentialsError::Unusable { id: self.id.clone(), source })
    }
}

impl Credentials for StoredToken {
    fn fetch(&self) -> Pin<Box<dyn Future<Output = Result<Auth, FetchError>> + Send + '_>> {
        Box::pin(async { Ok(self.read().await?) })
    }
}

#[cfg(test)]
mod tests {
    use testing::environment::lookup;

    use super::*;
    use crate::variables::ConfigError;

    fn read(pairs: &[(&str, &str)]) -> Result<Option<RegistryConfig>, ConfigError> {
        let lookup = lookup(pairs.iter().copied());
        let mut variables = Variables::new(&lookup);
        let config = RegistryConfig::read(&mut variables);
        variables.finish(Some(config))
    }

    #[test]
    fn there_is_no_registry_unless_one_is_named() {
        assert_eq!(read(&[]).unwrap(), None);
        assert!(read(&[("SCHEMA_REGISTRY_URL", "http://registry:8081/apis/ccompat/v7")]).unwrap().is_some());
        let error =
            read(&[("SCHEMA_REGISTRY_AUTH", "basic"), ("SCHEMA_REGISTRY_SECRET_ID", "s")]).unwrap_err();
        assert_eq!(error.0.len(), 2, "{error}");
    }

    #[test]
    fn glue_is_that_of_the_functions_region() {
        let role = [
            ("SCHEMA_REGISTRY_AUTH", "glue"),
            ("AWS_ACCESS_KEY_ID", "AKID"),
            ("AWS_SECRET_ACCESS_KEY", "hunter2"),
            ("AWS_REGION", "eu-west-1"),
        ];
        let config = read(&role).unwrap().unwrap();
        assert_eq!(config.endpoint.as_str(), "https://glue.eu-west-1.amazonaws.com/");
        assert!(!format!("{config:?}").contains("hunter2"));
        assert!(read(&role[..1]).unwrap_err().to_string().contains("AWS_REGION: not set"));
    }

    #[test]
    fn bad_variables_are_named() {
        let problem = |pairs: &[(&str, &str)]| read(pairs).unwrap_err().to_string();
        let url = ("SCHEMA_REGISTRY_URL", "https://registry");
        assert!(problem(&[("SCHEMA_REGISTRY_URL", "https://u:p@x")]).contains("must not hold credentials"));
        assert!(
            problem(&[url, ("SCHEMA_REGISTRY_AUTH", "basic")]).contains("SCHEMA_REGISTRY_SECRET_ID: not set")
        );
        assert!(problem(&[url, ("SCHEMA_REGISTRY_SECRET_ID", "s")]).contains("neither `basic` nor `bearer`"));
        let plain = [
            ("SCHEMA_REGISTRY_URL", "http://registry"),
            ("SCHEMA_REGISTRY_AUTH", "bearer"),
            ("SCHEMA_REGISTRY_SECRET_ID", "s"),
            ("SEARCH_PLAINTEXT", "allow"),
        ];
        assert!(problem(&plain[..3]).contains("is not encrypted"));
        assert!(read(&plain).is_ok());
    }
}
