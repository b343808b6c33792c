//! A run of provisioning, as its steps see it.

use std::sync::Arc;

use lambda_support::search::SearchConfig;
use lambda_support::secrets::SecretStore;
use tokio::time::Instant;

use crate::cluster::Cluster;
use crate::product::Product;
use crate::settings::Settings;

/// Whether a run changes the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Differences are changed.
    Apply,
    /// Differences are reported, and nothing is changed.
    DryRun,
}

/// Which credentials are replaced although they work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// Only those of another revision or role.
    IfNeeded,
    /// Those as well that a person put into the secret: `CredentialRevision` was changed.
    RevisionChanged,
    /// All: `--rotate`.
    Requested,
}

/// How a run is done.
#[derive(Debug, Clone, Copy)]
pub struct RunOptions {
    /// Whether the cluster is changed.
    pub mode: Mode,
    /// Which credentials are replaced.
    pub rotation: Rotation,
    /// When the last request to the cluster must be over.
    pub deadline: Instant,
}

/// A run against a cluster that is known and connected.
pub struct Run<'r> {
    /// The cluster.
    pub cluster: Cluster,
    /// Product and version of the cluster.
    pub product: Product,
    /// What the cluster is to hold.
    pub settings: &'r Settings,
    /// How to connect to Dashboards, which takes the same credentials.
    pub search: &'r SearchConfig,
    /// Where the credentials are kept.
    pub secrets: &'r Arc<dyn SecretStore>,
    /// How the run is done.
    pub options: RunOptions,
}

impl Run<'_> {
    /// Whether nothing may be changed.
    pub fn is_dry(&self) -> bool {
        self.options.mode == Mode::DryRun
    }
}
