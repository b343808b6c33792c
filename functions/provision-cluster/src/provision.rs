//! The steps of a run in their order: what `apply` makes and `delete` removes.

use std::sync::Arc;

use lambda_support::secrets::SecretStore;

use crate::cluster::Cluster;
use crate::config::Config;
use crate::product::{Product, detect};
use crate::report::Report;
use crate::run::{Run, RunOptions};
use crate::settings::DeleteData;
use crate::{access, clause_limit, dashboards, lifecycle, monitors, templates};

/// What a run did, and to which cluster.
#[derive(Debug, Default)]
pub struct RunOutcome {
    /// The cluster; `None` if it could not be reached.
    pub product: Option<Product>,
    /// The outcome of each thing.
    pub report: Report,
}

/// Makes the cluster hold what the settings say. Only differences are changed, so a second run changes nothing. When a step
/// fails the others still run, so that every problem is reported at once.
pub async fn apply(config: &Config, secrets: &Arc<dyn SecretStore>, options: RunOptions) -> RunOutcome {
    let mut report = Report::default();
    let Some(run) = begin(config, secrets, options, &mut report).await else {
        return RunOutcome { product: None, report };
    };
    templates::apply(&run, &mut report).await;
    if !report.given_up() {
        clause_limit::apply(&run, &mut report).await;
    }
    if !report.given_up() {
        lifecycle::apply(&run, &mut report).await;
    }
    if !report.given_up() {
        access::apply(&run, &mut report).await;
    }
    if !report.given_up() {
        monitors::apply(&run, &mut report).await;
    }
    if !report.given_up() {
        dashboards::apply(&run, &mut report).await;
    }
    RunOutcome { product: Some(run.product), report }
}

/// Removes credentials, roles and monitors. With `DeleteData` also the data, and all that belongs to it.
pub async fn delete(config: &Config, secrets: &Arc<dyn SecretStore>, options: RunOptions) -> RunOutcome {
    let mut report = Report::default();
    let Some(run) = begin(config, secrets, options, &mut report).await else {
        return RunOutcome { product: None, report };
    };
    monitors::delete(&run, &mut report).await;
    if !report.given_up() {
        access::delete(&run, &mut report).await;
    }
    if config.settings.delete_data == DeleteData::Yes {
        if !report.given_up() {
            dashboards::delete(&run, &mut report).await;
        }
        // Indices go before their templates, so that a late event can't create an index without one.
        if !report.given_up() {
            lifecycle::delete_indices(&run, &mut report).await;
        }
        if !report.given_up() {
            templates::delete(&run, &mut report).await;
        }
        if !report.given_up() {
            lifecycle::delete(&run, &mut report).await;
        }
    }
    RunOutcome { product: Some(run.product), report }
}

/// Connects to the cluster and detects its product. A failure goes into the report.
async fn begin<'r>(
    config: &'r Config,
    secrets: &'r Arc<dyn SecretStore>,
    options: RunOptions,
    report: &mut Report,
) -> Option<Run<'r>> {
    let client = match config.search.connect(secrets).await {
        Ok(client) => client,
        Err(error) => {
            report.fail("connection to the cluster", error.into(), "");
            return None;
        }
    };
    let cluster = Cluster::new(client, options.deadline);
    match detect(&cluster, config.settings.engine).await {
        Ok(product) => {
            let (settings, search) = (&config.settings, &config.search);
            Some(Run { cluster, product, settings, search, secrets, options })
        }
        Err(error) => {
            report.fail("cluster", error, "it does not identify itself");
            None
        }
    }
}
