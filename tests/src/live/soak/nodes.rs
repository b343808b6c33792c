//! Faults of the nodes of clusters. Each ends when all nodes are back: with two of a quorum of three away for good, nothing goes on.

use std::time::Duration;

use anyhow::{Result, ensure};
use fastrand::Rng;

use crate::live::flow::print_line;
use crate::live::poll::{Check, until};
use crate::live::quorum::{active_controller, quorum};
use crate::live::stack::{Server, Stop};
use crate::live::world::World;

/// Longest time for the brokers to be a whole cluster again.
const RETURN: Duration = Duration::from_secs(180);

/// The brokers and search nodes, and the topic that is written.
pub(super) struct Nodes<'a> {
    pub(super) world: &'a World,
    pub(super) topic: &'a str,
}

impl Nodes<'_> {
    pub(super) async fn kill_broker(&self, rng: &mut Rng) -> Result<()> {
        let broker = chosen(&Server::BROKERS, rng);
        self.away(&[broker], Stop::Kill, rng.u64(0..20)).await?;
        self.quorum_returns().await
    }

    pub(super) async fn kill_controller(&self, rng: &mut Rng) -> Result<()> {
        let brokers = &self.world.stack.bootstrap_servers;
        let controller = until("an active controller", RETURN, async || {
            Ok(Check::Done(active_controller(brokers).await?))
        })
        .await?;
        self.away(&[Server::broker(controller)?], Stop::Kill, rng.u64(0..20)).await?;
        self.quorum_returns().await
    }

    pub(super) async fn kill_two_brokers(&self, rng: &mut Rng) -> Result<()> {
        let stays = chosen(&Server::BROKERS, rng);
        let two: Vec<Server> = Server::BROKERS.into_iter().filter(|broker| *broker != stays).collect();
        self.away(&two, Stop::Kill, rng.u64(0..20)).await?;
        self.quorum_returns().await
    }

    pub(super) async fn roll_brokers(&self) -> Result<()> {
        for broker in Server::BROKERS {
            self.away(&[broker], Stop::Terminate, 0).await?;
            self.quorum_returns().await?;
            self.replicas_return().await?;
        }
        Ok(())
    }

    pub(super) async fn restart_search_node(&self, stop: Stop, rng: &mut Rng) -> Result<()> {
        let node = chosen(&Server::SEARCH_NODES, rng);
        self.away(&[node], stop, rng.u64(0..20)).await?;
        self.world.search.wait_for_nodes(3).await
    }

    pub(super) async fn kill_manager(&self, rng: &mut Rng) -> Result<()> {
        let manager = until("a cluster manager", RETURN, async || {
            Ok(Check::Done(self.world.search.cluster_manager().await?))
        })
        .await?;
        self.away(&[Server::search_node(&manager)?], Stop::Kill, rng.u64(0..20)).await?;
        self.world.search.wait_for_nodes(3).await
    }

    /// The others drop a node that hangs for longer than half a minute.
    pub(super) async fn hang_search_node(&self, rng: &mut Rng) -> Result<()> {
        let node = chosen(&Server::SEARCH_NODES, rng);
        let seconds = rng.u64(5..50);
        print_line(&format!("          {node:?} for {seconds} s"))?;
        self.world.stack.hang(node).await?;
        // The duration is the fault itself.
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        self.world.stack.resume(node).await?;
        self.world.search.wait_for_nodes(3).await
    }

    pub(super) async fn roll_search_nodes(&self) -> Result<()> {
        for node in Server::SEARCH_NODES {
            self.world.search.wait_for_green().await?;
            self.away(&[node], Stop::Terminate, 0).await?;
            self.world.search.wait_for_nodes(3).await?;
        }
        Ok(())
    }

    /// Stops servers, and starts them this much later.
    async fn away(&self, servers: &[Server], stop: Stop, seconds: u64) -> Result<()> {
        print_line(&format!("          {servers:?} for {seconds} s"))?;
        for server in servers {
            self.world.stack.end(*server, stop).await?;
        }
        // The duration is the fault itself.
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        self.world.stack.start_all(servers).await
    }

    /// Waits until the quorum's three voters have the metadata that there is now.
    async fn quorum_returns(&self) -> Result<()> {
        let brokers = &self.world.stack.bootstrap_servers;
        // A new leader does not know at first what a majority has.
        let now = until("the quorum", RETURN, async || {
            let quorum = quorum(brokers).await?;
            let state = format!("{quorum:?}");
            Ok(if quorum.high_watermark > 0 { Check::Done(quorum) } else { Check::NotYet(state) })
        })
        .await?;
        until("the quorum's three voters", RETURN, async || {
            let quorum = quorum(brokers).await?;
            ensure!(quorum.voters.len() == Server::BROKERS.len(), "not three voters: {quorum:?}");
            let behind = quorum.behind(now.high_watermark);
            Ok(Check::at(behind.is_empty(), || format!("{behind:?} are behind: {quorum:?}")))
        })
        .await
    }

    /// Waits until each partition has all of its replicas.
    async fn replicas_return(&self) -> Result<()> {
        until("the topic's replicas", RETURN, async || {
            let lacking = self.world.kafka.under_replicated(self.topic)?;
            Ok(Check::at(lacking.is_empty(), || format!("partitions {lacking:?} lack replicas")))
        })
        .await
    }
}

fn chosen(servers: &[Server; 3], rng: &mut Rng) -> Server {
    let [first, second, third] = *servers;
    match rng.u8(0..3) {
        0 => first,
        1 => second,
        _ => third,
    }
}
