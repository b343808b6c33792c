//! How to log in to Kafka as a mapping does: <https://docs.aws.amazon.com/lambda/latest/dg/kafka-cluster-auth.html>.

use kafka_to_search::account::mappings::Access;
use lambda_support::secrets::{SecretStore, StoreError};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// Properties of librdkafka.
pub type Properties = Vec<(String, String)>;

/// How a mapping logs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    /// By a user's name and password.
    Password,
    /// By a certificate.
    Certificate,
    /// Neither: with IAM, or not at all.
    None,
}

/// Why there is no login.
#[derive(Debug, Error)]
pub enum LoginError {
    /// A secret can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A secret is empty.
    #[error("the secret `{0}` can't be read: it does not exist or has no value")]
    NoValue(String),
    /// A secret has another form. Its text is not shown.
    #[error("the secret `{id}` must be {form}")]
    Form {
        /// Its ARN.
        id: String,
        /// The form that Lambda requires.
        form: &'static str,
    },
    /// A kind of access that this function does not know.
    #[error("the mapping logs in to Kafka by {0}, which this function can't: set KafkaProperties")]
    Unknown(String),
}

#[derive(Deserialize)]
struct User {
    username: String,
    password: String,
}

#[derive(Deserialize)]
struct Certificate {
    certificate: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientCertificate {
    certificate: String,
    private_key: String,
    private_key_password: Option<String>,
}

const USER: &str = r#"{"username":"…","password":"…"}"#;
const CERTIFICATE: &str = r#"{"certificate":"…"}"#;
const CLIENT_CERTIFICATE: &str = r#"{"certificate":"…","privateKey":"…"}"#;

/// The kind of login among these kinds of access.
pub fn kind(access: &[Access]) -> Login {
    let has = |wanted: &dyn Fn(&str) -> bool| access.iter().any(|access| wanted(&access.kind));
    if has(&|kind| mechanism(kind).is_some()) {
        Login::Password
    } else if has(&|kind| kind == "CLIENT_CERTIFICATE_TLS_AUTH") {
        Login::Certificate
    } else {
        Login::None
    }
}

/// Reads the secrets of these kinds of access.
///
/// # Errors
/// [`LoginError`]
pub async fn properties(access: &[Access], secrets: &dyn SecretStore) -> Result<Properties, LoginError> {
    let mut properties = Properties::new();
    let mut add = |name: &str, value: String| properties.push((name.to_owned(), value));
    let mut protocol = None;
    let mut has_own_ca = false;
    for Access { kind, uri } in access {
        match (kind.as_str(), mechanism(kind)) {
            // Lambda's network; this function has its own.
            ("VPC_SUBNET" | "VPC_SECURITY_GROUP", _) => {}
            (_, Some(mechanism)) => {
                let user: User = read(secrets, uri, USER).await?;
                protocol = Some("SASL_SSL");
                add("sasl.mechanism", mechanism.to_owned());
                add("sasl.username", user.username);
                add("sasl.password", user.password);
            }
            ("CLIENT_CERTIFICATE_TLS_AUTH", None) => {
                let client: ClientCertificate = read(secrets, uri, CLIENT_CERTIFICATE).await?;
                protocol = protocol.or(Some("SSL"));
                add("ssl.certificate.pem", client.certificate);
                add("ssl.key.pem", client.private_key);
                if let Some(password) = client.private_key_password {
                    add("ssl.key.password", password);
                }
            }
            ("SERVER_ROOT_CA_CERTIFICATE", None) => {
                let ca: Certificate = read(secrets, uri, CERTIFICATE).await?;
                protocol = protocol.or(Some("SSL"));
                has_own_ca = true;
                add("ssl.ca.pem", ca.certificate);
            }
            (other, None) => return Err(LoginError::Unknown(other.to_owned())),
        }
    }
    if let Some(protocol) = protocol {
        add("security.protocol", protocol.to_owned());
        if !has_own_ca {
            properties.push(system_ca());
        }
    }
    Ok(properties)
}

/// Lets the client look for the system's certificates: an OpenSSL that is linked in knows no place of theirs,
/// <https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md>.
pub fn system_ca() -> (String, String) {
    ("ssl.ca.location".into(), "probe".into())
}

fn mechanism(kind: &str) -> Option<&'static str> {
    match kind {
        "BASIC_AUTH" => Some("PLAIN"),
        "SASL_SCRAM_256_AUTH" => Some("SCRAM-SHA-256"),
        "SASL_SCRAM_512_AUTH" => Some("SCRAM-SHA-512"),
        _ => None,
    }
}

