//! An OpenSearch node whose disk is full.

use std::time::Duration;

use anyhow::Result;
use integration_tests::live::flow::{FlowOptions, Function};
use integration_tests::live::poll::{Check, until};
use integration_tests::live::search::INDICES;
use integration_tests::live::small_disk::SmallDisk;
use integration_tests::live::stack::Server;
use integration_tests::live::world::World;
use reqwest::Method;
use serde_json::{Value, json};

use crate::cluster_flow::ClusterFlow;

const MEBIBYTES: u32 = 768;
/// OpenSearch looks at the disks every ten seconds here, its least.
const NOTICED: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_full_disk_delays_events_and_loses_none() -> Result<()> {
    let world = World::clustered().await?;
    let stack = world.stack.clone();
    // A node that does not manage the cluster.
    let manager = world.search.cluster_manager().await?;
    let node = Server::search_node(if manager == "node-3" { "node-2" } else { "node-3" })?;
    let folder = stack.data_folder(node).await?;
    stack.stop(node).await?;
    let disk = SmallDisk::mount(&folder, MEBIBYTES)?;
    stack.start(node).await?;
    let limits = json!({"transient": {
        "cluster.routing.allocation.disk.threshold_enabled": true,
        "cluster.routing.allocation.disk.watermark.low": "300mb",
        "cluster.routing.allocation.disk.watermark.high": "200mb",
        "cluster.routing.allocation.disk.watermark.flood_stage": "100mb",
        "cluster.info.update.interval": "10s",
    }});
    world.search.request(Method::PUT, "_cluster/settings", Some(&limits)).await?;

    let function = Function::Own(&[], 20);
    let running =
        ClusterFlow::start_in(world, "full-disk", FlowOptions { function, ..FlowOptions::default() }).await?;
    // A copy of each shard on every node: with fewer, OpenSearch moves those of the full disk to the other nodes.
    set_copies(&running.world, "0-2").await?;
    running.world.search.wait_for_green().await?;
    disk.fill()?;
    wait_for_flood_stage(&running.world, true).await?;
    running.flow.wait_for_log("read-only-allow-delete").await?;
    disk.make_room()?;
    wait_for_flood_stage(&running.world, false).await?;
    // OpenSearch gives up a shard that failed five times on a node.
    running.world.search.request(Method::POST, "_cluster/reroute?retry_failed=true", None).await?;
    running.wait_for_progress(1_000).await?;
    set_copies(&running.world, "0-1").await?;
    running.ends_complete().await?;
    stack.stop(node).await?;
    drop(disk);
    stack.start(node).await
}

async fn set_copies(world: &World, replicas: &str) -> Result<()> {
    let settings = json!({"index.auto_expand_replicas": replicas});
    world.search.request(Method::PUT, &format!("{INDICES}/_settings"), Some(&settings)).await.map(drop)
}

/// Waits until indices are read-only because of a full disk, or no more.
async fn wait_for_flood_stage(world: &World, expected: bool) -> Result<()> {
    let path = format!("{INDICES}/_settings/index.blocks.read_only_allow_delete?flat_settings=true");
    until(&format!("flood stage: {expected}"), NOTICED, async || {
        let found = world.search.request(Method::GET, &path, None).await?;
        let block = "/settings/index.blocks.read_only_allow_delete";
        let is_blocked = |index: &Value| index.pointer(block).is_some_and(|value| value == "true");
        let any = found.as_object().is_some_and(|indices| indices.values().any(is_blocked));
        Ok(Check::at(any == expected, || found.to_string()))
    })
    .await
}
