//! Turns a mapping's SourceAccessConfigurations into settings of the Kafka client. The secrets come from Secrets Manager
//! and have the form that Lambda requires.
//!
//! See <https://docs.aws.amazon.com/lambda/latest/dg/kafka-cluster-auth.html>.

use bytes::Bytes;
use http::Method;
use serde::Deserialize;
use serde_json::json;

use crate::aws::{Aws, Call, CallError};
use crate::mapping::SourceAccess;

/// Whether SASL goes over TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Always in Lambda.
    Tls,
    /// For local brokers without certificates.
    Plaintext,
}

/// Why the brokers can't be accessed as the mapping says.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The type of access is not supported.
    #[error("source access `{kind}` is not supported by this poller")]
    Unsupported {
        /// As the mapping names it.
        kind: String,
    },
    /// The secret could not be read.
    #[error("secret {secret_id} could not be read")]
    Secret {
        /// Its id.
        secret_id: String,
        /// Why.
        #[source]
        source: CallError,
    },
    /// The secret does not have the form that Lambda requires.
    #[error("secret {secret_id} must be {expected}")]
    Form {
        /// Its id.
        secret_id: String,
        /// The form that is required.
        expected: &'static str,
    },
    /// The program was built without TLS.
    #[error(
        "the mapping requires {kind}, but this kafka-poller was built without TLS; build it with `--features tls` \
         (needs OpenSSL's headers, such as the package libssl-dev) or `--features tls-vendored`"
    )]
    NoTls {
        /// The kind of access.
        kind: String,
    },
}

