//! How to connect to the cluster: `SEARCH_ENDPOINT` or `SEARCH_DOMAIN`, `SEARCH_AUTH`, `SEARCH_SECRET_ID`,
//! `SEARCH_CA_CERT`, `SEARCH_PLAINTEXT`, `BULK_COMPRESSION`.

use std::sync::Arc;

use search_client::auth::{Auth, CredentialType, Secret, SecretError};
use search_client::client::{BulkCompression, ClientError, ClientOptions, Credentials, SearchClient};
use search_client::endpoint::{Endpoint, EndpointError};
use search_client::endpoints::Endpoints;
use search_client::sigv4::SigningKey;
use thiserror::Error;

use crate::ca_certificate::{CaCertificate, CaCertificateError};
use crate::domain::DomainError;
use crate::secrets::{SecretStore, StoredCredentials, StoredCredentialsError};
use crate::variables::Variables;

/// Which cluster to connect to, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchConfig {
    cluster: Cluster,
    auth: AuthConfig,
    plaintext: Plaintext,
    ca_certificate: Option<CaCertificate>,
    compression: BulkCompression,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Cluster {
    Endpoints(Endpoints),
    Domain(String),
}

/// Whether credentials may be sent where others can read them: over `http://` to another machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plaintext {
    Refuse,
    /// For a network that is all the user's own.
    Allow,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum AuthConfig {
    None,
    /// A secret in Secrets Manager, of either kind if none is given.
    Secret {
        id: String,
        kind: Option<CredentialType>,
    },
    /// The text of such a secret, given directly.
    Given {
        text: Secret,
        kind: CredentialType,
    },
    SigV4(SigV4Config),
}

/// Credentials of the function's role. Lambda sets them in the environment once for an execution environment.
#[derive(Clone, PartialEq, Eq)]
struct SigV4Config {
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
    region: String,
}

impl std::fmt::Debug for SigV4Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigV4Config").field("region", &self.region).finish_non_exhaustive()
    }
}

