//! Roles, as the files of `infra/search/roles` say.

use search_client::engine::Engine;
use serde_json::{Value, json};

use crate::compare::holds;
use crate::files::{FileError, Who, role};
use crate::product::Product;
use crate::provision::Run;
use crate::report::{Outcome, StepError};
use crate::settings::Settings;

/// Path of a role's API.
pub fn path(product: Product, name: &str) -> String {
    match product.engine {
        Engine::OpenSearch => format!("_plugins/_security/api/roles/{name}"),
        Engine::Elasticsearch => format!("_security/role/{name}"),
    }
}

/// What a role may do, in the words of the product's version.
///
/// # Errors
/// [`FileError`] when a file of `infra/search` can't be used.
pub fn body(product: Product, settings: &Settings, who: Who) -> Result<Value, FileError> {
    let mut body = role(product.engine, who).json(settings)?;
    if product.engine == Engine::Elasticsearch {
        for index in body.get_mut("indices").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(privileges) = index.get_mut("privileges").and_then(Value::as_array_mut) {
                privileges.iter_mut().for_each(|privilege| replace_newer(privilege, product));
            }
        }
    }
    Ok(body)
}

/// Replaces privileges that an older Elasticsearch has not got by those that come nearest.
fn replace_newer(privilege: &mut Value, product: Product) {
    match privilege.as_str() {
        // 7.5 made it of `create`, which can also overwrite.
        Some("create_doc") if !product.is_elasticsearch_from(7, 5) => *privilege = json!("create"),
        // 7.9 made it of `create_index`, for automatic creation alone.
        Some("auto_configure") if !product.is_elasticsearch_from(7, 9) => *privilege = json!("create_index"),
        _ => {}
    }
}

/// Makes or changes a role.
pub(super) async fn apply(run: &Run<'_>, who: Who) -> Result<Outcome, StepError> {
    let name = who.role(run.settings);
    let path = path(run.product, &name);
    let body = body(run.product, run.settings, who).map_err(|error| StepError::Other(error.to_string()))?;
    let there = run.cluster.get(&path).await?;
    if there.as_ref().and_then(|there| there.get(&name)).is_some_and(|held| holds(held, &body)) {
        return Ok(Outcome::Unchanged);
    }
    if run.is_dry() {
        return Ok(Outcome::WouldApply);
    }
    run.cluster.put(&path, &body).await?;
    Ok(Outcome::Applied)
}
