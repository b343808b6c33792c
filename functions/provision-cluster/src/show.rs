//! Shows the requests of a run, for those who would rather send them by hand.

use std::fmt::Write as _;

use search_client::engine::Engine;
use serde_json::Value;
use tokio::time::Instant;

use crate::access::roles;
use crate::cluster::Cluster;
use crate::command_line::heading;
use crate::files::{FileError, Who};
use crate::lifecycle;
use crate::monitors::{self, Monitor};
use crate::product::{Product, detect};
use crate::report::StepError;
use crate::settings::{Config, Settings};
use crate::templates::{LifecycleSetting, codec, templates};

/// Asks the cluster who it is.
///
/// # Errors
/// [`StepError`] when it does not tell.
pub async fn asked(config: &Config, until: Instant) -> Result<Product, StepError> {
    let client = config.search.connect().await.map_err(|error| StepError::NoWay(error.to_string()))?;
    detect(&Cluster::new(client, until), None).await
}

/// The requests that make what the settings say.
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
    for policy in lifecycle::policies(product, settings)? {
        put(&policy.path, &policy.body);
    }
    for who in [Who::Writer, Who::Replayer, Who::Reader] {
        put(&roles::path(product, &who.role(settings)), &roles::body(product, settings, who)?);
    }
    for Monitor { name, body } in monitors::bodies(product, settings)? {
        match product.engine {
            Engine::OpenSearch => add("POST", "_plugins/_alerting/monitors", &body),
            Engine::Elasticsearch => add("PUT", &format!("_watcher/watch/{name}"), &body),
        }
    }
    Ok(text)
}
