//! Credentials of the functions in secrets: `{"username", "password"}` or `{"api_key"}`, which the functions read, and
//! members that the next run needs.

use rand::RngExt as _;
use rand::distr::Alphanumeric;
use search_client::auth::{Auth, CredentialType, Secret};
use serde_json::{Map, Value};

use crate::report::StepError;

/// A user with its password, or an API key.
#[derive(Debug, Clone)]
pub(super) enum Credential {
    /// A user with its password.
    User { name: String, password: Secret },
    /// An API key as requests carry it, with its name and id in the cluster.
    Key { name: Option<String>, id: Option<String>, key: Secret },
}

impl Credential {
    /// The authentication that uses it.
    pub(super) fn auth(&self) -> Auth {
        match self {
            Self::User { name, password } => {
                Auth::Basic { username: name.clone(), password: password.clone() }
            }
            Self::Key { key, .. } => Auth::ApiKey(key.clone()),
        }
    }

    /// The part that must never be shown.
    fn secret(&self) -> &Secret {
        match self {
            Self::User { password, .. } => password,
            Self::Key { key, .. } => key,
        }
    }

    /// Removes the credential from the text of an error, in case the cluster repeated it.
    pub(super) fn redacted(&self, error: impl Into<StepError>) -> StepError {
        let error = error.into();
        let text = error.to_string();
        if text.contains(self.secret().expose()) {
            return StepError::Other(text.replace(self.secret().expose(), "…"));
        }
        error
    }
}

/// A credential as a secret holds it.
#[derive(Debug, Clone)]
pub(super) struct StoredCredential {
    /// The credential.
    pub(super) credential: Credential,
    /// The role that it was created for; `None` if a person created it.
    pub(super) role: Option<String>,
    /// `CredentialRevision` at its creation.
    pub(super) revision: Option<String>,
    /// Fingerprint of the permissions that a key was created with. They do not follow changes of the role.
    pub(super) permissions: Option<String>,
}

impl StoredCredential {
    /// Parses a secret's text; `None` if it holds no credential of this kind.
    pub(super) fn parse(kind: CredentialType, text: &Secret) -> Option<Self> {
        // The functions must be able to read it.
        Auth::from_secret(kind, text.expose()).ok()?;
        let members: Map<String, Value> = serde_json::from_str(text.expose()).ok()?;
        let member = |name: &str| members.get(name).and_then(Value::as_str).map(str::to_owned);
        let non_empty = |name: &str| member(name).filter(|text| !text.is_empty());
        let credential = match kind {
            CredentialType::Basic => Credential::User {
                name: non_empty("username")?,
                password: Secret::new(non_empty("password")?),
            },
            CredentialType::ApiKey => {
                let (name, id) = (member("api_key_name"), member("api_key_id"));
                Credential::Key { name, id, key: Secret::new(non_empty("api_key")?) }
            }
        };
        let (role, revision, permissions) = (member("role"), member("revision"), member("permissions"));
        Some(Self { credential, role, revision, permissions })
    }

    /// Writes the text of a secret.
    pub(super) fn text(&self) -> Secret {
        let mut members = Map::new();
        let mut put = |name: &str, value: &str| members.insert(name.to_owned(), value.into());
        match &self.credential {
            Credential::User { name, password } => {
                put("username", name);
                put("password", password.expose());
            }
            Credential::Key { name, id, key } => {
                put("api_key", key.expose());
                for (member, value) in [("api_key_name", name), ("api_key_id", id)] {
                    if let Some(value) = value {
                        put(member, value);
                    }
                }
            }
        }
        for (member, value) in
            [("role", &self.role), ("revision", &self.revision), ("permissions", &self.permissions)]
        {
            if let Some(value) = value {
                put(member, value);
            }
        }
        Secret::new(Value::Object(members).to_string())
    }

    /// Id of an API key.
    pub(super) fn key_id(&self) -> Option<&str> {
        match &self.credential {
            Credential::Key { id, .. } => id.as_deref(),
            Credential::User { .. } => None,
        }
    }

