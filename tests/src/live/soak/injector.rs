//! Injects one fault after another into the stack that a flow runs through.

use std::time::Duration;

use anyhow::Result;
use fastrand::Rng;
use reqwest::Method;
use serde_json::{Value, json};

use super::nodes::Nodes;
use super::strike::{FAULTS, Strike};
use crate::live::flow::Flow;
use crate::live::poll::{Check, until};
use crate::live::proxy::Proxy;
use crate::live::search::INDICES;
use crate::live::stack::{SecondPoller, Server, Stop};
use crate::live::world::World;

/// Longest time until a cluster takes new settings.
const SETTINGS: Duration = Duration::from_secs(120);

pub(super) struct Injector {
    pub(super) world: World,
    pub(super) proxy: Proxy,
    pub(super) flow: Flow,
    pub(super) second: Option<SecondPoller>,
    pub(super) rng: Rng,
}

impl Injector {
    pub(super) async fn inject(&mut self, strike: Strike) -> Result<()> {
        let stack = self.world.stack.clone();
        let nodes = Nodes { world: &self.world, topic: &self.flow.topic };
        match strike {
            Strike::KillPoller => self.restart(Server::Poller, Stop::Kill).await,
            Strike::RestartPoller => self.restart(Server::Poller, Stop::Terminate).await,
            Strike::SecondPoller => match self.second.take() {
                Some(second) => second.stop().await,
                None => {
                    let log = stack.log_folder()?.join("soak-second-poller.log");
                    self.second = Some(stack.second_poller(&log).await?);
                    Ok(())
                }
            },
            Strike::KillFunction => stack.kill_function(&self.flow.function).await.map(drop),
            Strike::HangFunction => stack.hang_function(&self.flow.function).await.map(drop),
            Strike::ReplaceFunction => self.world.lambda.update_code(&self.flow.function).await,
            Strike::BlockIndices => self.block_indices().await,
            Strike::BreakResponses => {
                let count = self.rng.usize(1..6);
                let faults: Vec<_> = (0..count).filter_map(|_| self.rng.choice(FAULTS)).collect();
                self.proxy.plan(faults);
                Ok(())
            }
            Strike::KillOpenSearch => self.restart(Server::OpenSearch, Stop::Kill).await,
            Strike::StopOpenSearch => self.restart(Server::OpenSearch, Stop::Terminate).await,
            Strike::KillKafka => self.restart(Server::Kafka, Stop::Kill).await,
            Strike::RestartKafka => self.restart(Server::Kafka, Stop::Terminate).await,
            Strike::KillBroker => nodes.kill_broker(&mut self.rng).await,
            Strike::KillController => nodes.kill_controller(&mut self.rng).await,
            Strike::KillTwoBrokers => nodes.kill_two_brokers(&mut self.rng).await,
            Strike::RollBrokers => nodes.roll_brokers().await,
            Strike::KillNode => nodes.restart_search_node(Stop::Kill, &mut self.rng).await,
            Strike::StopNode => nodes.restart_search_node(Stop::Terminate, &mut self.rng).await,
            Strike::KillManager => nodes.kill_manager(&mut self.rng).await,
            Strike::HangNode => nodes.hang_search_node(&mut self.rng).await,
            Strike::RollNodes => nodes.roll_search_nodes().await,
        }
    }

    async fn restart(&self, server: Server, stop: Stop) -> Result<()> {
        self.world.stack.end(server, stop).await?;
        self.world.stack.start(server).await
    }

    async fn block_indices(&mut self) -> Result<()> {
        let seconds = self.rng.u64(1..8);
        self.set_block(&json!(true)).await?;
        // The duration of the block is the fault itself.
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        self.set_block(&json!(null)).await
    }

    /// The cluster may be recovering from the last fault.
    async fn set_block(&self, value: &Value) -> Result<()> {
        let settings = json!({"index.blocks.write": value});
        let path = format!("{INDICES}/_settings");
        until("the indices to take a setting", SETTINGS, async || {
            let response = self.world.search.request(Method::PUT, &path, Some(&settings)).await?;
            Ok(Check::at(response["acknowledged"] == true, || response.to_string()))
        })
        .await
    }
}
