//! Credentials of the functions, as a secret holds them: `{"username", "password"}` or `{"api_key"}`, which is all that the
//! functions read, and beside it what the next run must know.

use rand::RngExt as _;
use rand::distr::Alphanumeric;
use search_client::auth::{Auth, Secret, SecretKind};
use serde_json::{Map, Value};

use crate::report::StepError;

/// A user with its password, or a key.
#[derive(Debug, Clone)]
pub(super) enum Credential {
    /// A user.
    User { name: String, password: Secret },
    /// A key, as it stands in a request, with the name and id that the cluster knows it by.
    Key { name: Option<String>, id: Option<String>, key: Secret },
}

impl Credential {
    /// The way to log in with it.
    pub(super) fn auth(&self) -> Auth {
        match self {
            Self::User { name, password } => {
                Auth::Basic { username: name.clone(), password: password.clone() }
            }
            Self::Key { key, .. } => Auth::ApiKey(key.clone()),
        }
    }

    /// What must never be told.
    fn secret(&self) -> &Secret {
        match self {
            Self::User { password, .. } => password,
            Self::Key { key, .. } => key,
        }
    }

    /// Takes the credential out of an error's text, should the cluster have repeated it.
    pub(super) fn kept_out_of(&self, error: impl Into<StepError>) -> StepError {
        let error = error.into();
        let text = error.to_string();
        if text.contains(self.secret().expose()) {
            return StepError::Other(text.replace(self.secret().expose(), "…"));
        }
        error
    }
}

/// A credential in a secret.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    /// The credential.
    pub(super) credential: Credential,
    /// The role that it was made for; `None` if a person made it.
    pub(super) role: Option<String>,
    /// `CredentialRevision` when it was made.
    pub(super) revision: Option<String>,
    /// Fingerprint of what a key was made to be allowed, which is the key's own and does not follow the role.
    pub(super) permissions: Option<String>,
}

impl Stored {
    /// Reads a secret's text; `None` if it has no credential of this kind.
    pub(super) fn parse(kind: SecretKind, text: &Secret) -> Option<Self> {
        // What the functions could not read is none.
        Auth::from_secret(kind, text.expose()).ok()?;
        let members: Map<String, Value> = serde_json::from_str(text.expose()).ok()?;
        let member = |name: &str| members.get(name).and_then(Value::as_str).map(str::to_owned);
        let filled = |name: &str| member(name).filter(|text| !text.is_empty());
        let credential = match kind {
            SecretKind::Basic => {
                Credential::User { name: filled("username")?, password: Secret::new(filled("password")?) }
            }
            SecretKind::ApiKey => {
                let (name, id) = (member("api_key_name"), member("api_key_id"));
                Credential::Key { name, id, key: Secret::new(filled("api_key")?) }
            }
        };
        let (role, revision, permissions) = (member("role"), member("revision"), member("permissions"));
        Some(Self { credential, role, revision, permissions })
    }

    /// The text for a secret.
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

    /// Id of a key.
    pub(super) fn key_id(&self) -> Option<&str> {
        match &self.credential {
            Credential::Key { id, .. } => id.as_deref(),
            Credential::User { .. } => None,
        }
    }

    /// Name of the user or key.
    fn name(&self) -> Option<&str> {
        match &self.credential {
            Credential::User { name, .. } => Some(name),
            Credential::Key { name, .. } => name.as_deref(),
        }
    }
}

/// The two names that alternate for a role's users or keys: the one before stays valid while functions that run still use
/// it.
pub(super) fn names(role: &str) -> [String; 2] {
    [format!("{role}-a"), format!("{role}-b")]
}

/// The name whose turn it is.
pub(super) fn next_name(role: &str, stored: Option<&Stored>) -> String {
    let [first, second] = names(role);
    if stored.and_then(Stored::name) == Some(first.as_str()) { second } else { first }
}

/// A password of 40 letters and digits, 238 bits, with the four kinds of characters that clusters' rules ask for.
pub(super) fn new_password() -> Secret {
    let random: String = random_letters(40);
    Secret::new(format!("{random}-Aa1"))
}

/// Letters and digits, by the system's generator of secrets.
pub(super) fn random_letters(n: usize) -> String {
    rand::rng().sample_iter(Alphanumeric).take(n).map(char::from).collect()
}

/// Fingerprint of a JSON value, FNV-1a: it tells that permissions changed, and keeps no secret.
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
    use crate::refusal::CallError;

    #[test]
    fn a_secret_is_read_as_it_was_written() {
        let stored = Stored {
            credential: Credential::User { name: "shop-writer-a".into(), password: new_password() },
            role: Some("shop-writer".into()),
            revision: Some("2".into()),
            permissions: None,
        };
        let read = Stored::parse(SecretKind::Basic, &stored.text()).unwrap();
        assert_eq!(read.text(), stored.text());
        assert!(Stored::parse(SecretKind::ApiKey, &stored.text()).is_none(), "of another kind");
        let key = Secret::new(r#"{"api_key":"k","api_key_id":"i"}"#);
        assert_eq!(Stored::parse(SecretKind::ApiKey, &key).unwrap().key_id(), Some("i"));
    }

    #[test]
    fn names_take_turns() {
        let stored = |name: &str| Stored {
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
    fn what_is_no_credential_is_none() {
        for text in ["", "x", "{}", "[]", r#"{"username":"a"}"#, r#"{"username":"","password":""}"#] {
            assert!(Stored::parse(SecretKind::Basic, &Secret::new(text)).is_none(), "{text}");
        }
    }

    #[test]
    fn a_password_has_what_rules_ask_for_and_no_two_are_alike() {
        let (one, other) = (new_password(), new_password());
        assert_ne!(one, other);
        for has in [char::is_uppercase, char::is_lowercase, char::is_numeric, |c: char| !c.is_alphanumeric()]
        {
            assert!(one.expose().contains(has));
        }
        assert_eq!(one.expose().len(), 44);
    }

    #[test]
    fn a_credential_never_stands_in_an_error() {
        let credential = Credential::User { name: "a".into(), password: Secret::new("hunter2") };
        let error = CallError::Refused {
            request: "PUT /x".into(),
            status: 400,
            said: "the password hunter2 is weak".into(),
        };
        assert_eq!(
            credential.kept_out_of(error).to_string(),
            "PUT /x was answered 400: the password … is weak"
        );
        assert!(!format!("{credential:?}").contains("hunter2"));
    }

    #[test]
    fn a_fingerprint_tells_permissions_apart() {
        assert_eq!(fingerprint(&json!({"a": 1})), fingerprint(&json!({"a": 1})));
        assert_ne!(fingerprint(&json!({"a": 1})), fingerprint(&json!({"a": 2})));
    }
}