/// Why the cluster's client can't be made. The text names the variable at fault.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The certificate that `SEARCH_CA_CERT` names can't be read.
    #[error("SEARCH_CA_CERT: {0}")]
    CaCertificate(#[from] CaCertificateError),
    /// The credentials would be sent where others can read them.
    #[error("{0}")]
    Plaintext(#[from] PlaintextError),
    /// The domain's endpoint is not a URL.
    #[error("SEARCH_DOMAIN: {0}")]
    Endpoint(#[from] EndpointError),
    /// The CA certificate can't be used.
    #[error("SEARCH_CA_CERT: {0}")]
    Client(#[from] ClientError),
    /// The domain can't be looked up.
    #[error("SEARCH_DOMAIN: {0}")]
    Domain(#[from] DomainError),
    /// The secret holds no credentials, or can't be read.
    #[error("SEARCH_SECRET_ID: {0}")]
    Secret(#[from] StoredCredentialsError),
    /// The credential that was given directly is not one.
    #[error("the credential can't be used: {0}")]
    Given(#[from] SecretError),
}

/// The credentials would be sent where others can read them.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "`{endpoint}` is not encrypted, and anyone on the way could read the {what} that `{method}` sends: use https://, or set \
     SEARCH_PLAINTEXT to `allow` in a network that is all yours"
)]
pub struct PlaintextError {
    endpoint: String,
    what: &'static str,
    method: &'static str,
}

impl SearchConfig {
    /// Reads the variables and records their problems; `None` if there is no cluster to connect to.
    pub fn read(variables: &mut Variables<'_>) -> Option<Self> {
        Self::read_with_auth(variables, read_auth)
    }

    /// Reads the variables, except those of authentication, which the text of a secret takes the place of.
    pub fn read_with_secret(
        variables: &mut Variables<'_>,
        kind: CredentialType,
        text: Secret,
    ) -> Option<Self> {
        Self::read_with_auth(variables, |_| Some(AuthConfig::Given { text, kind }))
    }

    fn read_with_auth(
        variables: &mut Variables<'_>,
        read_auth: impl FnOnce(&mut Variables<'_>) -> Option<AuthConfig>,
    ) -> Option<Self> {
        let endpoint = variables.text("SEARCH_ENDPOINT");
        let cluster = match (endpoint, variables.text("SEARCH_DOMAIN")) {
            (Some(_), Some(_)) => {
                variables.problem("SEARCH_ENDPOINT", "SEARCH_DOMAIN is set too: set one of them");
                None
            }
            (Some(text), None) => match Endpoints::parse(&text) {
                Ok(endpoints) => Some(Cluster::Endpoints(endpoints)),
                Err(error) => {
                    variables.problem("SEARCH_ENDPOINT", error);
                    None
                }
            },
            (None, Some(domain)) => Some(Cluster::Domain(domain)),
            (None, None) => {
                variables.problem(
                    "SEARCH_ENDPOINT",
                    "not set: give the URL of the cluster, or the name of a managed domain in SEARCH_DOMAIN",
                );
                None
            }
        };
        let auth = read_auth(variables);
        let compression = variables.one_of_or(
            "BULK_COMPRESSION",
            BulkCompression::Gzip,
            &[("gzip", BulkCompression::Gzip), ("none", BulkCompression::None)],
        );
        let ca_certificate = variables.text("SEARCH_CA_CERT").map(|text| CaCertificate::parse(&text));
        let plaintext = variables.one_of_or(
            "SEARCH_PLAINTEXT",
            Plaintext::Refuse,
            &[("refuse", Plaintext::Refuse), ("allow", Plaintext::Allow)],
        );
        let config = Self { cluster: cluster?, auth: auth?, plaintext, ca_certificate, compression };
        if let Cluster::Endpoints(endpoints) = &config.cluster {
            if matches!(config.auth, AuthConfig::SigV4(_)) && endpoints.only().is_none() {
                variables.problem(
                    "SEARCH_ENDPOINT",
                    "SEARCH_AUTH `sigv4` takes one URL: that of the domain or collection, behind which AWS spreads the requests",
                );
            }
            if let Some(error) = endpoints.iter().find_map(|each| config.check_encryption(each).err()) {
                variables.problem("SEARCH_ENDPOINT", error);
            }
        }
        Some(config)
    }

    /// Whether the credentials may be sent to an endpoint. A signature of SigV4 may: it holds no secret.
    ///
    /// # Errors
    /// [`PlaintextError`]
    pub fn check_encryption(&self, endpoint: &Endpoint) -> Result<(), PlaintextError> {
        let kind = match &self.auth {
            AuthConfig::None | AuthConfig::SigV4(_) => return Ok(()),
            AuthConfig::Secret { kind, .. } => *kind,
            AuthConfig::Given { kind, .. } => Some(*kind),
        };
        if self.plaintext == Plaintext::Allow || !endpoint.is_readable_on_the_way() {
            return Ok(());
        }
        let (what, method) = match kind {
            Some(CredentialType::Basic) => ("password", "basic"),
            Some(CredentialType::ApiKey) => ("key", "api_key"),
            None => ("credential", "secret"),
        };
        Err(PlaintextError { endpoint: endpoint.as_str().to_owned(), what, method })
    }

    /// Makes the client: looks up the domain, reads the secret and the CA certificate. Opens no connection to the cluster.
    ///
    /// # Errors
    /// [`ConnectError`]
    pub async fn connect(&self, secrets: &Arc<dyn SecretStore>) -> Result<SearchClient, ConnectError> {
        let endpoints = match &self.cluster {
            Cluster::Endpoints(endpoints) => endpoints.clone(),
            Cluster::Domain(name) => Endpoint::parse(&secrets.domain_endpoint(name).await?)?.into(),
        };
        self.connect_to(endpoints, secrets).await
    }

    /// Makes a client of other endpoints, such as that of Dashboards, with the same credentials and CA certificate.
    ///
    /// # Errors
    /// [`ConnectError`]
    pub async fn connect_to(
        &self,
        endpoints: Endpoints,
        secrets: &Arc<dyn SecretStore>,
    ) -> Result<SearchClient, ConnectError> {
        for endpoint in endpoints.iter() {
            self.check_encryption(endpoint)?;
        }
        let mut credentials: Option<Arc<dyn Credentials>> = None;
        let auth = match &self.auth {
            AuthConfig::None => Auth::None,
            AuthConfig::Secret { id, kind } => {
                let stored = StoredCredentials::new(Arc::clone(secrets), id, *kind);
                let auth = stored.read().await?;
                credentials = Some(Arc::new(stored));
                auth
            }
            AuthConfig::Given { text, kind } => Auth::from_secret(*kind, text.expose())?,
            AuthConfig::SigV4(config) => {
                let service = if endpoints.at(0).is_serverless() { "aoss" } else { "es" };
                let key = SigningKey::new(
                    &config.access_key_id,
                    &config.secret_access_key,
                    config.session_token.as_deref(),
                    &config.region,
                    service,
                );
                Auth::SigV4(key)
            }
        };
        let ca_certificate = match &self.ca_certificate {
            Some(certificate) => Some(certificate.read(secrets).await?),
            None => None,
        };
        let client = SearchClient::new(ClientOptions {
            endpoints,
            auth,
            credentials,
            ca_certificate: ca_certificate.as_deref(),
            compression: self.compression,
        })?;
        Ok(client)
    }
}

fn read_auth(variables: &mut Variables<'_>) -> Option<AuthConfig> {
    #[derive(Clone)]
    enum Method {
        None,
        Secret(Option<CredentialType>),
        SigV4,
    }
    let methods = [
        ("none", Method::None),
        ("basic", Method::Secret(Some(CredentialType::Basic))),
        ("api_key", Method::Secret(Some(CredentialType::ApiKey))),
        ("secret", Method::Secret(None)),
        ("sigv4", Method::SigV4),
    ];
    let method = variables.one_of_or("SEARCH_AUTH", Method::None, &methods);
    let secret_id = variables.text("SEARCH_SECRET_ID");
    match (method, secret_id) {
        (Method::Secret(kind), Some(id)) => Some(AuthConfig::Secret { id, kind }),
        (Method::Secret(_), None) => {
            variables.problem(
                "SEARCH_SECRET_ID",
                "not set: SEARCH_AUTH needs the id of a secret in Secrets Manager",
            );
            None
        }
        (Method::None | Method::SigV4, Some(_)) => {
            variables.problem(
                "SEARCH_SECRET_ID",
                "set, but SEARCH_AUTH is none of `basic`, `api_key` and `secret`",
            );
            None
        }
        (Method::None, None) => Some(AuthConfig::None),
        (Method::SigV4, None) => {
            let mut required = |name| {
                let text = variables.text(name);
                if text.is_none() {
                    variables.problem(name, "not set: SEARCH_AUTH `sigv4` signs with the role's credentials");
                }
                text
            };
            let (id, key, region) =
                (required("AWS_ACCESS_KEY_ID"), required("AWS_SECRET_ACCESS_KEY"), required("AWS_REGION"));
            Some(AuthConfig::SigV4(SigV4Config {
                access_key_id: id?,
                secret_access_key: key?,
                session_token: variables.text("AWS_SESSION_TOKEN"),
                region: region?,
            }))
        }
    }
}

#[cfg(test)]
mod tests {
    use testing::environment::lookup;

    use super::*;
    use crate::variables::ConfigError;

    fn read(pairs: &[(&str, &str)]) -> Result<SearchConfig, ConfigError> {
        let lookup = lookup(pairs.iter().copied());
        let mut variables = Variables::new(&lookup);
        let config = SearchConfig::read(&mut variables);
        variables.finish(config)
    }

    #[test]
    fn every_bad_variable_is_reported_at_once() {
        let error = read(&[
            ("SEARCH_ENDPOINT", "ftp://x"),
            ("SEARCH_AUTH", "kerberos"),
            ("SEARCH_SECRET_ID", "s"),
            ("BULK_COMPRESSION", "zip"),
        ])
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "the configuration is not valid:\n\
             - SEARCH_ENDPOINT: `ftp://x` must begin with http:// or https://\n\
             - SEARCH_AUTH: `kerberos` is not one of `none`, `basic`, `api_key`, `secret`, `sigv4`\n\
             - SEARCH_SECRET_ID: set, but SEARCH_AUTH is none of `basic`, `api_key` and `secret`\n\
             - BULK_COMPRESSION: `zip` is not one of `gzip`, `none`"
        );
    }

    #[test]
    fn credentials_are_not_sent_where_others_can_read_them() {
        let problem = |endpoint: &str, auth: &str, more: &[(&str, &str)]| {
            let mut pairs =
                vec![("SEARCH_ENDPOINT", endpoint), ("SEARCH_AUTH", auth), ("SEARCH_SECRET_ID", "s")];
            pairs.extend(more);
            read(&pairs).err().map(|error| error.to_string())
        };
        for auth in ["basic", "api_key", "secret"] {
            let error = problem("http://search.example.com:9200", auth, &[]).expect("an error");
            assert!(
                error.contains("SEARCH_ENDPOINT: `http://search.example.com:9200/` is not encrypted")
                    && error.contains(&format!("that `{auth}` sends"))
                    && error.contains("use https://"),
                "{error}"
            );
            for endpoint in ["http://localhost:9200", "http://127.0.0.1:9200", "https://search.example.com"] {
                assert_eq!(problem(endpoint, auth, &[]), None);
            }
            assert_eq!(problem("http://elasticsearch:9200", auth, &[("SEARCH_PLAINTEXT", "allow")]), None);
        }
        assert!(read(&[("SEARCH_ENDPOINT", "http://search.example.com")]).is_ok(), "nothing is sent");
        let given = lookup([("SEARCH_ENDPOINT", "http://search.example.com")]);
        let mut variables = Variables::new(&given);
        let config = SearchConfig::read_with_secret(
            &mut variables,
            CredentialType::ApiKey,
            Secret::new(r#"{"api_key":"k"}"#),
        );
        assert!(variables.finish(config).is_err());
    }

    #[test]
    fn a_list_of_endpoints_has_the_rules_of_one_and_its_own() {
        let nodes = ("SEARCH_ENDPOINT", "https://search-1:9200, https://search-2:9200");
        assert!(read(&[nodes]).is_ok());
        let problem = |pairs: &[(&str, &str)]| read(pairs).unwrap_err().to_string();
        for (text, expected) in [
            ("https://a,http://b", "`https://a/` and `http://b/` have different schemes"),
            ("http://a,http://b,http://a:80", "`http://a/` is in the list more than once"),
            ("http://a,", "an entry of the list is empty"),
        ] {
            let error = problem(&[("SEARCH_ENDPOINT", text)]);
            assert!(error.contains(&format!("- SEARCH_ENDPOINT: {expected}")), "{error}");
        }
        let role = [
            ("SEARCH_AUTH", "sigv4"),
            ("AWS_ACCESS_KEY_ID", "AKID"),
            ("AWS_SECRET_ACCESS_KEY", "hunter2"),
            ("AWS_REGION", "eu-west-1"),
        ];
        let error = problem(&[&[nodes], &role[..]].concat());
        assert!(error.contains("- SEARCH_ENDPOINT: SEARCH_AUTH `sigv4` takes one URL"), "{error}");
        let secret = [("SEARCH_AUTH", "basic"), ("SEARCH_SECRET_ID", "s")];
        let unencrypted = ("SEARCH_ENDPOINT", "http://localhost:9200,http://10.0.0.5:9200");
        let error = problem(&[&[unencrypted], &secret[..]].concat());
        assert!(error.contains("`http://10.0.0.5:9200/` is not encrypted"), "{error}");
    }

    #[tokio::test]
    async fn credentials_are_not_sent_to_dashboards_where_others_can_read_them() {
        let given = lookup([("SEARCH_ENDPOINT", "https://search.example.com")]);
        let mut variables = Variables::new(&given);
        let key = Secret::new(r#"{"api_key":"hunter2"}"#);
        let config = SearchConfig::read_with_secret(&mut variables, CredentialType::ApiKey, key);
        let config = variables.finish(config).unwrap();
        let dashboards = Endpoint::parse("http://dashboards.example.com:5601").unwrap();
        let error = config
            .connect_to(dashboards.into(), &crate::aws::secrets_manager())
            .await
            .err()
            .expect("an error");
        assert!(
            error.to_string().starts_with("`http://dashboards.example.com:5601/` is not encrypted"),
            "{error}"
        );
    }

    #[test]
    fn exactly_one_cluster_must_be_given() {
        assert!(read(&[]).unwrap_err().to_string().contains("SEARCH_ENDPOINT: not set"));
        let both = read(&[("SEARCH_ENDPOINT", "http://x"), ("SEARCH_DOMAIN", "d")]);
        assert!(both.unwrap_err().to_string().contains("set one of them"));
        assert!(
            read(&[("SEARCH_DOMAIN", "events"), ("SEARCH_ENDPOINT", " ")]).is_ok(),
            "a blank variable counts as not set"
        );
    }

    #[test]
    fn sigv4_uses_the_roles_credentials_and_never_shows_them() {
        let role = [
            ("SEARCH_ENDPOINT", "https://x"),
            ("SEARCH_AUTH", "sigv4"),
            ("AWS_ACCESS_KEY_ID", "AKID"),
            ("AWS_SECRET_ACCESS_KEY", "hunter2"),
            ("AWS_REGION", "eu-west-1"),
        ];
        assert!(!format!("{:?}", read(&role).unwrap()).contains("hunter2"));
        let missing = read(&role[..2]).unwrap_err().0;
        assert_eq!(missing.len(), 3, "{missing:?}");
    }

    #[tokio::test]
    async fn a_ca_certificate_that_cannot_be_used_names_its_variable() {
        for (text, expected) in
            [("/no/such.pem", "`/no/such.pem` can't be read"), ("-----BEGIN NOTHING", "SEARCH_CA_CERT")]
        {
            let config = read(&[("SEARCH_ENDPOINT", "https://x"), ("SEARCH_CA_CERT", text)]).unwrap();
            let secrets = crate::aws::secrets_manager();
            let error =
                config.connect(&secrets).await.err().expect("the certificate can't be used").to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
