//! The way to the cluster: `SEARCH_ENDPOINT` or `SEARCH_DOMAIN`, `SEARCH_AUTH`, `SEARCH_SECRET_ID`, `SEARCH_CA_CERT`,
//! `BULK_COMPRESSION`.

use search_client::auth::{Auth, Secret, SecretKind};
use search_client::client::{BulkCompression, ClientError, ClientOptions, SearchClient};
use search_client::endpoint::{Endpoint, EndpointError};
use search_client::sigv4::SigningKey;
use thiserror::Error;

use crate::aws::{domain_endpoint, secret};
use crate::variables::Variables;

/// Which cluster to talk to, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchConfig {
    cluster: Cluster,
    auth: AuthConfig,
    ca_certificate: Option<String>,
    compression: BulkCompression,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Cluster {
    Endpoint(Endpoint),
    Domain(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum AuthConfig {
    None,
    Secret {
        id: String,
        kind: SecretKind,
    },
    /// The text of a secret, given directly.
    Given {
        text: Secret,
        kind: SecretKind,
    },
    SigV4(SigV4Config),
}

/// Credentials of the function's role, which Lambda puts in the environment for the life of an environment.
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

/// Says why the cluster's client can't be made.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The file that `SEARCH_CA_CERT` names can't be read.
    #[error("SEARCH_CA_CERT: the file `{path}` can't be read: {source}")]
    CaFile {
        /// The path that was given.
        path: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// The domain's endpoint is not one.
    #[error("SEARCH_DOMAIN: {0}")]
    Endpoint(#[from] EndpointError),
    /// The client refuses its options.
    #[error("SEARCH_CA_CERT: {0}")]
    Client(#[from] ClientError),
    /// AWS gave no domain or secret.
    #[error("{variable}: {reason}")]
    Aws {
        /// The variable that asks for it.
        variable: &'static str,
        /// What AWS said.
        reason: String,
    },
}

impl SearchConfig {
    /// Reads the variables, noting every problem; `None` if there is no cluster to talk to.
    pub fn read(variables: &mut Variables<'_>) -> Option<Self> {
        Self::read_with(variables, None)
    }

    /// Reads the variables of a command line, where `SEARCH_USERNAME` and `SEARCH_PASSWORD`, or `SEARCH_API_KEY`, may
    /// stand in the place of `SEARCH_SECRET_ID`, and tell `SEARCH_AUTH`.
    pub fn read_for_command_line(variables: &mut Variables<'_>) -> Option<Self> {
        let given = read_given(variables);
        Self::read_with(variables, given)
    }

    fn read_with(variables: &mut Variables<'_>, given: Option<AuthConfig>) -> Option<Self> {
        let endpoint = variables.text("SEARCH_ENDPOINT");
        let cluster = match (endpoint, variables.text("SEARCH_DOMAIN")) {
            (Some(_), Some(_)) => {
                variables.problem("SEARCH_ENDPOINT", "SEARCH_DOMAIN is set too: set one of them");
                None
            }
            (Some(text), None) => match Endpoint::parse(&text) {
                Ok(endpoint) => Some(Cluster::Endpoint(endpoint)),
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
        let auth = if given.is_some() { given } else { read_auth(variables) };
        let compression = variables.one_of_or(
            "BULK_COMPRESSION",
            BulkCompression::Gzip,
            &[("gzip", BulkCompression::Gzip), ("none", BulkCompression::None)],
        );
        let ca_certificate = variables.text("SEARCH_CA_CERT");
        Some(Self { cluster: cluster?, auth: auth?, ca_certificate, compression })
    }

    /// Makes the client: looks the domain up, reads the secret and the CA certificate.
    ///
    /// # Errors
    /// [`ConnectError`], which names the variable at fault. No connection to the cluster is opened.
    pub async fn connect(&self) -> Result<SearchClient, ConnectError> {
        let endpoint = match &self.cluster {
            Cluster::Endpoint(endpoint) => endpoint.clone(),
            Cluster::Domain(name) => Endpoint::parse(&domain_endpoint(name).await?)?,
        };
        self.connect_to(endpoint).await
    }

    /// Makes a client of another endpoint with the same credentials and CA certificate, such as that of Dashboards.
    ///
    /// # Errors
    /// [`ConnectError`], as [`Self::connect`].
    pub async fn connect_to(&self, endpoint: Endpoint) -> Result<SearchClient, ConnectError> {
        let (auth, credentials) = match &self.auth {
            AuthConfig::None => (Auth::None, None),
            AuthConfig::Secret { id, kind } => {
                let source = secret(id, *kind).await;
                let fetched = source.fetch().await;
                let auth =
                    fetched.map_err(|reason| ConnectError::Aws { variable: "SEARCH_SECRET_ID", reason })?;
                (auth, Some(source))
            }
            AuthConfig::Given { text, kind } => {
                let auth = Auth::from_secret(*kind, text.expose());
                (auth.expect("it was checked when it was read"), None)
            }
            AuthConfig::SigV4(config) => {
                let service = if endpoint.host().ends_with(".aoss.amazonaws.com") { "aoss" } else { "es" };
                let key = SigningKey::new(
                    &config.access_key_id,
                    &config.secret_access_key,
                    config.session_token.as_deref(),
                    &config.region,
                    service,
                );
                (Auth::SigV4(key), None)
            }
        };
        let ca_certificate = self.ca_certificate.as_deref().map(read_ca_certificate).transpose()?;
        let client = SearchClient::new(ClientOptions {
            endpoint,
            auth,
            credentials,
            ca_certificate: ca_certificate.as_deref(),
            compression: self.compression,
        })?;
        Ok(client)
    }
}

/// The administrator's own credentials from the environment; `None` where none are given.
fn read_given(variables: &mut Variables<'_>) -> Option<AuthConfig> {
    let (username, password) = (variables.text("SEARCH_USERNAME"), variables.text("SEARCH_PASSWORD"));
    let (kind, text, name) = match (username, password, variables.text("SEARCH_API_KEY")) {
        (None, None, None) => return None,
        (Some(username), Some(password), None) => {
            let text = serde_json::json!({"username": username, "password": password});
            (SecretKind::Basic, text, "SEARCH_USERNAME")
        }
        (None, None, Some(key)) => {
            (SecretKind::ApiKey, serde_json::json!({"api_key": key}), "SEARCH_API_KEY")
        }
        (Some(_), None, None) => {
            variables.problem("SEARCH_PASSWORD", "not set, but SEARCH_USERNAME is");
            return None;
        }
        (None, Some(_), None) => {
            variables.problem("SEARCH_USERNAME", "not set, but SEARCH_PASSWORD is");
            return None;
        }
        (_, _, Some(_)) => {
            variables.problem(
                "SEARCH_API_KEY",
                "SEARCH_USERNAME or SEARCH_PASSWORD is set too: give one credential",
            );
            return None;
        }
    };
    if variables.text("SEARCH_SECRET_ID").is_some() {
        variables.problem(name, "SEARCH_SECRET_ID is set too: give one credential");
    }
    let word = if kind == SecretKind::Basic { "basic" } else { "api_key" };
    if let Some(auth) = variables.text("SEARCH_AUTH").filter(|auth| !auth.eq_ignore_ascii_case(word)) {
        variables.problem(name, format!("set, but SEARCH_AUTH is `{auth}` and not `{word}`"));
    }
    let text = text.to_string();
    if let Err(error) = Auth::from_secret(kind, &text) {
        variables.problem(name, error);
        return None;
    }
    Some(AuthConfig::Given { text: Secret::new(text), kind })
}

fn read_auth(variables: &mut Variables<'_>) -> Option<AuthConfig> {
    #[derive(Clone)]
    enum Way {
        None,
        Secret(SecretKind),
        SigV4,
    }
    let ways = [
        ("none", Way::None),
        ("basic", Way::Secret(SecretKind::Basic)),
        ("api_key", Way::Secret(SecretKind::ApiKey)),
        ("sigv4", Way::SigV4),
    ];
    let way = variables.one_of_or("SEARCH_AUTH", Way::None, &ways);
    let secret_id = variables.text("SEARCH_SECRET_ID");
    match (way, secret_id) {
        (Way::Secret(kind), Some(id)) => Some(AuthConfig::Secret { id, kind }),
        (Way::Secret(_), None) => {
            variables.problem(
                "SEARCH_SECRET_ID",
                "not set: SEARCH_AUTH needs the id of a secret in Secrets Manager",
            );
            None
        }
        (Way::None | Way::SigV4, Some(_)) => {
            variables.problem("SEARCH_SECRET_ID", "set, but SEARCH_AUTH is neither `basic` nor `api_key`");
            None
        }
        (Way::None, None) => Some(AuthConfig::None),
        (Way::SigV4, None) => {
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

/// Takes PEM text as it is, anything else as the path of a file.
fn read_ca_certificate(text: &str) -> Result<String, ConnectError> {
    if text.contains("-----BEGIN") {
        return Ok(text.to_owned());
    }
    std::fs::read_to_string(text).map_err(|source| ConnectError::CaFile { path: text.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::variables::ConfigError;

    fn read(pairs: &[(&str, &str)]) -> Result<SearchConfig, ConfigError> {
        let lookup =
            |name: &str| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
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
             - SEARCH_AUTH: `kerberos` is not one of `none`, `basic`, `api_key`, `sigv4`\n\
             - SEARCH_SECRET_ID: set, but SEARCH_AUTH is neither `basic` nor `api_key`\n\
             - BULK_COMPRESSION: `zip` is not one of `gzip`, `none`"
        );
    }

    #[test]
    fn one_cluster_is_needed_and_only_one() {
        assert!(read(&[]).unwrap_err().to_string().contains("SEARCH_ENDPOINT: not set"));
        let both = read(&[("SEARCH_ENDPOINT", "http://x"), ("SEARCH_DOMAIN", "d")]);
        assert!(both.unwrap_err().to_string().contains("set one of them"));
        assert!(
            read(&[("SEARCH_DOMAIN", "events"), ("SEARCH_ENDPOINT", " ")]).is_ok(),
            "white space is not set"
        );
    }

    #[test]
    fn sigv4_takes_the_roles_credentials_and_shows_none() {
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

    fn read_for_command_line(pairs: &[(&str, &str)]) -> Result<SearchConfig, ConfigError> {
        let lookup =
            |name: &str| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let mut variables = Variables::new(&lookup);
        let config = SearchConfig::read_for_command_line(&mut variables);
        variables.finish(config)
    }

    #[test]
    fn a_command_line_may_be_given_the_credential_itself() {
        let user =
            [("SEARCH_ENDPOINT", "https://x"), ("SEARCH_USERNAME", "admin"), ("SEARCH_PASSWORD", "hunter2")];
        let config = read_for_command_line(&user).unwrap();
        assert!(matches!(config.auth, AuthConfig::Given { kind: SecretKind::Basic, .. }));
        assert!(!format!("{config:?}").contains("hunter2"));
        let refused = |more: &[(&str, &str)]| {
            let pairs: Vec<_> = user.iter().chain(more).copied().collect();
            read_for_command_line(&pairs).unwrap_err().to_string()
        };
        assert!(refused(&[("SEARCH_SECRET_ID", "s")]).contains("give one credential"));
        assert!(refused(&[("SEARCH_API_KEY", "k")]).contains("give one credential"));
        assert!(refused(&[("SEARCH_AUTH", "sigv4")]).contains("SEARCH_AUTH is `sigv4`"));
        let half = read_for_command_line(&user[..2]).unwrap_err().to_string();
        assert!(half.contains("SEARCH_PASSWORD: not set"), "{half}");
        assert!(read_for_command_line(&user[..1]).is_ok());
    }

    #[tokio::test]
    async fn a_ca_certificate_that_cannot_be_used_names_its_variable() {
        for (text, expected) in
            [("/no/such.pem", "`/no/such.pem` can't be read"), ("-----BEGIN NOTHING", "SEARCH_CA_CERT")]
        {
            let config = read(&[("SEARCH_ENDPOINT", "https://x"), ("SEARCH_CA_CERT", text)]).unwrap();
            let error = config.connect().await.err().expect("the certificate can't be used").to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
