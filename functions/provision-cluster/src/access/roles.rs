//! Roles, as the files of `infra/search/roles` define them.

use search_client::engine::Engine;
use serde_json::{Value, json};

use crate::compare::matches;
use crate::files::{self, FileError};
use crate::product::Product;
use crate::report::{Outcome, StepError};
use crate::role::Role;
use crate::run::Run;
use crate::settings::Settings;

/// Path of a role.
pub fn path(product: Product, name: &str) -> String {
    match product.engine {
        Engine::OpenSearch => format!("_plugins/_security/api/roles/{name}"),
        Engine::Elasticsearch => format!("_security/role/{name}"),
    }
}

/// Returns the permissions of a role, in the terms of the product's version.
///
/// # Errors
/// [`FileError`] when a file of `infra/search` can't be used.
pub fn body(product: Product, settings: &Settings, role: Role) -> Result<Value, FileError> {
    let mut body = files::role(product.engine, role).json(settings)?;
    if product.engine == Engine::Elasticsearch {
        for index in body.get_mut("indices").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(privileges) = index.get_mut("privileges").and_then(Value::as_array_mut) {
                privileges.iter_mut().for_each(|privilege| replace_newer(privilege, product));
            }
        }
    }
    Ok(body)
}

/// Replaces a privilege that an older Elasticsearch lacks by the closest one that it has.
fn replace_newer(privilege: &mut Value, product: Product) {
    match privilege.as_str() {
        // New in 7.5. `create` can also overwrite.
        Some("create_doc") if !product.is_elasticsearch_from(7, 5) => *privilege = json!("create"),
        // New in 7.9, for automatic creation only.
        Some("auto_configure") if !product.is_elasticsearch_from(7, 9) => *privilege = json!("create_index"),
        _ => {}
    }
}

/// Creates or changes a role.
pub(super) async fn apply(run: &Run<'_>, role: Role) -> Result<Outcome, StepError> {
    let name = role.name(run.settings);
    let path = path(run.product, &name);
    let body = body(run.product, run.settings, role)?;
    let response = run.cluster.get(&path).await?;
    let current = response.as_ref().and_then(|response| response.get(&name));
    if current.is_some_and(|current| matches(current, &body)) {
        return Ok(Outcome::Unchanged);
    }
    if run.is_dry() {
        return Ok(Outcome::WouldApply);
    }
    run.cluster.put(&path, &body).await?;
    Ok(Outcome::Applied)
}
