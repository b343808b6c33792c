//! Follows the mappings of the Lambda API: starts, restarts and stops their pollers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::task::JoinSet;
use tracing::{debug, info, warn};

use crate::aws::Aws;
use crate::dispatch::describe;
use crate::lambda;
use crate::mapping::{Configuration, Mapping};
use crate::poller::{Options, Poller};
use crate::status::Registry;

/// Serves all enabled Kafka mappings until `stop` is ready; looks for changes every `refresh`.
pub async fn run(
    aws: &Aws,
    options: &Options,
    registry: &Registry,
    refresh: Duration,
    stop: impl Future<Output = ()>,
) {
    tokio::pin!(stop);
    let mut supervisor = Supervisor {
        aws,
        options,
        registry,
        served: BTreeMap::new(),
        refused: BTreeSet::new(),
        reachable: true,
    };
    let mut ticks = tokio::time::interval(refresh);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = &mut stop => break,
            _ = ticks.tick() => {
                // A signal must not wait for a slow answer or for a poller that is being stopped.
                tokio::select! {
                    () = &mut stop => break,
                    () = supervisor.follow() => {}
                }
            }
        }
    }
    info!(n_mappings = supervisor.served.len(), "stopping");
    stop_all(supervisor.served.into_values().map(|served| served.poller)).await;
}

struct Supervisor<'a> {
    aws: &'a Aws,
    options: &'a Options,
    registry: &'a Registry,
    served: BTreeMap<String, Served>,
    /// Complaints already made, so that each is made once.
    refused: BTreeSet<String>,
    reachable: bool,
}

struct Served {
    mapping: Mapping,
    poller: Poller,
}

impl Supervisor<'_> {
    /// Brings the pollers in line with the mappings.
    async fn follow(&mut self) {
        let configurations = match lambda::list_mappings(self.aws).await {
            Ok(configurations) => configurations,
            Err(error) => {
                self.registry.set_reachable(false);
                // What is served goes on: the API may only be restarting.
                if std::mem::take(&mut self.reachable) {
                    warn!(error = describe(&error), "mappings could not be listed, trying on");
                }
                return;
            }
        };
        self.registry.set_reachable(true);
        if !std::mem::replace(&mut self.reachable, true) {
            info!("mappings are listed again");
        }
        let mut wanted = BTreeMap::new();
        let mut passing = BTreeSet::new();
        for configuration in configurations {
            match configuration {
                Ok(configuration) => self.sort(&configuration, &mut wanted, &mut passing),
                Err(error) => self.refuse(describe(&error)),
            }
        }
        self.stop_others(&wanted, &passing).await;
        for (uuid, mapping) in wanted {
            if !self.served.contains_key(&uuid) {
                let activity = self.registry.activity(&mapping);
                let poller = Poller::start(mapping.clone(), self.aws.clone(), self.options.clone(), activity);
                self.served.insert(uuid, Served { mapping, poller });
            }
        }
    }

    /// Sorts a mapping into those to serve, and those in a passing state, which are left as they are.
    fn sort(
        &mut self,
        configuration: &Configuration,
        wanted: &mut BTreeMap<String, Mapping>,
        passing: &mut BTreeSet<String>,
    ) {
        let mapping = match Mapping::read(configuration) {
            None => return,
            Some(Ok(mapping)) => mapping,
            Some(Err(error)) => return self.refuse(error.to_string()),
        };
        match configuration.state.as_str() {
            "Enabled" => {
                wanted.insert(mapping.uuid.clone(), mapping);
            }
            "Creating" | "Enabling" | "Updating" => {
                passing.insert(mapping.uuid);
            }
            state => debug!(mapping = %mapping.uuid, state, "mapping is not enabled"),
        }
    }

    /// Stops the pollers of mappings that are gone, disabled or changed.
    async fn stop_others(&mut self, wanted: &BTreeMap<String, Mapping>, passing: &BTreeSet<String>) {
        let others: Vec<String> = self
            .served
            .iter()
            .filter(|(uuid, served)| wanted.get(*uuid) != Some(&served.mapping) && !passing.contains(*uuid))
            .map(|(uuid, _)| uuid.clone())
            .collect();
        let mut stopping = Vec::new();
        for uuid in others {
            let Some(served) = self.served.remove(&uuid) else { continue };
            info!(mapping = %uuid, topic = %served.mapping.topic, changed = wanted.contains_key(&uuid), "stopping mapping");
            if !wanted.contains_key(&uuid) {
                self.registry.remove(&uuid);
            }
            stopping.push(served.poller);
        }
        stop_all(stopping).await;
    }

    fn refuse(&mut self, complaint: String) {
        if self.refused.insert(complaint.clone()) {
            warn!(error = complaint, "mapping can't be served");
        }
    }
}

/// Stops pollers side by side: each may have to wait for an invocation.
async fn stop_all(pollers: impl IntoIterator<Item = Poller>) {
    let stopping: JoinSet<()> = pollers.into_iter().map(Poller::stop).collect();
    stopping.join_all().await;
}
