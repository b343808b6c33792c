//! API keys of the functions: of Elasticsearch, and of OpenSearch from 3.7 on.

use std::time::{SystemTime, UNIX_EPOCH};

use base64_simd::STANDARD;
use search_client::auth::Secret;
use search_client::engine::Engine;
use serde_json::{Value, json};

use super::asked_as;
use super::credential::{Credential, Stored, fingerprint, names, next_name, random_letters};
use super::roles;
use crate::files::Who;
use crate::provision::Run;
use crate::refusal::CallError;
use crate::report::StepError;

/// <https://docs.opensearch.org/latest/security/access-control/api-keys/>
const OPENSEARCH_KEYS: &str = "_plugins/_security/api/apitokens";
/// <https://www.elastic.co/guide/en/elasticsearch/reference/current/security-api-create-api-key.html>
const ELASTICSEARCH_KEYS: &str = "_security/api_key";
/// Letters that tell the names of OpenSearch's keys apart.
const SUFFIX: usize = 8;

/// Why a key must be made anew; `None` if the cluster takes it, for some time yet, and it may do what it should.
pub(super) async fn why_anew(
    run: &Run<'_>,
    who: Who,
    stored: &Stored,
) -> Result<Option<&'static str>, StepError> {
    let permissions = permissions(run, who)?;
    if stored.role.is_some() && stored.permissions != Some(fingerprint(&permissions)) {
        return Ok(Some("the rights of its role changed"));
    }
    let works = match run.product.engine {
        Engine::Elasticsearch => match asked_as(run, &stored.credential).await {
            Ok(told) => told.is_some(),
            Err(CallError::Unauthenticated { .. } | CallError::Forbidden { .. }) => false,
            Err(error) => return Err(stored.credential.kept_out_of(error)),
        },
        // A key may not ask the security API, not even who it is. So it is looked for among the keys.
        Engine::OpenSearch => match stored.key_id() {
            // A person made it.
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
    Ok((!works).then_some("the one in the secret does not work, or not much longer"))
}

/// Whether a key is valid and has more than a third of its life before it: OpenSearch lets none live longer than its
/// `max_duration_seconds`, 90 days by default.
fn is_fresh(key: &Value, now_ms: u64) -> bool {
    let time = |name: &str| key.get(name).and_then(Value::as_u64);
    if key.get("revoked_at").is_some_and(|at| !at.is_null()) {
        return false;
    }
    let (Some(made), Some(ends)) = (time("iat"), time("expires_at")) else { return true };
    now_ms < ends && (ends - now_ms) > ends.saturating_sub(made) / 3
}

/// What a key is made to be allowed: the role's permissions.
fn permissions(run: &Run<'_>, who: Who) -> Result<Value, StepError> {
    roles::body(run.product, run.settings, who).map_err(|error| StepError::Other(error.to_string()))
}

/// Makes a key.
pub(super) async fn make(run: &Run<'_>, who: Who, stored: Option<&Stored>) -> Result<Stored, StepError> {
    let role = who.role(run.settings);
    let permissions = permissions(run, who)?;
    let credential = match run.product.engine {
        Engine::Elasticsearch => {
            let name = next_name(&role, stored);
            // The key before the previous one had this name. Before 7.5 a name can't be had twice.
            invalidate(run, &name).await?;
            let body = json!({"name": name, "role_descriptors": {role.clone(): permissions}});
            let made = run.cluster.create(ELASTICSEARCH_KEYS, &body).await.map_err(with_mend)?;
            let (id, key) = (member(&made, "id")?, member(&made, "api_key")?);
            let key = Secret::new(STANDARD.encode_to_string(format!("{id}:{key}")));
            Credential::Key { name: Some(name), id: Some(id), key }
        }
        Engine::OpenSearch => {
            // OpenSearch takes no name twice, not even that of a revoked key.
            let name = format!("{}-{}", key_prefix(&role), random_letters(SUFFIX));
            let made = run.cluster.create(OPENSEARCH_KEYS, &opensearch_key(&name, &permissions)).await?;
            let (id, key) = (member(&made, "id")?, Secret::new(member(&made, "token")?));
            Credential::Key { name: Some(name), id: Some(id), key }
        }
    };
    Ok(Stored {
        credential,
        role: Some(role),
        revision: run.settings.credential_revision.clone(),
        permissions: Some(fingerprint(&permissions)),
    })
}

fn with_mend(error: CallError) -> StepError {
    if error.refusal().is_some_and(|said| said.contains("derived api key")) {
        let mend = "an API key can't make keys with rights: give the administrator's user and password";
        return StepError::Other(format!("{error}; {mend}"));
    }
    error.into()
}

/// A member of the answer that made a key; the error shows none of the answer.
fn member(made: &Value, name: &str) -> Result<String, StepError> {
    made.get(name).and_then(Value::as_str).map(str::to_owned).ok_or_else(|| {
        StepError::Other(format!("the cluster's answer to the request for an API key has no `{name}`"))
    })
}

/// OpenSearch takes letters, digits, `_` and `-` in a key's name, and no name twice.
fn key_prefix(role: &str) -> String {
    role.replace('.', "_")
}

/// A role as OpenSearch's keys have it: `index_pattern` where roles say `index_patterns`.
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

/// Invalidates the keys of OpenSearch that were made before the one that `made` replaces. Elasticsearch's went when the
/// new one took their name.
pub(super) async fn invalidate_older(
    run: &Run<'_>,
    who: Who,
    made: &Stored,
    replaced: Option<&Stored>,
) -> Result<(), CallError> {
    if run.product.engine == Engine::OpenSearch {
        let kept: Vec<_> = [Some(made), replaced].into_iter().flatten().filter_map(Stored::key_id).collect();
        revoke_but(run, &who.role(run.settings), &kept).await?;
    }
    Ok(())
}

/// Invalidates all keys of a role; whether there were any.
pub(super) async fn invalidate_all(run: &Run<'_>, who: Who) -> Result<bool, CallError> {
    let role = who.role(run.settings);
    match run.product.engine {
        Engine::OpenSearch => revoke_but(run, &role, &[]).await,
        Engine::Elasticsearch => {
            let [first, second] = names(&role);
            Ok(invalidate(run, &first).await? | invalidate(run, &second).await?)
        }
    }
}

/// Invalidates Elasticsearch's keys of a name; whether there were any.
async fn invalidate(run: &Run<'_>, name: &str) -> Result<bool, CallError> {
    let answer = run.cluster.delete_by(ELASTICSEARCH_KEYS, Some(&json!({"name": name}))).await?;
    let invalidated = answer.as_ref().and_then(|answer| answer.get("invalidated_api_keys")?.as_array());
    Ok(invalidated.is_some_and(|keys| !keys.is_empty()))
}

/// Revokes OpenSearch's keys of a role, but those with the given ids; whether there were any.
async fn revoke_but(run: &Run<'_>, role: &str, kept: &[&str]) -> Result<bool, CallError> {
    let keys = run.cluster.get(OPENSEARCH_KEYS).await?;
    let prefix = format!("{}-", key_prefix(role));
    let mut any = false;
    for key in keys.as_ref().and_then(Value::as_array).into_iter().flatten() {
        let (id, name) = (key.get("id").and_then(Value::as_str), key.get("name").and_then(Value::as_str));
        let (Some(id), Some(name)) = (id, name) else { continue };
        // Not the keys of another role that begins alike.
        let is_ours = name.strip_prefix(&prefix).is_some_and(|rest| {
            rest.len() == SUFFIX && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
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
    fn a_key_is_made_of_a_role() {
        let role = json!({"description": "d", "cluster_permissions": ["indices:data/write/bulk"],
            "index_permissions": [{"index_patterns": ["a-*"], "allowed_actions": ["write"]}]});
        assert_eq!(
            opensearch_key("a-writer-x", &role),
            json!({"name": "a-writer-x", "cluster_permissions": ["indices:data/write/bulk"],
                "index_permissions": [{"index_pattern": ["a-*"], "allowed_actions": ["write"]}]})
        );
    }

    #[test]
    fn a_key_is_made_anew_in_the_last_third_of_its_life() {
        let key = json!({"iat": 0, "expires_at": 900});
        assert!(is_fresh(&key, 599));
        assert!(!is_fresh(&key, 600) && !is_fresh(&key, 901));
        assert!(!is_fresh(&json!({"iat": 0, "expires_at": 900, "revoked_at": 5}), 10));
        assert!(is_fresh(&json!({"id": "a", "revoked_at": null}), 10));
    }
}
