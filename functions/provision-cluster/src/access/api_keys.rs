//! API keys of the functions: of Elasticsearch, and of OpenSearch from 3.7 on.

use std::time::{SystemTime, UNIX_EPOCH};

use base64_simd::STANDARD;
use search_client::auth::Secret;
use search_client::engine::Engine;
use serde_json::{Value, json};

use super::credential::{Credential, StoredCredential, fingerprint, names, next_name, random_letters};
use super::identity::identity_of;
use super::roles;
use crate::call_error::CallError;
use crate::files::FileError;
use crate::report::StepError;
use crate::role::Role;
use crate::run::Run;

/// <https://docs.opensearch.org/latest/security/access-control/api-keys/>
const OPENSEARCH_KEYS: &str = "_plugins/_security/api/apitokens";
/// <https://www.elastic.co/guide/en/elasticsearch/reference/current/security-api-create-api-key.html>
const ELASTICSEARCH_KEYS: &str = "_security/api_key";
/// Letters at the end of a key's name that make it unique in OpenSearch.
const SUFFIX_LEN: usize = 8;

/// Returns why a key must be replaced; `None` if the cluster accepts it, it does not expire soon, and its permissions are
/// current.
pub(super) async fn replacement_reason(
    run: &Run<'_>,
    role: Role,
    stored: &StoredCredential,
) -> Result<Option<&'static str>, StepError> {
    let permissions = permissions(run, role)?;
    if stored.role.is_some() && stored.permissions != Some(fingerprint(&permissions)) {
        return Ok(Some("the rights of its role changed"));
    }
    let works = match run.product.engine {
        Engine::Elasticsearch => match identity_of(run, &stored.credential).await {
            Ok(identity) => identity.is_some(),
            Err(CallError::Unauthenticated { .. } | CallError::Forbidden { .. }) => false,
            Err(error) => return Err(stored.credential.redacted(error)),
        },
        // A key has no access to the security API, not even to its own identity. It is looked up in the list of keys.
        Engine::OpenSearch => match stored.key_id() {
            // A person created it.
            None => true,
            Some(id) => {
                let now_ms =
                    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
                let keys = run.cluster.get(OPENSEARCH_KEYS).await?;
                let keys = keys.as_ref().and_then(Value::as_array).into_iter().flatten();
                let mut found = keys.filter(|key| key.get("id").and_then(Value::as_str) == Some(id));
                found.any(|key| is_fresh(key, now_ms))
            }
        },
    };
    Ok((!works).then_some("the one in the secret does not work or expires soon"))
}

/// Whether a key is valid for more than another third of its lifetime. In OpenSearch that is at most
/// `max_duration_seconds`, 90 days by default.
fn is_fresh(key: &Value, now_ms: u64) -> bool {
    let time = |name: &str| key.get(name).and_then(Value::as_u64);
    if key.get("revoked_at").is_some_and(|at| !at.is_null()) {
        return false;
    }
    let (Some(created_ms), Some(expires_ms)) = (time("iat"), time("expires_at")) else { return true };
    now_ms < expires_ms && (expires_ms - now_ms) > expires_ms.saturating_sub(created_ms) / 3
}

/// Returns the permissions of a key: those of its role.
fn permissions(run: &Run<'_>, role: Role) -> Result<Value, FileError> {
    roles::body(run.product, run.settings, role)
}

/// Creates a key.
pub(super) async fn create(
    run: &Run<'_>,
    role: Role,
    stored: Option<&StoredCredential>,
) -> Result<StoredCredential, StepError> {
    let permissions = permissions(run, role)?;
    let role = role.name(run.settings);
    let credential = match run.product.engine {
        Engine::Elasticsearch => {
            let name = next_name(&role, stored);
            // The key before the previous one has this name. Before 7.5 a name must be unique.
            invalidate(run, &name).await?;
            let body = json!({"name": name, "role_descriptors": {role.clone(): permissions}});
            let created = run.cluster.create(ELASTICSEARCH_KEYS, &body).await.map_err(with_fix)?;
            let (id, key) = (member(&created, "id")?, member(&created, "api_key")?);
            let key = Secret::new(STANDARD.encode_to_string(format!("{id}:{key}")));
            Credential::Key { name: Some(name), id: Some(id), key }
        }
        Engine::OpenSearch => {
            // OpenSearch never accepts a name twice, not even that of a revoked key.
            let name = format!("{}-{}", key_prefix(&role), random_letters(SUFFIX_LEN));
            let created = run.cluster.create(OPENSEARCH_KEYS, &opensearch_key(&name, &permissions)).await?;
            let (id, key) = (member(&created, "id")?, Secret::new(member(&created, "token")?));
            Credential::Key { name: Some(name), id: Some(id), key }
        }
    };
    Ok(StoredCredential {
        credential,
        role: Some(role),
        revision: run.settings.credential_revision.clone(),
        permissions: Some(fingerprint(&permissions)),
    })
}

