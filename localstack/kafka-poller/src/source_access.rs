//! Turns a mapping's SourceAccessConfigurations into settings of the Kafka client.
//!
//! See <https://docs.aws.amazon.com/lambda/latest/dg/kafka-cluster-auth.html>.

use crate::aws::Aws;
use crate::secret::{Access, Secret, SecretError};

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
    /// The secret can't be used.
    #[error(transparent)]
    Secret(#[from] SecretError),
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
pub async fn settings(aws: &Aws, access: &[Access], transport: Transport) -> Result<Settings, AccessError> {
    let mut settings = Settings::new();
    for Access { kind, uri } in access {
        if kind.starts_with("VPC_") {
            // Subnets and security groups have no meaning here.
            continue;
        }
        let needs_tls = kind != "BASIC_AUTH" || transport == Transport::Tls;
        if needs_tls && !cfg!(any(feature = "tls", feature = "tls-vendored")) {
            return Err(AccessError::NoTls { kind: kind.clone() });
        }
        let secret = Secret::read(aws, uri).await?;
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

fn settings_of(kind: &str, secret: &Secret, transport: Transport) -> Result<Settings, AccessError> {
    let sasl = |mechanism: &str| {
        let login = secret.login()?;
        Ok(vec![
            ("sasl.mechanism", mechanism.to_owned()),
            ("sasl.username", login.username),
            ("sasl.password", login.password),
        ])
    };
    match kind {
        "BASIC_AUTH" => sasl("PLAIN"),
        "SASL_SCRAM_256_AUTH" => sasl("SCRAM-SHA-256"),
        "SASL_SCRAM_512_AUTH" => sasl("SCRAM-SHA-512"),
        "SERVER_ROOT_CA_CERTIFICATE" if transport == Transport::Plaintext => Ok(Settings::new()),
        "SERVER_ROOT_CA_CERTIFICATE" => Ok(vec![("ssl.ca.pem", secret.certificate()?.certificate)]),
        "CLIENT_CERTIFICATE_TLS_AUTH" => {
            let client = secret.client_certificate()?;
            let mut settings =
                vec![("ssl.certificate.pem", client.certificate), ("ssl.key.pem", client.private_key)];
            settings.extend(client.private_key_password.map(|password| ("ssl.key.password", password)));
            Ok(settings)
        }
        _ => Err(AccessError::Unsupported { kind: kind.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: &str, text: &str) -> Result<Settings, AccessError> {
        let secret = Secret::new("arn:secret", text);
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