async fn read<T: DeserializeOwned>(
    secrets: &dyn SecretStore,
    id: &str,
    form: &'static str,
) -> Result<T, LoginError> {
    let text = secrets.read(id).await?.ok_or_else(|| LoginError::NoValue(id.to_owned()))?;
    // The parser's error could show the text.
    serde_json::from_str(text.expose()).map_err(|_| LoginError::Form { id: id.to_owned(), form })
}

#[cfg(test)]
mod tests {
    use lambda_support::secrets::StoreFuture;
    use search_client::auth::Secret;

    use super::*;

    /// Secrets whose id is their text.
    struct Texts;

    impl SecretStore for Texts {
        fn read<'s>(&'s self, id: &'s str) -> StoreFuture<'s, Option<Secret>> {
            Box::pin(async move { Ok(Some(id).filter(|id| !id.is_empty()).map(Secret::new)) })
        }

        fn write<'s>(&'s self, id: &'s str, _text: &'s Secret) -> StoreFuture<'s, ()> {
            Box::pin(async move { Err(StoreError::ReadOnly(id.to_owned())) })
        }
    }

    fn access(kind: &str, uri: &str) -> Access {
        Access { kind: kind.into(), uri: uri.into() }
    }

    async fn of(access: &[Access]) -> Result<Vec<(String, String)>, String> {
        properties(access, &Texts).await.map_err(|error| error.to_string())
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[tokio::test]
    async fn each_kind_of_login_has_its_mechanism_over_tls() {
        for (kind_of_access, mechanism) in [
            ("BASIC_AUTH", "PLAIN"),
            ("SASL_SCRAM_256_AUTH", "SCRAM-SHA-256"),
            ("SASL_SCRAM_512_AUTH", "SCRAM-SHA-512"),
        ] {
            let access = [
                access("VPC_SUBNET", "subnet:a"),
                access(kind_of_access, r#"{"username":"me","password":"pw"}"#),
            ];
            let expected = pairs(&[
                ("sasl.mechanism", mechanism),
                ("sasl.username", "me"),
                ("sasl.password", "pw"),
                ("security.protocol", "SASL_SSL"),
                ("ssl.ca.location", "probe"),
            ]);
            assert_eq!(of(&access).await.unwrap(), expected);
            assert_eq!(kind(&access), Login::Password);
        }
    }

    #[tokio::test]
    async fn certificates_and_the_ca_have_lambdas_form() {
        let access = [
            access(
                "CLIENT_CERTIFICATE_TLS_AUTH",
                r#"{"certificate":"CERT","privateKey":"KEY","privateKeyPassword":"pw"}"#,
            ),
            access("SERVER_ROOT_CA_CERTIFICATE", r#"{"certificate":"CA"}"#),
        ];
        let expected = pairs(&[
            ("ssl.certificate.pem", "CERT"),
            ("ssl.key.pem", "KEY"),
            ("ssl.key.password", "pw"),
            ("ssl.ca.pem", "CA"),
            ("security.protocol", "SSL"),
        ]);
        assert_eq!(of(&access).await.unwrap(), expected);
        assert_eq!((kind(&access), kind(&access[1..])), (Login::Certificate, Login::None));
    }

    #[tokio::test]
    async fn a_bad_secret_is_named_without_being_shown() {
        let error = of(&[access("BASIC_AUTH", r#"{"user":"hush"}"#)]).await.unwrap_err();
        assert!(error.ends_with(r#"must be {"username":"…","password":"…"}"#), "{error}");
        assert!(of(&[access("BASIC_AUTH", "")]).await.unwrap_err().contains("does not exist"));
        assert!(of(&[access("OAUTH", "x")]).await.unwrap_err().contains("set KafkaProperties"));
    }

    #[tokio::test]
    async fn a_mapping_without_access_has_no_properties() {
        assert_eq!(of(&[]).await.unwrap(), []);
    }
}
