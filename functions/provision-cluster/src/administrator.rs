//! The administrator's credential, which a command line may take from the environment itself.

use lambda_support::search::SearchConfig;
use lambda_support::variables::Variables;
use search_client::auth::{Auth, CredentialType, Secret};
use serde_json::json;

/// A credential as the text of a secret.
struct GivenCredential {
    kind: CredentialType,
    text: Secret,
}

/// Reads how to connect to the cluster. `SEARCH_USERNAME` with `SEARCH_PASSWORD`, or `SEARCH_API_KEY`, takes the place of
/// `SEARCH_AUTH` with `SEARCH_SECRET_ID`.
pub(crate) fn read_search(variables: &mut Variables<'_>) -> Option<SearchConfig> {
    match read_given(variables) {
        Some(GivenCredential { kind, text }) => SearchConfig::read_with_secret(variables, kind, text),
        None => SearchConfig::read(variables),
    }
}

/// Reads the credential and records its problems; `None` if there is none, or it has a problem.
fn read_given(variables: &mut Variables<'_>) -> Option<GivenCredential> {
    let (username, password) = (variables.text("SEARCH_USERNAME"), variables.text("SEARCH_PASSWORD"));
    let (kind, text, name) = match (username, password, variables.text("SEARCH_API_KEY")) {
        (None, None, None) => return None,
        (Some(username), Some(password), None) => {
            let text = json!({"username": username, "password": password});
            (CredentialType::Basic, text, "SEARCH_USERNAME")
        }
        (None, None, Some(key)) => (CredentialType::ApiKey, json!({"api_key": key}), "SEARCH_API_KEY"),
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
    let word = if kind == CredentialType::Basic { "basic" } else { "api_key" };
    if let Some(auth) = variables.text("SEARCH_AUTH").filter(|auth| !auth.eq_ignore_ascii_case(word)) {
        variables.problem(name, format!("set, but SEARCH_AUTH is `{auth}` and not `{word}`"));
    }
    let text = text.to_string();
    if let Err(error) = Auth::from_secret(kind, &text) {
        variables.problem(name, error);
        return None;
    }
    Some(GivenCredential { kind, text: Secret::new(text) })
}

#[cfg(test)]
mod tests {
    use lambda_support::variables::ConfigError;
    use testing::environment::lookup;

    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<SearchConfig, ConfigError> {
        let lookup = lookup(pairs.iter().copied());
        let mut variables = Variables::new(&lookup);
        let config = read_search(&mut variables);
        variables.finish(config)
    }

    #[test]
    fn a_command_line_may_be_given_the_credential_itself() {
        let user =
            [("SEARCH_ENDPOINT", "https://x"), ("SEARCH_USERNAME", "admin"), ("SEARCH_PASSWORD", "hunter2")];
        let given = read_given(&mut Variables::new(&lookup(user))).unwrap();
        assert_eq!(given.kind, CredentialType::Basic);
        assert!(!format!("{:?}", read(&user).unwrap()).contains("hunter2"));
        let refused = |more: &[(&str, &str)]| {
            let pairs: Vec<_> = user.iter().chain(more).copied().collect();
            read(&pairs).unwrap_err().to_string()
        };
        assert!(refused(&[("SEARCH_SECRET_ID", "s")]).contains("give one credential"));
        assert!(refused(&[("SEARCH_API_KEY", "k")]).contains("give one credential"));
        assert!(refused(&[("SEARCH_AUTH", "sigv4")]).contains("SEARCH_AUTH is `sigv4`"));
        let half = read(&user[..2]).unwrap_err().to_string();
        assert!(half.contains("SEARCH_PASSWORD: not set"), "{half}");
        assert!(read(&user[..1]).is_ok());
    }
}