/// Settings of the Kafka client.
pub type Settings = Vec<(&'static str, String)>;

/// Returns the settings for `access`.
///
/// # Errors
/// When a kind is unknown or a secret can't be read.
pub async fn settings(
    aws: &Aws,
    access: &[SourceAccess],
    transport: Transport,
) -> Result<Settings, AccessError> {
    let mut settings = Settings::new();
    for SourceAccess { kind, uri } in access {
        if kind.starts_with("VPC_") {
            // Subnets and security groups have no meaning here.
            continue;
        }
        let needs_tls = kind != "BASIC_AUTH" || transport == Transport::Tls;
        if needs_tls && !cfg!(any(feature = "tls", feature = "tls-vendored")) {
            return Err(AccessError::NoTls { kind: kind.clone() });
        }
        let secret = Secret { id: uri.clone(), text: read_secret(aws, uri).await? };
        settings.extend(settings_of(kind, &secret, transport)?);
    }
    if settings.iter().any(|(name, _)| *name == "sasl.mechanism") {
        let protocol = if transport == Transport::Tls { "SASL_SSL" } else { "SASL_PLAINTEXT" };
        settings.push(("security.protocol", protocol.to_owned()));
    } else if !settings.is_empty() {
        settings.push(("security.protocol", "SSL".to_owned()));
    }
    Ok(settings)
}

struct Secret {
    id: String,
    text: String,
}

fn settings_of(kind: &str, secret: &Secret, transport: Transport) -> Result<Settings, AccessError> {
    let sasl = |mechanism: &str| {
        let Login { username, password } = secret.parse(r#"{"username":"…","password":"…"}"#)?;
        Ok(vec![
            ("sasl.mechanism", mechanism.to_owned()),
            ("sasl.username", username),
            ("sasl.password", password),
        ])
    };
    match kind {
        "BASIC_AUTH" => sasl("PLAIN"),
        "SASL_SCRAM_256_AUTH" => sasl("SCRAM-SHA-256"),
        "SASL_SCRAM_512_AUTH" => sasl("SCRAM-SHA-512"),
        "SERVER_ROOT_CA_CERTIFICATE" if transport == Transport::Plaintext => Ok(Settings::new()),
        "SERVER_ROOT_CA_CERTIFICATE" => {
            let Certificate { certificate } =
                secret.parse(r#"{"certificate":"-----BEGIN CERTIFICATE-----…"}"#)?;
            Ok(vec![("ssl.ca.pem", certificate)])
        }
        "CLIENT_CERTIFICATE_TLS_AUTH" => {
            let expected = r#"{"certificate":"-----BEGIN CERTIFICATE-----…","privateKey":"…","privateKeyPassword":"…" if it has one}"#;
            let client: ClientCertificate = secret.parse(expected)?;
            let mut settings =
                vec![("ssl.certificate.pem", client.certificate), ("ssl.key.pem", client.private_key)];
            settings.extend(client.private_key_password.map(|password| ("ssl.key.password", password)));
            Ok(settings)
        }
        _ => Err(AccessError::Unsupported { kind: kind.to_owned() }),
    }
}

#[derive(Deserialize)]
struct Login {
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

impl Secret {
    // The parser's own message is left out, since it could quote the secret.
    fn parse<'a, T: Deserialize<'a>>(&'a self, expected: &'static str) -> Result<T, AccessError> {
        serde_json::from_str(&self.text)
            .map_err(|_| AccessError::Form { secret_id: self.id.clone(), expected })
    }
}

async fn read_secret(aws: &Aws, secret_id: &str) -> Result<String, AccessError> {
    #[derive(Deserialize)]
    struct Value {
        #[serde(rename = "SecretString")]
        text: String,
    }
    let error = |source| AccessError::Secret { secret_id: secret_id.to_owned(), source };
    let headers =
        [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", "secretsmanager.GetSecretValue")];
    let body = Bytes::from(json!({"SecretId": secret_id}).to_string());
    let region = secret_id.starts_with("arn:").then(|| secret_id.split(':').nth(3)).flatten();
    let call =
        Call { service: "secretsmanager", region, method: Method::POST, path: "/", headers: &headers, body };
    let response = aws.call(call).await.map_err(error)?;
    let value: Value = serde_json::from_slice(&response.body)
        .map_err(|_| AccessError::Form { secret_id: secret_id.to_owned(), expected: "a SecretString" })?;
    Ok(value.text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: &str, text: &str) -> Result<Settings, AccessError> {
        let secret = Secret { id: "arn:secret".to_owned(), text: text.to_owned() };
        settings_of(kind, &secret, Transport::Tls)
    }

    #[test]
    fn each_kind_of_login_has_its_mechanism() {
        for (kind, mechanism) in [
            ("BASIC_AUTH", "PLAIN"),
            ("SASL_SCRAM_256_AUTH", "SCRAM-SHA-256"),
            ("SASL_SCRAM_512_AUTH", "SCRAM-SHA-512"),
        ] {
            let expected = vec![
                ("sasl.mechanism", mechanism.to_owned()),
                ("sasl.username", "me".to_owned()),
                ("sasl.password", "secret".to_owned()),
            ];
            assert_eq!(of(kind, r#"{"username":"me","password":"secret"}"#).unwrap(), expected);
        }
    }

    #[test]
    fn certificates_have_lambdas_form() {
        let ca = vec![("ssl.ca.pem", "PEM".to_owned())];
        assert_eq!(of("SERVER_ROOT_CA_CERTIFICATE", r#"{"certificate":"PEM"}"#).unwrap(), ca);
        let client = vec![
            ("ssl.certificate.pem", "PEM".to_owned()),
            ("ssl.key.pem", "KEY".to_owned()),
            ("ssl.key.password", "pw".to_owned()),
        ];
        let secret = r#"{"certificate":"PEM","privateKey":"KEY","privateKeyPassword":"pw"}"#;
        assert_eq!(of("CLIENT_CERTIFICATE_TLS_AUTH", secret).unwrap(), client);
    }

    #[test]
    fn a_secret_in_another_form_is_refused_without_being_shown() {
        let error = of("BASIC_AUTH", r#"{"user":"me","password":"hush"}"#).unwrap_err();
        assert_eq!(error.to_string(), r#"secret arn:secret must be {"username":"…","password":"…"}"#);
    }

    #[test]
    fn an_unknown_kind_is_refused() {
        let error = of("SASL_OAUTH", "{}").unwrap_err();
        assert_eq!(error.to_string(), "source access `SASL_OAUTH` is not supported by this poller");
    }
}
