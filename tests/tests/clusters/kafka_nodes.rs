//! Brokers die and restart: others lead their partitions, and with too few of them nothing is accepted that could be lost.

use std::time::Duration;

use anyhow::{Result, ensure};
use integration_tests::live::flow::FlowOptions;
use integration_tests::live::poll::{Check, until};
use integration_tests::live::quorum::active_controller;
use integration_tests::live::stack::Server;

use crate::cluster_flow::{ClusterFlow, RATE};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_killed_brokers_partitions_are_led_by_others_and_nothing_is_lost() -> Result<()> {
    let running = ClusterFlow::start("broker-killed", FlowOptions::default()).await?;
    // One of three partitions has its leader on each broker.
    for broker in [Server::Kafka2, Server::Kafka3] {
        running.world.stack.kill(broker).await?;
        running.wait_for_progress(3 * u64::from(RATE)).await?;
        running.world.stack.start(broker).await?;
        running.wait_for_progress(200).await?;
    }
    running.ends_complete().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_active_controller_killed_loses_nothing() -> Result<()> {
    let running = ClusterFlow::start("controller-killed", FlowOptions::default()).await?;
    let brokers = running.world.stack.bootstrap_servers.clone();
    let controller = active_controller(&brokers).await?;
    let server = Server::broker(controller)?;
    running.world.stack.kill(server).await?;
    let next = until("another controller", Duration::from_secs(60), async || {
        let next = active_controller(&brokers).await?;
        Ok(if next == controller { Check::NotYet(format!("still {next}")) } else { Check::Done(next) })
    })
    .await?;
    // It can't make a topic unless it controls the cluster.
    running.world.kafka.create_topic(&format!("made-by-{next}-{}", running.flow.topic), 1).await?;
    running.wait_for_progress(3 * u64::from(RATE)).await?;
    running.world.stack.start(server).await?;
    running.wait_for_progress(200).await?;
    running.ends_complete().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn with_one_of_three_brokers_nothing_is_accepted_and_nothing_is_lost() -> Result<()> {
    let running = ClusterFlow::start("one-broker", FlowOptions::default()).await?;
    running.world.stack.kill(Server::Kafka2).await?;
    running.world.stack.kill(Server::Kafka3).await?;
    // What was accepted before is indexed; then nothing comes any more, though the producer goes on.
    let mut last = 0;
    until("the stream to dry up", Duration::from_secs(60), async || {
        let sent = running.stream.sent();
        running.stream.wait_for_more(3 * RATE as usize).await?;
        let count = running.world.search.count_topic(&running.flow.topic).await?;
        let is_same = std::mem::replace(&mut last, count) == count;
        Ok(Check::at(is_same, || format!("{count} documents, {sent} events sent")))
    })
    .await?;
    running.stream.wait_for_more(3 * RATE as usize).await?;
    let count = running.world.search.count_topic(&running.flow.topic).await?;
    ensure!(count == last, "{count} documents, and {last} a while ago");
    running.world.stack.start_all(&[Server::Kafka2, Server::Kafka3]).await?;
    running.wait_for_progress(3 * u64::from(RATE)).await?;
    running.ends_complete().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_rolling_restart_of_all_brokers_loses_nothing() -> Result<()> {
    let running = ClusterFlow::start("kafka-rolling", FlowOptions::default()).await?;
    for broker in Server::BROKERS {
        running.world.stack.stop(broker).await?;
        running.wait_for_progress(200).await?;
        running.world.stack.start(broker).await?;
        running.wait_for_progress(200).await?;
    }
    running.ends_complete().await
}
