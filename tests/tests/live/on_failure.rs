//! A mapping with few retries gives records up: they go to its on-failure destination, and nowhere else.

use std::time::Duration;

use anyhow::{Context, Result};
use integration_tests::destination::{Destination, Kind};
use integration_tests::flow::{FlowOptions, Function, World};
use integration_tests::poll::{Look, until};
use integration_tests::search::INDICES;
use reqwest::Method;
use serde_json::json;

const RECOVERY: Duration = Duration::from_secs(90);

/// Gives records up while their index is blocked, and goes on with those that come after.
async fn gives_up_to(kind: Kind, name: &str) -> Result<()> {
    let world = World::ready().await?;
    let destination = Destination::make(&world, kind).await?;
    let options = FlowOptions {
        partitions: 2,
        function: Function::Own(&[], 10),
        give_up: Some((1, &destination)),
        ..FlowOptions::default()
    };
    let flow = world.flow(name, options).await?;
    flow.publish_events(50)?;
    flow.settled(RECOVERY).await?;
    let block = |value| json!({"index.blocks.write": value});
    let path = format!("{INDICES}/_settings");
    world.search.request(Method::PUT, &path, Some(&block(json!(true)))).await?;
    flow.publish_events(30)?;
    flow.drained(RECOVERY).await?;
    world.search.request(Method::PUT, &path, Some(&block(json!(null)))).await?;
    flow.publish_events(20)?;
    let account = flow.settled(RECOVERY).await?;
    assert_eq!((account.records, account.indexed, account.to_destinations), (100, 70, 30), "{account}");
    flow.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn abandoned_records_go_to_the_queue() -> Result<()> {
    gives_up_to(Kind::Queue, "given-up-sqs").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn abandoned_records_are_published_to_sns() -> Result<()> {
    gives_up_to(Kind::Notifications, "given-up-sns").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn abandoned_records_go_to_the_bucket() -> Result<()> {
    gives_up_to(Kind::Bucket, "given-up-s3").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn abandoned_records_go_to_the_kafka_topic() -> Result<()> {
    gives_up_to(Kind::KafkaTopic, "given-up-kafka").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn offsets_wait_for_an_unavailable_destination() -> Result<()> {
    let world = World::ready().await?;
    let destination = Destination::make(&world, Kind::KafkaTopic).await?;
    let topic = destination.arn();
    let topic = topic.strip_prefix("kafka://").context("a topic")?;
    world.kafka.delete_topic(topic).await?;
    let refused = Function::Own(&[("SEARCH_ENDPOINT", "http://127.0.0.1:1")], 3);
    let options = FlowOptions {
        partitions: 1,
        function: refused,
        give_up: Some((0, &destination)),
        ..FlowOptions::default()
    };
    let flow = world.flow("given-up-later", options).await?;
    flow.publish_events(30)?;
    flow.wait_for_log("records failed").await?;
    // The poller has tried the destination by the time that it warns of it.
    let log = world.stack.log(integration_tests::stack::Server::Poller).await?;
    until("the poller to miss the destination", RECOVERY, async || {
        let text = std::fs::read_to_string(&log)?;
        let missed =
            text.lines().any(|line| line.contains("did not take the records") && line.contains(topic));
        Ok(Look::at(missed, || "no word of it".to_owned()))
    })
    .await?;
    assert_eq!(flow.lag()?, 30, "no offset advances before the destination has the records");
    world.kafka.create_topic(topic, 1).await?;
    let account = flow.settled(RECOVERY).await?;
    assert_eq!((account.records, account.indexed, account.to_destinations), (30, 0, 30), "{account}");
    flow.finish().await
}