/// Adds the fix to an error that has a known one.
fn with_fix(error: CallError) -> StepError {
    if error.refusal().is_some_and(|message| message.contains("derived api key")) {
        let fix = "an administrator with an API key can't create keys with rights: set FunctionAuth to `basic`, give the \
                   functions keys of your own, or give the administrator's user and password";
        return StepError::Other(format!("{error}; {fix}"));
    }
    error.into()
}

/// Reads a member of the response with a new key. The error shows nothing of the response.
fn member(response: &Value, name: &str) -> Result<String, StepError> {
    response.get(name).and_then(Value::as_str).map(str::to_owned).ok_or_else(|| {
        StepError::Other(format!("the cluster's response to the request for an API key has no `{name}`"))
    })
}

/// Returns the first part of a key's name. OpenSearch accepts letters, digits, `_` and `-`.
fn key_prefix(role: &str) -> String {
    role.replace('.', "_")
}

/// Returns the request for a key of OpenSearch. It has `index_pattern` where roles have `index_patterns`.
fn opensearch_key(name: &str, role: &Value) -> Value {
    let of_role = |member: &str| role.get(member).cloned().unwrap_or_else(|| json!([]));
    let indices = of_role("index_permissions");
    let indices: Vec<_> = indices
        .as_array()
        .into_iter()
        .flatten()
        .map(|index| {
            json!({"index_pattern": index.get("index_patterns"), "allowed_actions": index.get("allowed_actions")})
        })
        .collect();
    json!({"name": name, "cluster_permissions": of_role("cluster_permissions"), "index_permissions": indices})
}

/// Invalidates OpenSearch's keys of the role, except the new and the replaced one. Those of Elasticsearch were invalidated
/// when the new key took their name.
pub(super) async fn invalidate_older(
    run: &Run<'_>,
    role: Role,
    created: &StoredCredential,
    replaced: Option<&StoredCredential>,
) -> Result<(), CallError> {
    if run.product.engine == Engine::OpenSearch {
        let kept: Vec<_> =
            [Some(created), replaced].into_iter().flatten().filter_map(StoredCredential::key_id).collect();
        revoke_except(run, &role.name(run.settings), &kept).await?;
    }
    Ok(())
}

/// Invalidates all keys of a role. Returns whether there were any.
pub(super) async fn invalidate_all(run: &Run<'_>, role: Role) -> Result<bool, CallError> {
    let role = role.name(run.settings);
    match run.product.engine {
        Engine::OpenSearch => revoke_except(run, &role, &[]).await,
        Engine::Elasticsearch => {
            let [first, second] = names(&role);
            Ok(invalidate(run, &first).await? | invalidate(run, &second).await?)
        }
    }
}

/// Invalidates Elasticsearch's keys with a name. Returns whether there were any.
async fn invalidate(run: &Run<'_>, name: &str) -> Result<bool, CallError> {
    let response = run.cluster.delete_matching(ELASTICSEARCH_KEYS, Some(&json!({"name": name}))).await?;
    let invalidated = response.as_ref().and_then(|response| response.get("invalidated_api_keys")?.as_array());
    Ok(invalidated.is_some_and(|keys| !keys.is_empty()))
}

/// Revokes OpenSearch's keys of a role, except those with the given ids. Returns whether there were any.
async fn revoke_except(run: &Run<'_>, role: &str, kept: &[&str]) -> Result<bool, CallError> {
    let keys = run.cluster.get(OPENSEARCH_KEYS).await?;
    let prefix = format!("{}-", key_prefix(role));
    let mut any = false;
    for key in keys.as_ref().and_then(Value::as_array).into_iter().flatten() {
        let (id, name) = (key.get("id").and_then(Value::as_str), key.get("name").and_then(Value::as_str));
        let (Some(id), Some(name)) = (id, name) else { continue };
        // Skips the keys of another role that starts alike.
        let is_ours = name.strip_prefix(&prefix).is_some_and(|rest| {
            rest.len() == SUFFIX_LEN && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
        });
        let is_revoked = key.get("revoked_at").is_some_and(|at| !at.is_null());
        if is_ours && !is_revoked && !kept.contains(&id) {
            any |= run.cluster.delete(&format!("{OPENSEARCH_KEYS}/{id}")).await?;
        }
    }
    Ok(any)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_for_a_key_holds_the_permissions_of_the_role() {
        let role = json!({"description": "d", "cluster_permissions": ["indices:data/write/bulk"],
            "index_permissions": [{"index_patterns": ["a-*"], "allowed_actions": ["write"]}]});
        assert_eq!(
            opensearch_key("a-writer-x", &role),
            json!({"name": "a-writer-x", "cluster_permissions": ["indices:data/write/bulk"],
                "index_permissions": [{"index_pattern": ["a-*"], "allowed_actions": ["write"]}]})
        );
    }

    #[test]
    fn a_key_is_replaced_in_the_last_third_of_its_lifetime() {
        let key = json!({"iat": 0, "expires_at": 900});
        assert!(is_fresh(&key, 599));
        assert!(!is_fresh(&key, 600) && !is_fresh(&key, 901));
        assert!(!is_fresh(&json!({"iat": 0, "expires_at": 900, "revoked_at": 5}), 10));
        assert!(is_fresh(&json!({"id": "a", "revoked_at": null}), 10));
    }
}
