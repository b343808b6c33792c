//! Users of the functions.

use std::time::Duration;

use search_client::engine::Engine;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::credential::{Credential, StoredCredential, new_password, next_name};
use super::identity::identity_of;
use crate::call_error::CallError;
use crate::product::Product;
use crate::report::StepError;
use crate::role::Role;
use crate::run::Run;

/// Longest time until every node knows a new user.
const KNOWN_AFTER: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// Path of a user.
pub(super) fn path(product: Product, name: &str) -> String {
    match product.engine {
        Engine::OpenSearch => format!("_plugins/_security/api/internalusers/{name}"),
        Engine::Elasticsearch => format!("_security/user/{name}"),
    }
}

/// Whether a user can log in, and has its role if it was created here.
pub(super) async fn works(run: &Run<'_>, stored: &StoredCredential) -> Result<bool, StepError> {
    match identity_of(run, &stored.credential).await {
        Ok(Some(identity)) => Ok(stored.role.as_ref().is_none_or(|role| has_role(&identity, role))),
        Ok(None) | Err(CallError::Unauthenticated { .. } | CallError::Forbidden { .. }) => Ok(false),
        Err(error) => Err(stored.credential.redacted(error)),
    }
}

fn has_role(identity: &Value, role: &str) -> bool {
    let roles = identity.get("roles").and_then(Value::as_array).into_iter().flatten();
    roles.filter_map(Value::as_str).any(|name| name == role)
}

/// Creates the user under the name whose turn it is, and waits until it can log in.
pub(super) async fn create(
    run: &Run<'_>,
    role: Role,
    stored: Option<&StoredCredential>,
) -> Result<StoredCredential, StepError> {
    let role = role.name(run.settings);
    let name = next_name(&role, stored);
    let password = new_password();
    let body = match run.product.engine {
        Engine::OpenSearch => {
            json!({"password": password.expose(), "opendistro_security_roles": [role]})
        }
        Engine::Elasticsearch => json!({"password": password.expose(), "roles": [role]}),
    };
    let credential = Credential::User { name: name.clone(), password };
    let put = run.cluster.put(&path(run.product, &name), &body).await;
    put.map_err(|error| credential.redacted(error))?;
    let revision = run.settings.credential_revision.clone();
    let created = StoredCredential { credential, role: Some(role), revision, permissions: None };
    let give_up = Instant::now() + KNOWN_AFTER;
    while !works(run, &created).await? {
        if Instant::now() >= give_up {
            return Err(StepError::Other(format!(
                "the user {name} was created, but can't log in after {} s; look at the cluster's log, and run this again",
                KNOWN_AFTER.as_secs()
            )));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Ok(created)
}
