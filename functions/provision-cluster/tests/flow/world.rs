//! What a run needs: settings, options, and secrets in a map.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lambda_support::secrets::{SecretStore, StoreFuture};
use provision_cluster::config::Config;
use provision_cluster::provision::{RunOutcome, apply, delete};
use provision_cluster::run::{Mode, Rotation, RunOptions};
use search_client::auth::Secret;
use serde_json::Value;
use testing::environment::lookup;
use tokio::time::Instant;

use crate::stand_in::ADMIN;

/// Secrets in a map.
#[derive(Default)]
pub(crate) struct Secrets(pub(crate) Mutex<BTreeMap<String, String>>);

impl Secrets {
    pub(crate) fn json(&self, id: &str) -> Value {
        serde_json::from_str(&self.0.lock().unwrap()[id]).unwrap()
    }

    pub(crate) fn put(&self, id: &str, text: &str) {
        self.0.lock().unwrap().insert(id.into(), text.into());
    }
}

impl SecretStore for Secrets {
    fn read<'s>(&'s self, id: &'s str) -> StoreFuture<'s, Option<Secret>> {
        Box::pin(async move { Ok(self.0.lock().unwrap().get(id).map(Secret::new)) })
    }

    fn write<'s>(&'s self, id: &'s str, text: &'s Secret) -> StoreFuture<'s, ()> {
        Box::pin(async move {
            self.put(id, text.expose());
            Ok(())
        })
    }
}

/// The environment of a run.
pub(crate) struct World {
    variables: BTreeMap<String, String>,
    rules: Option<tempfile::NamedTempFile>,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) rotation: Rotation,
    pub(crate) mode: Mode,
    pub(crate) max_run: Duration,
}

impl World {
    pub(crate) fn new(endpoint: &str) -> Self {
        let variables =
            [("SEARCH_ENDPOINT", endpoint), ("SEARCH_USERNAME", ADMIN.0), ("SEARCH_PASSWORD", ADMIN.1)];
        let variables = variables.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
        Self {
            variables,
            rules: None,
            secrets: Arc::default(),
            rotation: Rotation::IfNeeded,
            mode: Mode::Apply,
            max_run: Duration::from_secs(20),
        }
    }

    pub(crate) fn with(mut self, pairs: &[(&str, &str)]) -> Self {
        for (name, text) in pairs {
            self.set(name, text);
        }
        self
    }

    pub(crate) fn set(&mut self, name: &str, text: &str) {
        self.variables.insert(name.into(), text.into());
    }

    /// With these rules of topics, in a file that goes with the world.
    pub(crate) fn with_rules(mut self, rules: &str) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), rules).unwrap();
        self.set("PIPELINE_FILE", file.path().to_str().unwrap());
        self.rules = Some(file);
        self
    }

    /// The problems of the variables.
    pub(crate) fn problems(&self) -> String {
        Config::of_command_line(&lookup(self.variables.clone())).unwrap_err().to_string()
    }

    fn config(&self) -> Config {
        Config::of_command_line(&lookup(self.variables.clone())).unwrap()
    }

    fn options(&self) -> RunOptions {
        RunOptions { mode: self.mode, rotation: self.rotation, deadline: Instant::now() + self.max_run }
    }

    fn store(&self) -> Arc<dyn SecretStore> {
        Arc::<Secrets>::clone(&self.secrets)
    }

    pub(crate) async fn apply(&self) -> RunOutcome {
        apply(&self.config(), &self.store(), self.options()).await
    }

    pub(crate) async fn delete(&self) -> RunOutcome {
        delete(&self.config(), &self.store(), self.options()).await
    }
}