    /// Name of the user or API key.
    fn name(&self) -> Option<&str> {
        match &self.credential {
            Credential::User { name, .. } => Some(name),
            Credential::Key { name, .. } => name.as_deref(),
        }
    }
}

/// Returns the two names that a role's users or keys alternate between. The previous one stays valid while running
/// functions still use it.
pub(super) fn names(role: &str) -> [String; 2] {
    [format!("{role}-a"), format!("{role}-b")]
}

/// Returns the name for the next credential.
pub(super) fn next_name(role: &str, stored: Option<&StoredCredential>) -> String {
    let [first, second] = names(role);
    if stored.and_then(StoredCredential::name) == Some(first.as_str()) { second } else { first }
}

/// Generates a password of 40 letters and digits, 238 bits, with the four kinds of characters that password rules require.
pub(super) fn new_password() -> Secret {
    let random: String = random_letters(40);
    Secret::new(format!("{random}-Aa1"))
}

/// Generates letters and digits with a cryptographic random number generator.
pub(super) fn random_letters(n: usize) -> String {
    rand::rng().sample_iter(Alphanumeric).take(n).map(char::from).collect()
}

/// Returns the fingerprint of a JSON value, FNV-1a. It detects changed permissions and protects nothing.
pub(super) fn fingerprint(value: &Value) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in value.to_string().bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::call_error::CallError;

    #[test]
    fn a_secret_is_parsed_as_it_was_written() {
        let stored = StoredCredential {
            credential: Credential::User { name: "shop-writer-a".into(), password: new_password() },
            role: Some("shop-writer".into()),
            revision: Some("2".into()),
            permissions: None,
        };
        let read = StoredCredential::parse(CredentialType::Basic, &stored.text()).unwrap();
        assert_eq!(read.text(), stored.text());
        assert!(
            StoredCredential::parse(CredentialType::ApiKey, &stored.text()).is_none(),
            "it is of another kind"
        );
        let key = Secret::new(r#"{"api_key":"k","api_key_id":"i"}"#);
        assert_eq!(StoredCredential::parse(CredentialType::ApiKey, &key).unwrap().key_id(), Some("i"));
    }

    #[test]
    fn names_alternate() {
        let stored = |name: &str| StoredCredential {
            credential: Credential::User { name: name.into(), password: new_password() },
            role: None,
            revision: None,
            permissions: None,
        };
        assert_eq!(next_name("w", None), "w-a");
        assert_eq!(next_name("w", Some(&stored("w-a"))), "w-b");
        assert_eq!(next_name("w", Some(&stored("w-b"))), "w-a");
        assert_eq!(next_name("w", Some(&stored("admin"))), "w-a");
    }

    #[test]
    fn text_without_a_credential_is_none() {
        for text in ["", "x", "{}", "[]", r#"{"username":"a"}"#, r#"{"username":"","password":""}"#] {
            assert!(StoredCredential::parse(CredentialType::Basic, &Secret::new(text)).is_none(), "{text}");
        }
    }

    #[test]
    fn passwords_satisfy_common_rules_and_differ() {
        let (one, other) = (new_password(), new_password());
        assert_ne!(one, other);
        for has in [char::is_uppercase, char::is_lowercase, char::is_numeric, |c: char| !c.is_alphanumeric()]
        {
            assert!(one.expose().contains(has));
        }
        assert_eq!(one.expose().len(), 44);
    }

    #[test]
    fn an_error_never_holds_the_credential() {
        let credential = Credential::User { name: "a".into(), password: Secret::new("hunter2") };
        let error = CallError::Refused {
            request: "PUT /x".into(),
            status: 400,
            message: "the password hunter2 is weak".into(),
        };
        assert_eq!(credential.redacted(error).to_string(), "PUT /x returned 400: the password … is weak");
        assert!(!format!("{credential:?}").contains("hunter2"));
    }

    #[test]
    fn different_permissions_have_different_fingerprints() {
        assert_eq!(fingerprint(&json!({"a": 1})), fingerprint(&json!({"a": 1})));
        assert_ne!(fingerprint(&json!({"a": 1})), fingerprint(&json!({"a": 2})));
    }
}
