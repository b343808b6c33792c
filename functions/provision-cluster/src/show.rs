//! The requests of a run as text, for users who prefer to send them themselves.

use std::fmt::Write as _;
use std::sync::Arc;

use lambda_support::secrets::SecretStore;
use search_client::engine::Engine;
use serde_json::Value;
use tokio::time::Instant;

use crate::access::roles;
use crate::clause_limit;
use crate::cluster::Cluster;
use crate::config::Config;
use crate::files::FileError;
use crate::lifecycle::policy::policies;
use crate::monitors::definition::{Monitor, monitors};
use crate::product::{Product, detect};
use crate::report::StepError;
use crate::role::Role;
use crate::settings::Settings;
use crate::templates::content::{LifecycleSetting, codec, templates};

/// Connects to the cluster and detects its product.
///
/// # Errors
/// [`StepError`] when the cluster can't be reached or does not identify itself.
pub async fn detect_product(
    config: &Config,
    secrets: &Arc<dyn SecretStore>,
    deadline: Instant,
) -> Result<Product, StepError> {
    let client = config.search.connect(secrets).await?;
    detect(&Cluster::new(client, deadline), None).await
}

/// Returns the requests that make the cluster hold what the settings say, for the console of Dashboards or Kibana.
///
/// # Errors
/// [`FileError`] when a file of `infra/search` can't be used.
pub fn requests(product: Product, settings: &Settings) -> Result<String, FileError> {
    let mut text = heading(product);
    let mut add = |method: &str, path: &str, body: &Value| {
        let body = serde_json::to_string_pretty(body).expect("JSON has a text");
        writeln!(text, "\n{method} /{path}\n{body}").expect("a text takes more text");
    };
    let mut put = |path: &str, body: &Value| add("PUT", path, body);
    let lifecycle = match product.engine {
        Engine::OpenSearch => LifecycleSetting::Absent,
        Engine::Elasticsearch => LifecycleSetting::Named,
    };
    for template in templates(product, settings, codec(product, settings), lifecycle)? {
        put(&template.path, &template.body);
    }
    if product.engine == Engine::OpenSearch {
        put(clause_limit::PATH, &clause_limit::body());
    }
    for policy in policies(product, settings)? {
        put(&policy.path, &policy.body);
    }
    for role in Role::ALL {
        put(&roles::path(product, &role.name(settings)), &roles::body(product, settings, role)?);
    }
    for Monitor { name, body } in monitors(product, settings)? {
        match product.engine {
            Engine::OpenSearch => add("POST", "_plugins/_alerting/monitors", &body),
            Engine::Elasticsearch => add("PUT", &format!("_watcher/watch/{name}"), &body),
        }
    }
    Ok(text)
}

/// Returns the comment above the requests: what they are for.
fn heading(product: Product) -> String {
    let console = match product.engine {
        Engine::OpenSearch => "Dashboards",
        Engine::Elasticsearch => "Kibana",
    };
    format!("# {product}; for the console of {console}\n")
}
