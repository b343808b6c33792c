//! Follows the mappings of the Lambda API: starts, restarts and stops their pollers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::task::JoinHandle;
use tracing::{debug, error, info, warn};

use crate::activity::{LambdaApi, Registry};
use crate::aws::{Aws, CallError};
use crate::causes::with_causes;
use crate::lambda;
use crate::mapping::{Configuration, Mapping};
use crate::poller::{Options, Poller};

/// Serves all enabled Kafka mappings until `stop` is ready. Looks for changes every `refresh`.
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
        stopping: BTreeMap::new(),
        refused: BTreeSet::new(),
        reachable: true,
    };
    let mut ticks = tokio::time::interval(refresh);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut next = async || {
        ticks.tick().await;
        lambda::list_mappings(aws).await
    };
    loop {
        tokio::select! {
            () = &mut stop => break,
            listed = next() => supervisor.follow(listed),
        }
    }
    info!(n_mappings = supervisor.served.len(), "stopping");
    supervisor.stop_all().await;
}

struct Supervisor<'a> {
    aws: &'a Aws,
    options: &'a Options,
    registry: &'a Registry,
    served: BTreeMap<String, Served>,
    /// Pollers that wait for their last invocations. A mapping is served again only after that, or its records would be
    /// in two invocations at once.
    stopping: BTreeMap<String, JoinHandle<()>>,
    /// Problems that were logged, so that each is logged once.
    refused: BTreeSet<String>,
    reachable: bool,
}

struct Served {
    mapping: Mapping,
    poller: Poller,
}

impl Supervisor<'_> {
    /// Brings the pollers in line with the mappings.
    fn follow(&mut self, listed: Result<Vec<Result<Configuration, CallError>>, CallError>) {
        let configurations = match listed {
            Ok(configurations) => configurations,
            Err(error) => {
                self.registry.set_lambda_api(LambdaApi::Unreachable);
                // The mappings are served on: the API may only be restarting.
                if std::mem::take(&mut self.reachable) {
                    warn!(error = with_causes(&error), "mappings could not be listed, retrying");
                }
                return;
            }
        };
        self.registry.set_lambda_api(LambdaApi::Reachable);
        if !std::mem::replace(&mut self.reachable, true) {
            info!("mappings are listed again");
        }
        let mut wanted = BTreeMap::new();
        let mut transitional = BTreeSet::new();
        for configuration in configurations {
            match configuration {
                Ok(configuration) => self.sort(&configuration, &mut wanted, &mut transitional),
                Err(error) => self.refuse(with_causes(&error)),
            }
        }
        self.stop_others(&wanted, &transitional);
        self.stopping.retain(|_, stopping| !stopping.is_finished());
        for (uuid, mapping) in wanted {
            if !self.served.contains_key(&uuid) && !self.stopping.contains_key(&uuid) {
                let activity = self.registry.activity(&mapping);
                let poller = Poller::start(mapping.clone(), self.aws.clone(), self.options.clone(), activity);
                self.served.insert(uuid, Served { mapping, poller });
            }
        }
    }

    /// Adds a mapping to those to serve, or to those in a transitional state, which are left as they are.
    fn sort(
        &mut self,
        configuration: &Configuration,
        wanted: &mut BTreeMap<String, Mapping>,
        transitional: &mut BTreeSet<String>,
    ) {
        let mapping = match Mapping::parse(configuration) {
            None => return,
            Some(Ok(mapping)) => mapping,
            Some(Err(error)) => return self.refuse(error.to_string()),
        };
        match configuration.state.as_str() {
            "Enabled" => {
                wanted.insert(mapping.uuid.clone(), mapping);
            }
            "Creating" | "Enabling" | "Updating" => {
                transitional.insert(mapping.uuid);
            }
            state => debug!(mapping = %mapping.uuid, state, "mapping is not enabled"),
        }
    }

    /// Stops the pollers of mappings that are gone, disabled or changed.
    fn stop_others(&mut self, wanted: &BTreeMap<String, Mapping>, transitional: &BTreeSet<String>) {
        let others: Vec<String> = self
            .served
            .iter()
            .filter(|(uuid, served)| {
                wanted.get(*uuid) != Some(&served.mapping) && !transitional.contains(*uuid)
            })
            .map(|(uuid, _)| uuid.clone())
            .collect();
        for uuid in others {
            let Some(served) = self.served.remove(&uuid) else { continue };
            info!(mapping = %uuid, topic = %served.mapping.topic, changed = wanted.contains_key(&uuid), "stopping mapping");
            if !wanted.contains_key(&uuid) {
                self.registry.remove(&uuid);
            }
            self.stopping.insert(uuid, tokio::spawn(served.poller.stop()));
        }
    }

    /// Stops all pollers in parallel, since each may have to wait for an invocation.
    async fn stop_all(self) {
        let stopping = self.served.into_values().map(|served| tokio::spawn(served.poller.stop()));
        let stopping: Vec<JoinHandle<()>> = stopping.chain(self.stopping.into_values()).collect();
        for stopping in stopping {
            if let Err(panic) = stopping.await {
                error!(error = %panic, "a poller panicked");
            }
        }
    }

    fn refuse(&mut self, problem: String) {
        if self.refused.insert(problem.clone()) {
            warn!(error = problem, "mapping can't be served");
        }
    }
}
