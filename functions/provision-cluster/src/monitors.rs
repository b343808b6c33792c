//! Monitors: OpenSearch's alerting and Elasticsearch's Watcher. What people set on a monitor stays: its notifications, and
//! whether it is on.

mod alerting;
pub mod definition;
mod watcher;

use search_client::engine::Engine;

use crate::product::Product;
use crate::report::Report;
use crate::run::Run;
use definition::monitors;

/// Says what a cluster without the API lacks, and the fix.
fn missing_api(product: Product) -> &'static str {
    match product.engine {
        Engine::OpenSearch => {
            "this OpenSearch has no plugin opensearch-alerting: install it and run this again, or watch the function's own \
             CloudWatch alarms"
        }
        Engine::Elasticsearch => {
            "this Elasticsearch has no Watcher, or its licence does not include it: use a trial, Gold, Platinum or Enterprise \
             licence and run this again, or make rules in Kibana"
        }
    }
}

/// Applies the monitors.
pub async fn apply(run: &Run<'_>, report: &mut Report) {
    let monitors = match monitors(run.product, run.settings) {
        Ok(monitors) => monitors,
        Err(error) => return report.fail("monitors", error.into(), ""),
    };
    for monitor in monitors {
        let applied = match run.product.engine {
            Engine::OpenSearch => alerting::apply(run, &monitor).await,
            Engine::Elasticsearch => watcher::apply(run, &monitor).await,
        };
        report.record(format!("monitor {}", monitor.name), applied, missing_api(run.product));
        if report.given_up() {
            return;
        }
    }
}

/// Deletes the monitors.
pub async fn delete(run: &Run<'_>, report: &mut Report) {
    for monitor in monitors(run.product, run.settings).unwrap_or_default() {
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
