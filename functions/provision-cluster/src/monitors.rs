//! Monitors: OpenSearch's alerting and Elasticsearch's Watcher. What people added to a monitor stays: where it notifies,
//! and whether it is on.

mod alerting;
mod watcher;

use search_client::engine::Engine;
use serde_json::Value;

use crate::files::{FileError, monitors};
use crate::product::Product;
use crate::provision::Run;
use crate::report::{Report, StepError};
use crate::settings::Settings;

/// A monitor.
#[derive(Debug, Clone, PartialEq)]
pub struct Monitor {
    /// What it is called and found by: its name on OpenSearch, its id on Elasticsearch.
    pub name: String,
    /// Its content.
    pub body: Value,
}

/// The monitors.
///
/// # Errors
/// [`FileError`] when a file of `infra/search` can't be used.
pub fn bodies(product: Product, settings: &Settings) -> Result<Vec<Monitor>, FileError> {
    let monitors = monitors(product.engine).into_iter().map(|(short, file)| {
        let body = file.json(settings)?;
        let id = format!("{}-{short}", settings.index_prefix);
        let name = match product.engine {
            Engine::OpenSearch => body.get("name").and_then(Value::as_str).map_or(id, str::to_owned),
            Engine::Elasticsearch => id,
        };
        Ok(Monitor { name, body })
    });
    monitors.collect()
}

fn lacking(product: Product) -> &'static str {
    match product.engine {
        Engine::OpenSearch => {
            "this OpenSearch has no plugin opensearch-alerting: install it and run this again, or watch the function's own \
             CloudWatch alarms"
        }
        Engine::Elasticsearch => {
            "this Elasticsearch has no Watcher, or its licence has it not: use a trial, Gold, Platinum or Enterprise \
             licence and run this again, or make rules in Kibana"
        }
    }
}

/// Applies the monitors.
pub async fn apply(run: &Run<'_>, report: &mut Report) {
    let monitors = match bodies(run.product, run.settings) {
        Ok(monitors) => monitors,
        Err(error) => return report.fail("monitors", StepError::Other(error.to_string()), ""),
    };
    for monitor in monitors {
        let applied = match run.product.engine {
            Engine::OpenSearch => alerting::apply(run, &monitor).await,
            Engine::Elasticsearch => watcher::apply(run, &monitor).await,
        };
        report.record(format!("monitor {}", monitor.name), applied, lacking(run.product));
        if report.given_up() {
            return;
        }
    }
}

/// Deletes the monitors.
pub async fn delete(run: &Run<'_>, report: &mut Report) {
    for monitor in bodies(run.product, run.settings).unwrap_or_default() {
        let deleted = match run.product.engine {
            Engine::OpenSearch => alerting::delete(run, &monitor).await,
            Engine::Elasticsearch => watcher::delete(run, &monitor).await,
        };
        report.record_deleted(format!("monitor {}", monitor.name), deleted);
        if report.given_up() {
            return;
        }
    }
}
