//! Credentials for the cluster.

use std::fmt;

use base64_simd::STANDARD;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use serde_json::Value;
use thiserror::Error;

use crate::send_error::SendError;
use crate::sigv4::SigningKey;

/// Text that is never shown: it has no `Display`, and its `Debug` shows only that there is one.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// How the client authenticates.
#[derive(Debug, Clone)]
pub enum Auth {
    /// Requests carry no credentials.
    None,
    /// HTTP basic authentication: `Authorization: Basic …`.
    Basic {
        /// The user's name.
        username: String,
        /// The user's password.
        password: Secret,
    },
    /// `Authorization: ApiKey …`, as Elasticsearch and OpenSearch 3.7 take it: base64 of `id:key`.
    ApiKey(Secret),
    /// `Authorization: Bearer …`, as schema registries take it.
    Bearer(Secret),
    /// Requests signed with AWS Signature Version 4.
    SigV4(SigningKey),
}

/// Which credentials a secret holds, and so the form of its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialType {
    /// `{"username": "…", "password": "…"}`
    Basic,
    /// `{"api_key": "…"}`
    ApiKey,
}

/// What is wrong with a secret, without any of its text.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SecretError {
    /// The text is not a JSON object.
    #[error("the secret is not a JSON object")]
    NotAnObject,
    /// A member is missing or is not a string.
    #[error("the secret has no text `{0}`: it must be {1}")]
    Missing(&'static str, &'static str),
    /// A member has characters that HTTP headers don't allow.
    #[error("`{0}` of the secret has characters that an HTTP header can't hold")]
    NotAHeader(&'static str),
}

impl Auth {
    /// Reads credentials from the text of a secret.
    pub fn from_secret(kind: CredentialType, text: &str) -> Result<Self, SecretError> {
        let secret: Value = serde_json::from_str(text).map_err(|_| SecretError::NotAnObject)?;
        let Value::Object(members) = secret else { return Err(SecretError::NotAnObject) };
        let member = |name, form| {
            members
                .get(name)
                .and_then(Value::as_str)
                .map(str::to_owned)
                .ok_or(SecretError::Missing(name, form))
        };
        match kind {
            CredentialType::Basic => {
                const FORM: &str = r#"{"username": "…", "password": "…"}"#;
                let (username, password) = (member("username", FORM)?, member("password", FORM)?);
                Ok(Self::Basic { username, password: Secret(password) })
            }
            CredentialType::ApiKey => {
                let key = member("api_key", r#"{"api_key": "…"}"#)?;
                if HeaderValue::from_str(&key).is_err() {
                    return Err(SecretError::NotAHeader("api_key"));
                }
                Ok(Self::ApiKey(Secret(key)))
            }
        }
    }

    /// Reads credentials of either kind from the text of a secret: an API key if it has one, else user and password.
    pub fn from_any_secret(text: &str) -> Result<Self, SecretError> {
        let has_key = serde_json::from_str::<Value>(text).is_ok_and(|secret| secret.get("api_key").is_some());
        let kind = if has_key { CredentialType::ApiKey } else { CredentialType::Basic };
        Self::from_secret(kind, text)
    }

    /// Reads a token from the text of a secret, `{"token": "…"}`.
    pub fn bearer_from_secret(text: &str) -> Result<Self, SecretError> {
        let secret: Value = serde_json::from_str(text).map_err(|_| SecretError::NotAnObject)?;
        let Value::Object(members) = secret else { return Err(SecretError::NotAnObject) };
        let token = members.get("token").and_then(Value::as_str);
        let token = token.ok_or(SecretError::Missing("token", r#"{"token": "…"}"#))?;
        if HeaderValue::from_str(token).is_err() {
            return Err(SecretError::NotAHeader("token"));
        }
        Ok(Self::Bearer(Secret(token.to_owned())))
    }

    /// Adds the credentials to a request that is otherwise complete.
    pub(crate) fn apply(&self, request: &mut reqwest::Request) -> Result<(), SendError> {
        let credentials = match self {
            Self::None => return Ok(()),
            Self::Basic { username, password } => {
                format!("Basic {}", STANDARD.encode_to_string(format!("{username}:{}", password.expose())))
            }
            Self::ApiKey(key) => format!("ApiKey {}", key.expose()),
            Self::Bearer(token) => format!("Bearer {}", token.expose()),
            Self::SigV4(key) => return key.sign(request),
        };
        let mut value = HeaderValue::from_str(&credentials).expect("secrets are checked when they are read");
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_never_shown() {
        let auth = Auth::from_secret(CredentialType::Basic, r#"{"username":"writer","password":"hunter2"}"#)
            .unwrap();
        assert!(!format!("{auth:?}").contains("hunter2"));
    }

    #[test]
    fn the_kind_of_a_credential_can_be_seen_from_its_secret() {
        let user = Auth::from_any_secret(r#"{"username":"admin","password":"hunter2"}"#);
        assert!(matches!(user, Ok(Auth::Basic { username, .. }) if username == "admin"));
        let key = Auth::from_any_secret(r#"{"api_key":"aWQ6a2V5","api_key_name":"admin"}"#);
        assert!(matches!(key, Ok(Auth::ApiKey(key)) if key.expose() == "aWQ6a2V5"));
        assert!(matches!(Auth::from_any_secret(r#"{"api_key":5}"#), Err(SecretError::Missing("api_key", _))));
        assert!(matches!(Auth::from_any_secret("{}"), Err(SecretError::Missing("username", _))));
    }

    #[test]
    fn a_token_is_read_from_its_secret() {
        let auth = Auth::bearer_from_secret(r#"{"token":"hunter2"}"#).unwrap();
        assert!(matches!(&auth, Auth::Bearer(token) if token.expose() == "hunter2"));
        assert!(!format!("{auth:?}").contains("hunter2"));
        for text in ["hunter2", "{}", r#"{"token":5}"#, r#"{"token":"a\nb"}"#] {
            assert!(Auth::bearer_from_secret(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_secret_of_another_form_is_refused_without_being_shown() {
        let refused = |kind, text| Auth::from_secret(kind, text).unwrap_err().to_string();
        assert_eq!(refused(CredentialType::Basic, "hunter2"), "the secret is not a JSON object");
        assert_eq!(
            refused(CredentialType::Basic, r#"{"username":"hunter2"}"#),
            r#"the secret has no text `password`: it must be {"username": "…", "password": "…"}"#
        );
        assert!(refused(CredentialType::ApiKey, r#"{"api_key":7}"#).contains("`api_key`"));
        assert!(refused(CredentialType::ApiKey, "{\"api_key\":\"a\\nb\"}").contains("HTTP header"));
    }
}
