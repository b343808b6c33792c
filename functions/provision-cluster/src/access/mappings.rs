//! Role mappings of OpenSearch: IAM roles of the functions, and groups of people.

use search_client::engine::Engine;
use serde_json::{Value, json};

use crate::files::Who;
use crate::product::Product;
use crate::provision::Run;
use crate::report::{Outcome, StepError};

/// Path of a role mapping's API.
pub(super) fn path(product: Product, role: &str) -> String {
    match product.engine {
        Engine::OpenSearch => format!("_plugins/_security/api/rolesmapping/{role}"),
        Engine::Elasticsearch => format!("_security/role_mapping/{role}"),
    }
}

/// Lets a function in by its IAM role: a request signed by the role comes with its ARN as a backend role. The mapping's
/// backend roles are ours alone, so that a role of before loses its rights.
pub(super) async fn apply_function(run: &Run<'_>, who: Who) -> Result<Outcome, StepError> {
    if run.product.engine == Engine::Elasticsearch {
        return Err(StepError::Other(
            "FunctionAuth is `sigv4`, which Elasticsearch does not know: set it to `basic` or `api_key`"
                .into(),
        ));
    }
    let (arn, setting) = match who {
        Who::Replayer => (&run.settings.replayer_role_arn, "ReplayerRoleArn"),
        _ => (&run.settings.writer_role_arn, "WriterRoleArn"),
    };
    let Some(arn) = arn else {
        return Ok(Outcome::NotApplied(format!(
            "the function signs its requests, but {setting} is not set: set it to the ARN of the function's IAM role"
        )));
    };
    put(run, &who.role(run.settings), |_| vec![arn.clone()]).await
}

/// Lets people read who have one of the backend roles. Those that were mapped by hand stay.
pub(super) async fn apply_readers(run: &Run<'_>) -> Result<Outcome, StepError> {
    if run.product.engine == Engine::Elasticsearch {
        return Ok(Outcome::NotApplied(
            "ReaderBackendRoles are OpenSearch's; give people the role in Kibana, under Stack Management, Users or Role \
             mappings"
                .into(),
        ));
    }
    put(run, &Who::Reader.role(run.settings), |held| {
        let mut all = held.to_vec();
        all.extend(run.settings.reader_backend_roles.iter().filter(|role| !held.contains(role)).cloned());
        all
    })
    .await
}

/// Puts a mapping whose backend roles are made of those that it has; its users and hosts stay.
async fn put(
    run: &Run<'_>,
    role: &str,
    backend_roles: impl FnOnce(&[String]) -> Vec<String>,
) -> Result<Outcome, StepError> {
    let path = path(run.product, role);
    let there = run.cluster.get(&path).await?;
    let mapping = there.as_ref().and_then(|there| there.get(role));
    let list = |name: &str| -> Vec<String> {
        let list = mapping.and_then(|mapping| mapping.get(name)).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let held = list("backend_roles");
    let wanted = backend_roles(&held);
    if mapping.is_some() && held == wanted {
        return Ok(Outcome::Unchanged);
    }
    if run.is_dry() {
        return Ok(Outcome::WouldApply);
    }
    let body = json!({
        "backend_roles": wanted, "users": list("users"), "hosts": list("hosts"),
        "and_backend_roles": list("and_backend_roles"),
    });
    run.cluster.put(&path, &body).await?;
    Ok(Outcome::Applied)
}
