//! OpenSearch stops, dies, is full, or rejects documents: the documents wait for it, and only those at fault become dead
//! letters.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration_tests::live::flow::{Flow, FlowOptions, Function};
use integration_tests::live::kafka::NewRecord;
use integration_tests::live::lambda::BatchFailures;
use integration_tests::live::search::{DEAD_LETTERS, INDICES};
use integration_tests::live::stack::Server;
use integration_tests::live::stream::Stream;
use integration_tests::live::world::{World, now_ms};
use reqwest::Method;
use serde_json::{Value, json};

/// Events a second.
const RATE: u32 = 200;
const RECOVERY: Duration = Duration::from_secs(120);
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn opensearch_stopped_for_twenty_seconds_mid_stream_loses_nothing() -> Result<()> {
    let world = World::ready().await?;
    let flow = world.flow("search-stopped", FlowOptions::default()).await?;
    let stream = Stream::start(&world, &flow, RATE)?;
    flow.wait_for_documents(200, RECOVERY).await?;
    world.stack.stop(Server::OpenSearch).await?;
    stream.wait_for_more(20 * RATE as usize).await?;
    world.stack.start(Server::OpenSearch).await?;
    stream.wait_for_more(200).await?;
    ends_complete(flow, stream).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn opensearch_killed_in_the_middle_of_bulk_requests_loses_nothing() -> Result<()> {
    let world = World::ready().await?;
    let flow = world.flow("search-killed", FlowOptions { batch_size: 20, ..FlowOptions::default() }).await?;
    let stream = Stream::start(&world, &flow, 3 * RATE)?;
    flow.wait_for_documents(200, RECOVERY).await?;
    world.stack.kill(Server::OpenSearch).await?;
    world.stack.start(Server::OpenSearch).await?;
    stream.wait_for_more(200).await?;
    ends_complete(flow, stream).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_tiny_write_queue_only_delays_documents() -> Result<()> {
    let world = World::ready().await?;
    let options = FlowOptions { partitions: 12, batch_size: 100, ..FlowOptions::default() };
    let flow = world.flow("tiny-queue", options).await?;
    world.stack.stop(Server::OpenSearch).await?;
    // Twelve concurrent invocations, but one write thread and a queue of one bulk request.
    world.stack.start_opensearch_with("thread_pool.write.size: 1\nthread_pool.write.queue_size: 1").await?;
    flow.publish_events(12_000)?;
    let account = flow.completed(RECOVERY).await?;
    let rejected = rejected_writes(&world).await?;
    world.stack.stop(Server::OpenSearch).await?;
    world.stack.start(Server::OpenSearch).await?;
    assert_eq!((account.records, account.indexed), (12_000, 12_000), "{account}");
    ensure!(rejected > 0, "the write queue was never full");
    flow.finish().await
}

/// The number of bulk requests that OpenSearch has rejected since it was started.
async fn rejected_writes(world: &World) -> Result<u64> {
    let stats = world.search.request(Method::GET, "_nodes/stats/thread_pool", None).await?;
    let nodes = stats["nodes"].as_object().context("the nodes are listed")?.values();
    Ok(nodes.filter_map(|node| node["thread_pool"]["write"]["rejected"].as_u64()).sum())
}

async fn ends_complete(flow: Flow, stream: Stream) -> Result<()> {
    let sent = stream.stop().await?;
    let account = flow.completed(RECOVERY).await?;
    assert_eq!((account.records, account.indexed), (sent, sent), "{account}");
    flow.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cluster_that_rejects_bulk_requests_only_delays_them() -> Result<()> {
    let world = World::ready().await?;
    let flow = world.flow("too-many", own_function()).await?;
    // Real 429s: every bulk request exceeds the limit of in-flight requests.
    cluster_setting(&world, "network.breaker.inflight_requests.limit", &json!("1kb")).await?;
    flow.publish_events(300)?;
    flow.wait_for_log("bulk operations failed, retrying").await?;
    cluster_setting(&world, "network.breaker.inflight_requests.limit", &Value::Null).await?;
    let account = flow.completed(RECOVERY).await?;
    assert_eq!((account.records, account.indexed), (300, 300), "{account}");
    let log = world.lambda.log(&flow.function).await?;
    ensure!(log.iter().any(|line| line.contains("429")), "the cluster returned 429: {log:?}");
    flow.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_read_only_block_makes_no_dead_letters_and_is_waited_out() -> Result<()> {
    for block in ["index.blocks.write", "index.blocks.read_only_allow_delete"] {
        let world = World::ready().await?;
        let flow = world.flow("blocked", own_function()).await?;
        flow.publish_events(50)?;
        flow.completed(RECOVERY).await?;
        index_setting(&world, INDICES, block, &json!(true)).await?;
        flow.publish_events(50)?;
        flow.wait_for_log("records failed").await?;
        let blocked = world.search.find_topic(&flow.topic).await?;
        index_setting(&world, INDICES, block, &Value::Null).await?;
        assert_eq!(blocked.len(), 50, "{block}: nothing more was written, not even a dead letter");
        let account = flow.completed(RECOVERY).await?;
        assert_eq!((account.records, account.indexed), (100, 100), "{block}: {account}");
        flow.finish().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn documents_that_the_index_template_rejects_become_dead_letters_and_block_no_others() -> Result<()> {
    let world = World::ready().await?;
    let flow = strict_flow(&world, "refused").await?;
    let values = (0..200).map(|n| if n % 10 == 3 { json!({"n": n, "unknown": 1}) } else { json!({"n": n}) });
    let records: Vec<NewRecord> = values.map(|value| NewRecord::of(value.to_string())).collect();
    flow.publish(&records)?;
    let account = flow.completed(RECOVERY).await?;
    assert_eq!((account.records, account.indexed, account.dead_lettered), (200, 180, 20), "{account}");
    for dead_letter in flow.documents(DEAD_LETTERS).await? {
        assert_eq!(dead_letter.source["error"]["type"], json!("strict_dynamic_mapping_exception"));
        let payload: Value =
            serde_json::from_str(dead_letter.source["payload"].as_str().context("a payload")?)?;
        assert_eq!(payload["unknown"], json!(1));
    }
    flow.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_record_is_retried_until_its_dead_letter_is_written() -> Result<()> {
    let world = World::ready().await?;
    let flow = strict_flow(&world, "no-dead-letters").await?;
    let rejected = NewRecord::of(r#"{"unknown":1}"#);
    flow.publish(std::slice::from_ref(&rejected))?;
    assert_eq!(flow.completed(RECOVERY).await?.dead_lettered, 1);
    index_setting(&world, DEAD_LETTERS, "index.blocks.write", &json!(true)).await?;
    flow.publish(&[NewRecord::of(r#"{"n":1}"#), rejected])?;
    flow.wait_for_log("records failed").await?;
    index_setting(&world, DEAD_LETTERS, "index.blocks.write", &Value::Null).await?;
    let account = flow.completed(RECOVERY).await?;
    assert_eq!((account.records, account.indexed, account.dead_lettered), (3, 1, 2), "{account}");
    flow.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_partial_batch_response_redelivers_only_the_failed_records() -> Result<()> {
    let world = World::ready().await?;
    let function = Function::Own(&[("BATCH_FAILURES", "report")], 10);
    let batch_failures = BatchFailures::Report;
    let options = FlowOptions { function, batch_failures, partitions: 2, ..FlowOptions::default() };
    let flow = world.flow("reported", options).await?;
    // Partition 0 has events of today, partition 1 of yesterday, whose index is blocked.
    let day = |partition: i32, timestamp_ms: i64| {
        move |n: i32| NewRecord {
            partition: Some(partition),
            timestamp_ms: Some(timestamp_ms),
            ..NewRecord::of(json!({"n": n}).to_string())
        }
    };
    let (today, yesterday) = (now_ms(), now_ms() - DAY_MS);
    flow.publish(&(0..1).map(day(1, yesterday)).collect::<Vec<_>>())?;
    flow.completed(RECOVERY).await?;
    let hit = flow.documents(INDICES).await?.pop().context("yesterday's document")?;
    index_setting(&world, &hit.index, "index.blocks.write", &json!(true)).await?;
    flow.publish(&(0..50).map(day(0, today)).chain((0..50).map(day(1, yesterday))).collect::<Vec<_>>())?;
    flow.wait_for_log("records failed").await?;
    flow.wait_for_documents(51, RECOVERY).await?;
    index_setting(&world, &hit.index, "index.blocks.write", &Value::Null).await?;
    let account = flow.completed(RECOVERY).await?;
    assert_eq!((account.records, account.indexed), (101, 101), "{account}");
    flow.finish().await
}

/// A function with its own log and a short timeout.
/// A flow into indices whose mapping is strict, so that a document with another member is rejected in every form.
async fn strict_flow(world: &World, name: &str) -> Result<Flow> {
    let template = json!({
        "index_patterns": ["microservices-strict-*"], "priority": 900,
        "template": {"mappings": {"dynamic": "strict", "properties": {
            "@timestamp": {"type": "date"}, "service": {"type": "keyword"}, "service_name": {"type": "keyword"},
            "environment": {"type": "keyword"}, "platform": {"type": "keyword"},
            "kafka_topic": {"type": "keyword"}, "kafka_partition": {"type": "integer"},
            "kafka_offset": {"type": "long"}, "kafka_timestamp": {"type": "long"}, "n": {"type": "integer"},
        }}},
    });
    world.search.request(Method::PUT, "_index_template/tests-strict", Some(&template)).await?;
    let function = Function::Own(&[("INDEX_PREFIX", "microservices-strict")], 30);
    world.flow(name, FlowOptions { function, partitions: 1, ..FlowOptions::default() }).await
}

fn own_function() -> FlowOptions<'static> {
    FlowOptions { function: Function::Own(&[], 10), partitions: 1, ..FlowOptions::default() }
}

async fn cluster_setting(world: &World, name: &str, value: &Value) -> Result<()> {
    let body = json!({"transient": {name: value}});
    world.search.request(Method::PUT, "_cluster/settings", Some(&body)).await.map(drop)
}

async fn index_setting(world: &World, indices: &str, name: &str, value: &Value) -> Result<()> {
    let body = json!({name: value});
    world.search.request(Method::PUT, &format!("{indices}/_settings"), Some(&body)).await.map(drop)
}
