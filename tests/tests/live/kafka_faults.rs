//! The broker restarts, topics change, groups rebalance: every record is still indexed exactly once.

use std::time::Duration;

use anyhow::Result;
use integration_tests::live::flow::{FlowOptions, Function};
use integration_tests::live::proxy::Proxy;
use integration_tests::live::stack::Server;
use integration_tests::live::stream::Stream;
use integration_tests::live::world::World;

/// Events a second.
const RATE: u32 = 200;
const RECOVERY: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_broker_restarted_mid_stream_loses_nothing() -> Result<()> {
    let world = World::ready().await?;
    let flow = world.flow("broker", FlowOptions::default()).await?;
    let stream = Stream::start(&world, &flow, RATE)?;
    flow.wait_for_documents(200, RECOVERY).await?;
    world.stack.stop(Server::Kafka).await?;
    world.stack.start(Server::Kafka).await?;
    stream.wait_for_more(200).await?;
    world.stack.kill(Server::Kafka).await?;
    world.stack.start(Server::Kafka).await?;
    stream.wait_for_more(200).await?;
    let sent = stream.stop().await?;
    let account = flow.completed(RECOVERY).await?;
    assert_eq!((account.records, account.indexed), (sent, sent), "{account}");
    flow.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_recreated_topic_keeps_its_old_events_and_gets_the_new_ones_indexed() -> Result<()> {
    let world = World::ready().await?;
    let mut flow = world.flow("made-again", FlowOptions { partitions: 2, ..FlowOptions::default() }).await?;
    flow.publish_events(400)?;
    let mut total = 400;
    let account = flow.completed(RECOVERY).await?;
    assert_eq!((account.records, account.indexed), (total, total), "{account}");
    // Fewer new events than old ones, then more: offsets that were read before occur again.
    for count in [100, 1_000] {
        flow.remember_records()?;
        // The poller sees the new topic only when it has events already.
        world.stack.hang(Server::Poller).await?;
        world.kafka.delete_topic(&flow.topic).await?;
        world.kafka.create_topic(&flow.topic, 2).await?;
        flow.publish_events(count)?;
        world.stack.resume(Server::Poller).await?;
        total += count;
        let account = flow.completed(RECOVERY).await?;
        assert_eq!((account.records, account.indexed), (total, total), "{account}");
    }
    flow.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn records_removed_before_they_are_read_do_not_hide_the_remaining_ones() -> Result<()> {
    let world = World::ready().await?;
    let mut flow = world.flow("retention", FlowOptions { partitions: 1, ..FlowOptions::default() }).await?;
    flow.publish_events(200)?;
    flow.completed(RECOVERY).await?;
    flow.remember_records()?;
    world.stack.stop(Server::Poller).await?;
    flow.publish_events(300)?;
    // The group resumes at 200, which is gone by then.
    world.kafka.delete_records(&flow.topic, 0, 300).await?;
    world.stack.start(Server::Poller).await?;
    let account = flow.completed(RECOVERY).await?;
    assert_eq!((account.records, account.indexed), (400, 400), "{account}");
    flow.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn partitions_added_mid_stream_are_read_from_their_beginning() -> Result<()> {
    let world = World::ready().await?;
    let flow = world.flow("grown", FlowOptions { partitions: 1, ..FlowOptions::default() }).await?;
    let stream = Stream::start(&world, &flow, RATE)?;
    flow.wait_for_documents(100, RECOVERY).await?;
    stream.stop().await?;
    world.kafka.add_partitions(&flow.topic, 4).await?;
    let stream = Stream::start(&world, &flow, RATE)?;
    stream.wait_for_more(600).await?;
    stream.stop().await?;
    let account = flow.completed(RECOVERY).await?;
    assert_eq!(account.records, account.indexed, "{account}");
    let n_partitions = world.kafka.end_offsets(&flow.topic)?.values().filter(|end| **end > 0).count();
    assert_eq!(n_partitions, 4, "the new partitions have records too");
    flow.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_group_rebalanced_every_few_seconds_loses_nothing() -> Result<()> {
    let world = World::ready().await?;
    // There should always be invocations in flight when a partition is revoked.
    let proxy = Proxy::start(&world.stack.search_endpoint).await?;
    proxy.slow_down(Duration::from_millis(150));
    let endpoint = proxy.endpoint();
    let function = Function::Own(&[("SEARCH_ENDPOINT", &endpoint)], 30);
    let options = FlowOptions { partitions: 4, batch_size: 20, function, ..FlowOptions::default() };
    let flow = world.flow("rebalanced", options).await?;
    let stream = Stream::start(&world, &flow, RATE)?;
    flow.wait_for_documents(100, RECOVERY).await?;
    for round in 0..4 {
        let log = world.stack.log_folder()?.join(format!("second-poller-{round}.log"));
        let second = world.stack.second_poller(&log).await?;
        stream.wait_for_more(2 * RATE as usize).await?;
        second.stop().await?;
        stream.wait_for_more(RATE as usize).await?;
    }
    let sent = stream.stop().await?;
    let account = flow.completed(RECOVERY).await?;
    assert_eq!((account.records, account.indexed), (sent, sent), "{account}");
    flow.finish().await
}
