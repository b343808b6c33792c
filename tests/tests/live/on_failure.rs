//! A mapping with few retries abandons records: they go to its on-failure destination and nowhere else.

use std::time::Duration;

use anyhow::{Context, Result};
use integration_tests::live::destination::{Destination, DestinationType};
use integration_tests::live::flow::{FlowOptions, Function};
use integration_tests::live::poll::{Check, until};
use integration_tests::live::search::INDICES;
use integration_tests::live::world::World;
use reqwest::Method;
use serde_json::json;

const RECOVERY: Duration = Duration::from_secs(90);

/// Abandons records while their index is blocked, and continues with those after them.
async fn abandons_records_to(kind: DestinationType, name: &str) -> Result<()> {
    let world = World::ready().await?;
    let destination = Destination::create(&world, kind).await?;
    let options = FlowOptions {
        partitions: 2,
        function: Function::Own(&[], 10),
        on_failure: Some((1, &destination)),
        ..FlowOptions::default()
    };
    let flow = world.flow(name, options).await?;
    flow.publish_events(50)?;
    flow.completed(RECOVERY).await?;
    let block = |value| json!({"index.blocks.write": value});
    let path = format!("{INDICES}/_settings");
    world.search.request(Method::PUT, &path, Some(&block(json!(true)))).await?;
    flow.publish_events(30)?;
    flow.drained(RECOVERY).await?;
    world.search.request(Method::PUT, &path, Some(&block(json!(null)))).await?;
    flow.publish_events(20)?;
    let account = flow.completed(RECOVERY).await?;
    assert_eq!((account.records, account.indexed, account.to_destinations), (100, 70, 30), "{account}");
    flow.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn abandoned_records_go_to_the_queue() -> Result<()> {
    abandons_records_to(DestinationType::Queue, "abandoned-sqs").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn abandoned_records_are_published_to_sns() -> Result<()> {
    abandons_records_to(DestinationType::Notifications, "abandoned-sns").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn abandoned_records_go_to_the_bucket() -> Result<()> {
    abandons_records_to(DestinationType::Bucket, "abandoned-s3").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn abandoned_records_go_to_the_kafka_topic() -> Result<()> {
    abandons_records_to(DestinationType::KafkaTopic, "abandoned-kafka").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn offsets_wait_for_an_unavailable_destination() -> Result<()> {
    let world = World::ready().await?;
    let destination = Destination::create(&world, DestinationType::KafkaTopic).await?;
    let topic = destination.arn();
    let topic = topic.strip_prefix("kafka://").context("a topic")?;
    world.kafka.delete_topic(topic).await?;
    let unreachable = Function::Own(&[("SEARCH_ENDPOINT", "http://127.0.0.1:1")], 3);
    let options = FlowOptions {
        partitions: 1,
        function: unreachable,
        on_failure: Some((0, &destination)),
        ..FlowOptions::default()
    };
    let flow = world.flow("abandoned-later", options).await?;
    flow.publish_events(30)?;
    flow.wait_for_log("records failed").await?;
    // The poller has tried the destination when it logs this warning.
    let log = world.stack.log(integration_tests::live::stack::Server::Poller).await?;
    until("the poller to report the destination", RECOVERY, async || {
        let text = std::fs::read_to_string(&log)?;
        let is_reported =
            text.lines().any(|line| line.contains("did not take the records") && line.contains(topic));
        Ok(Check::at(is_reported, || "no such line".to_owned()))
    })
    .await?;
    assert_eq!(flow.lag()?, 30, "no offset advances before the destination has the records");
    world.kafka.create_topic(topic, 1).await?;
    let account = flow.completed(RECOVERY).await?;
    assert_eq!((account.records, account.indexed, account.to_destinations), (30, 0, 30), "{account}");
    flow.finish().await
}
