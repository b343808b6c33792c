//! An OpenSearch node that is cut off from the others.

use anyhow::Result;
use integration_tests::live::cut::Cut;
use integration_tests::live::flow::FlowOptions;
use integration_tests::live::stack::Server;
use integration_tests::live::world::World;

use crate::cluster_flow::ClusterFlow;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_cut_off_from_the_others_loses_nothing() -> Result<()> {
    let world = World::clustered().await?;
    // A node that does not manage the cluster. The others reach it through a proxy: the address that it publishes.
    let manager = world.search.cluster_manager().await?;
    let name = if manager == "node-3" { "node-2" } else { "node-3" };
    let node = Server::search_node(name)?;
    let cut = Cut::start(&world.search.transport_address(name).await?).await?;
    world.stack.stop(node).await?;
    world.stack.start_node_with(node, &format!("transport.publish_port: {}", cut.port())).await?;
    world.search.wait_for_green().await?;
    let stack = world.stack.clone();
    let running = ClusterFlow::start_in(world, "cut-off", FlowOptions::default()).await?;
    cut.cut();
    running.world.search.wait_for_nodes(2).await?;
    // The function still has its URL: it responds, but writes nothing.
    running.wait_for_progress(1_000).await?;
    cut.join();
    running.world.search.wait_for_nodes(3).await?;
    running.wait_for_progress(400).await?;
    running.ends_complete().await?;
    stack.stop(node).await?;
    stack.start(node).await
}
