//! OpenSearch nodes die, restart and are cut off while the rest of the cluster works on.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use integration_tests::live::flow::{FlowOptions, Function};
use integration_tests::live::proxy::{Fault, Proxy, Reached};
use integration_tests::live::stack::Server;
use integration_tests::live::world::World;

use crate::cluster_flow::ClusterFlow;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_killed_with_primaries_on_it_loses_nothing() -> Result<()> {
    let running = ClusterFlow::start("primaries-killed", FlowOptions::default()).await?;
    let search = &running.world.search;
    let manager = search.cluster_manager().await?;
    let primaries = search.primaries().await?;
    // The other test kills the manager.
    let preferred = primaries.iter().max_by_key(|(node, n)| (**node != manager, **n));
    let (node, _) = preferred.context("a node has primaries")?;
    let server = Server::search_node(node)?;
    running.world.stack.kill(server).await?;
    // The others take over without it.
    running.wait_for_progress(400).await?;
    let primaries = search.primaries().await?;
    ensure!(!primaries.contains_key(node), "{node} is gone, its primaries are elsewhere: {primaries:?}");
    running.world.stack.start(server).await?;
    running.wait_for_progress(200).await?;
    running.ends_complete().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_cluster_manager_killed_loses_nothing() -> Result<()> {
    let running = ClusterFlow::start("manager-killed", FlowOptions::default()).await?;
    let manager = running.world.search.cluster_manager().await?;
    let server = Server::search_node(&manager)?;
    running.world.stack.kill(server).await?;
    running.wait_for_progress(400).await?;
    let next = running.world.search.cluster_manager().await?;
    ensure!(next != manager, "another node than {manager} manages the cluster");
    running.world.stack.start(server).await?;
    running.wait_for_progress(200).await?;
    running.ends_complete().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_rolling_restart_of_the_search_cluster_loses_nothing() -> Result<()> {
    let running = ClusterFlow::start("search-rolling", FlowOptions::default()).await?;
    for node in Server::SEARCH_NODES {
        running.world.stack.stop(node).await?;
        running.wait_for_progress(200).await?;
        running.world.stack.start(node).await?;
        running.world.search.wait_for_green().await?;
    }
    running.ends_complete().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_that_turns_slow_and_silent_holds_up_no_events() -> Result<()> {
    let world = World::clustered().await?;
    let [slow, direct @ ..] = world.stack.search_endpoints.as_slice() else {
        anyhow::bail!("the cluster has nodes")
    };
    // A real node can't be made slow or silent for a part of its clients.
    let proxy = Proxy::start(slow).await?;
    let endpoints = [&[proxy.endpoint()], direct].concat().join(",");
    let function = Function::Own(&[("SEARCH_ENDPOINT", &endpoints)], 10);
    let options = FlowOptions { function, ..FlowOptions::default() };
    let running = ClusterFlow::start_in(world, "slow-node", options).await?;
    proxy.slow_down(Duration::from_millis(500));
    running.wait_for_progress(1_000).await?;
    proxy.plan([(Fault::Silence, Reached::NotWritten), (Fault::Silence, Reached::Written)]);
    running.flow.wait_for_log("endpoint of the cluster fails, using the others").await?;
    running.wait_for_progress(1_000).await?;
    // The node is used again once it responds.
    running.flow.wait_for_log("endpoint of the cluster is back").await?;
    running.ends_complete().await
}
