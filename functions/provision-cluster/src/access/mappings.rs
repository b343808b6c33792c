//! Role mappings of OpenSearch: IAM roles of the functions, and backend roles of people.

use search_client::engine::Engine;
use serde_json::{Value, json};

use crate::product::Product;
use crate::report::{Outcome, StepError};
use crate::role::Role;
use crate::run::Run;

/// Path of a role mapping.
pub(super) fn path(product: Product, role: &str) -> String {
    match product.engine {
        Engine::OpenSearch => format!("_plugins/_security/api/rolesmapping/{role}"),
        Engine::Elasticsearch => format!("_security/role_mapping/{role}"),
    }
}

/// Maps a function's IAM role. OpenSearch takes the ARN of the role that signed a request as a backend role. All other
/// backend roles are removed, so that a previous IAM role loses its rights.
pub(super) async fn apply_function(run: &Run<'_>, role: Role) -> Result<Outcome, StepError> {
    if run.product.engine == Engine::Elasticsearch {
        return Err(StepError::Other(
            "FunctionAuth is `sigv4`, which Elasticsearch does not support: set it to `basic` or `api_key`"
                .into(),
        ));
    }
    let (arn, setting) = match role {
        Role::Replayer => (&run.settings.replayer_role_arn, "ReplayerRoleArn"),
        _ => (&run.settings.writer_role_arn, "WriterRoleArn"),
    };
    let Some(arn) = arn else {
        return Ok(Outcome::NotApplied(format!(
            "the function signs its requests, but {setting} is not set: set it to the ARN of the function's IAM role"
        )));
    };
    put(run, &role.name(run.settings), |_| vec![arn.clone()]).await
}

/// Maps the backend roles of people who may read. Those that were mapped by hand stay.
pub(super) async fn apply_readers(run: &Run<'_>) -> Result<Outcome, StepError> {
    if run.product.engine == Engine::Elasticsearch {
        return Ok(Outcome::NotApplied(
            "ReaderBackendRoles apply to OpenSearch only; give people the role in Kibana, under Stack Management, Users or \
             Role mappings"
                .into(),
        ));
    }
    put(run, &Role::Reader.name(run.settings), |current| {
        let mut all = current.to_vec();
        all.extend(run.settings.reader_backend_roles.iter().filter(|role| !current.contains(role)).cloned());
        all
    })
    .await
}

/// Puts a mapping with the backend roles that `backend_roles` makes of the current ones. Users and hosts stay.
async fn put(
    run: &Run<'_>,
    role: &str,
    backend_roles: impl FnOnce(&[String]) -> Vec<String>,
) -> Result<Outcome, StepError> {
    let path = path(run.product, role);
    let response = run.cluster.get(&path).await?;
    let mapping = response.as_ref().and_then(|response| response.get(role));
    let list = |name: &str| -> Vec<String> {
        let list = mapping.and_then(|mapping| mapping.get(name)).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let current = list("backend_roles");
    let expected = backend_roles(&current);
    if mapping.is_some() && current == expected {
        return Ok(Outcome::Unchanged);
    }
    if run.is_dry() {
        return Ok(Outcome::WouldApply);
    }
    let body = json!({
        "backend_roles": expected, "users": list("users"), "hosts": list("hosts"),
        "and_backend_roles": list("and_backend_roles"),
    });
    run.cluster.put(&path, &body).await?;
    Ok(Outcome::Applied)
}
