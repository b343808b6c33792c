//! Reads secrets from Secrets Manager, in the forms that Lambda requires for logins and certificates.
//!
//! See <https://docs.aws.amazon.com/lambda/latest/dg/kafka-cluster-auth.html>.

use bytes::Bytes;
use http::Method;
use serde::Deserialize;
use serde_json::json;

use crate::aws::{Aws, Call, CallError};

/// How to log in to brokers or to a schema registry: a kind, and where its secret is.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Access {
    /// Such as `SASL_SCRAM_512_AUTH`.
    #[serde(rename = "Type", default)]
    pub kind: String,
    /// A secret's ARN, or for VPC kinds a subnet or security group.
    #[serde(rename = "URI", default)]
    pub uri: String,
}

/// Why a secret can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// It could not be read.
    #[error("secret {secret_id} could not be read")]
    Unread {
        /// Its id.
        secret_id: String,
        /// Why.
        #[source]
        source: CallError,
    },
    /// It does not have the form that Lambda requires.
    #[error("secret {secret_id} must be {expected}")]
    Form {
        /// Its id.
        secret_id: String,
        /// The form that is required.
        expected: &'static str,
    },
}

/// The text of a secret.
pub struct Secret {
    id: String,
    text: String,
}

/// A user's name and password.
#[derive(Deserialize)]
pub struct Login {
    /// The name.
    pub username: String,
    /// The password.
    pub password: String,
}

/// A certificate of an authority.
#[derive(Deserialize)]
pub struct Certificate {
    /// Its PEM text.
    pub certificate: String,
}

/// A client's certificate.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientCertificate {
    /// The chain's PEM text.
    pub certificate: String,
    /// The key's PEM text.
    pub private_key: String,
    /// The password of the key, if it has one.
    pub private_key_password: Option<String>,
}

impl Secret {
    /// Names a text that was read.
    #[must_use]
    pub fn new(id: &str, text: &str) -> Self {
        Self { id: id.to_owned(), text: text.to_owned() }
    }

    /// Reads a secret by its id or ARN.
    ///
    /// # Errors
    /// When Secrets Manager does not return it, or it is no text.
    pub async fn read(aws: &Aws, secret_id: &str) -> Result<Self, SecretError> {
        #[derive(Deserialize)]
        struct Value {
            #[serde(rename = "SecretString")]
            text: String,
        }
        let error = |source| SecretError::Unread { secret_id: secret_id.to_owned(), source };
        let headers = [
            ("content-type", "application/x-amz-json-1.1"),
            ("x-amz-target", "secretsmanager.GetSecretValue"),
        ];
        let body = Bytes::from(json!({"SecretId": secret_id}).to_string());
        let region = secret_id.starts_with("arn:").then(|| secret_id.split(':').nth(3)).flatten();
        let call = Call {
            service: "secretsmanager",
            region,
            method: Method::POST,
            path: "/",
            headers: &headers,
            body,
        };
        let response = aws.call(call).await.map_err(error)?;
        let value: Value = serde_json::from_slice(&response.body)
            .map_err(|_| SecretError::Form { secret_id: secret_id.to_owned(), expected: "a SecretString" })?;
        Ok(Self { id: secret_id.to_owned(), text: value.text })
    }

    /// Its login.
    ///
    /// # Errors
    /// When it has another form.
    pub fn login(&self) -> Result<Login, SecretError> {
        self.parse(r#"{"username":"…","password":"…"}"#)
    }

    /// Its certificate of an authority.
    ///
    /// # Errors
    /// When it has another form.
    pub fn certificate(&self) -> Result<Certificate, SecretError> {
        self.parse(r#"{"certificate":"-----BEGIN CERTIFICATE-----…"}"#)
    }

    /// Its certificate of a client.
    ///
    /// # Errors
    /// When it has another form.
    pub fn client_certificate(&self) -> Result<ClientCertificate, SecretError> {
        self.parse(
            r#"{"certificate":"-----BEGIN CERTIFICATE-----…","privateKey":"…","privateKeyPassword":"…" if it has one}"#,
        )
    }

    // The parser's own message is left out, since it could quote the secret.
    fn parse<'a, T: Deserialize<'a>>(&'a self, expected: &'static str) -> Result<T, SecretError> {
        serde_json::from_str(&self.text)
            .map_err(|_| SecretError::Form { secret_id: self.id.clone(), expected })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_another_form_is_refused_without_being_shown() {
        let secret = Secret::new("arn:secret", r#"{"user":"me","password":"hush"}"#);
        let error = secret.login().map(|login| login.username).unwrap_err();
        assert_eq!(error.to_string(), r#"secret arn:secret must be {"username":"…","password":"…"}"#);
    }
}
