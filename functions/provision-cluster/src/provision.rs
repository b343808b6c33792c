//! The steps of a run in their order: what `apply` makes and `delete` takes away.

use lambda_support::search::SearchConfig;
use lambda_support::secrets::SecretStore;
use tokio::time::Instant;

use crate::cluster::Cluster;
use crate::product::{Product, detect};
use crate::report::{Report, StepError};
use crate::settings::{Config, DeleteData, Settings};
use crate::{access, dashboards, lifecycle, monitors, templates};

/// Whether anything is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Yes.
    Apply,
    /// No: only told.
    DryRun,
}

/// Whether credentials that work are made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// Only where one is missing, does not work, or belongs to another revision.
    IfNeeded,
    /// The same, also where a person made the one that is there: the wanted revision is a new one.
    RevisionChanged,
    /// In any case.
    Asked,
}

/// How a run is made.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    /// Whether anything is changed.
    pub mode: Mode,
    /// Whether credentials are made anew.
    pub rotation: Rotation,
    /// Until when the cluster may be asked.
    pub until: Instant,
}

/// What a run did, and to which cluster.
#[derive(Debug, Default)]
pub struct Done {
    /// The cluster; `None` if it was out of reach.
    pub product: Option<Product>,
    /// What became of each thing.
    pub report: Report,
}

/// A run, as its steps see it.
pub struct Run<'r> {
    /// The cluster.
    pub cluster: Cluster,
    /// What it is.
    pub product: Product,
    /// What it is to hold.
    pub settings: &'r Settings,
    /// How to reach what stands beside it.
    pub search: &'r SearchConfig,
    /// Where the functions' credentials are kept.
    pub secrets: &'r dyn SecretStore,
    /// How the run is made.
    pub request: Request,
}

/// Makes the cluster hold what the settings say. What differs is changed; a second run finds nothing to do. A step that
/// fails does not keep the others from being tried, so that every problem is told at once.
pub async fn apply(config: &Config, secrets: &dyn SecretStore, request: Request) -> Done {
    let mut report = Report::default();
    let Some(run) = begin(config, secrets, request, &mut report).await else {
        return Done { product: None, report };
    };
    templates::apply(&run, &mut report).await;
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
    Done { product: Some(run.product), report }
}

/// Takes away credentials, roles and monitors, and where the settings say so the data, with all that it needs.
pub async fn delete(config: &Config, secrets: &dyn SecretStore, request: Request) -> Done {
    let mut report = Report::default();
    let Some(run) = begin(config, secrets, request, &mut report).await else {
        return Done { product: None, report };
    };
    monitors::delete(&run, &mut report).await;
    if !report.given_up() {
        access::delete(&run, &mut report).await;
    }
    if config.settings.delete_data == DeleteData::Yes {
        if !report.given_up() {
            dashboards::delete(&run, &mut report).await;
        }
        // The indices before their templates, so that a late event does not make one without.
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
    Done { product: Some(run.product), report }
}

async fn begin<'r>(
    config: &'r Config,
    secrets: &'r dyn SecretStore,
    request: Request,
    report: &mut Report,
) -> Option<Run<'r>> {
    let client = match config.search.connect().await {
        Ok(client) => client,
        Err(error) => {
            report.fail("way to the cluster", StepError::NoWay(error.to_string()), "");
            return None;
        }
    };
    let cluster = Cluster::new(client, request.until);
    match detect(&cluster, config.settings.engine).await {
        Ok(product) => {
            let (settings, search) = (&config.settings, &config.search);
            Some(Run { cluster, product, settings, search, secrets, request })
        }
        Err(error) => {
            report.fail("cluster", error, "it does not say what it is");
            None
        }
    }
}

impl Run<'_> {
    /// Whether nothing is changed.
    pub fn is_dry(&self) -> bool {
        self.request.mode == Mode::DryRun
    }
}
