//! What a run needs: settings, secrets in a map, and its report.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use lambda_support::secrets::{Called, SecretStore};
use provision_cluster::provision::{Done, Mode, Request, Rotation, apply, delete};
use provision_cluster::settings::Config;
use search_client::auth::Secret;
use serde_json::Value;
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
    fn read<'c>(&'c self, id: &'c str) -> Called<'c, Option<Secret>> {
        Box::pin(async move { Ok(self.0.lock().unwrap().get(id).map(Secret::new)) })
    }

    fn write<'c>(&'c self, id: &'c str, text: &'c Secret) -> Called<'c, ()> {
        Box::pin(async move {
            self.put(id, text.expose());
            Ok(())
        })
    }
}

/// Settings of a run, and its secrets.
pub(crate) struct World {
    variables: BTreeMap<String, String>,
    pub(crate) secrets: Secrets,
    pub(crate) rotation: Rotation,
    pub(crate) mode: Mode,
    pub(crate) patience: Duration,
}

impl World {
    pub(crate) fn new(endpoint: &str) -> Self {
        let variables =
            [("SEARCH_ENDPOINT", endpoint), ("SEARCH_USERNAME", ADMIN.0), ("SEARCH_PASSWORD", ADMIN.1)];
        let variables = variables.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
        Self {
            variables,
            secrets: Secrets::default(),
            rotation: Rotation::IfNeeded,
            mode: Mode::Apply,
            patience: Duration::from_secs(20),
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

    fn config(&self) -> Config {
        Config::of_command_line(&|name| self.variables.get(name).cloned()).unwrap()
    }

    fn request(&self) -> Request {
        Request { mode: self.mode, rotation: self.rotation, until: Instant::now() + self.patience }
    }

    pub(crate) async fn apply(&self) -> Done {
        apply(&self.config(), &self.secrets, self.request()).await
    }

    pub(crate) async fn delete(&self) -> Done {
        delete(&self.config(), &self.secrets, self.request()).await
    }
}
