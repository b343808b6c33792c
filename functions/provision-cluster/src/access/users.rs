//! Users of the functions.

use std::time::Duration;

use search_client::engine::Engine;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::asked_as;
use super::credential::{Credential, Stored, new_password, next_name};
use crate::files::Who;
use crate::product::Product;
use crate::provision::Run;
use crate::refusal::CallError;
use crate::report::StepError;

/// A new user is known on every node after so long, at most.
const KNOWN_AFTER: Duration = Duration::from_secs(20);
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(250);

/// Path of a user's API.
pub(super) fn path(product: Product, name: &str) -> String {
    match product.engine {
        Engine::OpenSearch => format!("_plugins/_security/api/internalusers/{name}"),
        Engine::Elasticsearch => format!("_security/user/{name}"),
    }
}

/// Whether a user can log in, and if it was made here, has its role.
pub(super) async fn works(run: &Run<'_>, stored: &Stored) -> Result<bool, StepError> {
    match asked_as(run, &stored.credential).await {
        Ok(Some(told)) => Ok(stored.role.as_ref().is_none_or(|role| has_role(&told, role))),
        Ok(None) | Err(CallError::Unauthenticated { .. } | CallError::Forbidden { .. }) => Ok(false),
        Err(error) => Err(stored.credential.kept_out_of(error)),
    }
}

fn has_role(told: &Value, role: &str) -> bool {
    let roles = told.get("roles").and_then(Value::as_array).into_iter().flatten();
    roles.filter_map(Value::as_str).any(|name| name == role)
}

/// Makes the user whose turn it is, and waits until it can log in.
pub(super) async fn make(run: &Run<'_>, who: Who, stored: Option<&Stored>) -> Result<Stored, StepError> {
    let role = who.role(run.settings);
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
    put.map_err(|error| credential.kept_out_of(error))?;
    let revision = run.settings.credential_revision.clone();
    let made = Stored { credential, role: Some(role), revision, permissions: None };
    let give_up = Instant::now() + KNOWN_AFTER;
    while !works(run, &made).await? {
        if Instant::now() >= give_up {
            return Err(StepError::Other(format!(
                "the user {name} was made, but can't log in after {} s; look at the cluster's log, and run this again",
                KNOWN_AFTER.as_secs()
            )));
        }
        tokio::time::sleep(ASK_AGAIN_AFTER).await;
    }
    Ok(made)
}
