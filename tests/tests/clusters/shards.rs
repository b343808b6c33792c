//! Shards without a copy: an index is red while the others are written on.

use anyhow::{Context as _, Result, ensure};
use integration_tests::live::flow::{FlowOptions, Function};
use integration_tests::live::kafka::NewRecord;
use integration_tests::live::lambda::BatchFailures;
use integration_tests::live::poll::{Check, until};
use integration_tests::live::search::of_topic;
use integration_tests::live::stack::Server;
use integration_tests::live::world::{World, now_ms};
use reqwest::Method;
use serde_json::json;

use crate::cluster_flow::RECOVERY;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
/// The day of the red index: no other test writes it.
const DAYS_AGO: i64 = 5;
const N_EACH: i32 = 300;

/// The cluster's manager needs two of three nodes, so both copies of a shard can't be lost at once: the index has one copy.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn documents_of_a_red_index_wait_without_holding_up_the_others() -> Result<()> {
    let world = World::clustered().await?;
    let (today, then) = (now_ms(), now_ms() - DAYS_AGO * DAY_MS);
    let day = chrono::DateTime::from_timestamp_millis(then).context("a time")?.format("%Y.%m.%d");
    let index = format!("microservices-{day}");
    let settings = json!({"settings": {
        "index.number_of_shards": 1, "index.number_of_replicas": 0, "index.auto_expand_replicas": false,
        "index.routing.allocation.require._name": "node-3",
    }});
    world.search.request(Method::DELETE, &format!("{index}?ignore_unavailable=true"), None).await?;
    world.search.request(Method::PUT, &index, Some(&settings)).await?;
    world.search.wait_for_green().await?;

    let function = Function::Own(&[("BATCH_FAILURES", "report")], 20);
    let batch_failures = BatchFailures::Report;
    let options = FlowOptions { function, batch_failures, partitions: 2, ..FlowOptions::default() };
    let flow = world.flow("red-index", options).await?;
    // Partition 0 has events of the red index, partition 1 of today's, and a batch has both.
    let records = |partition: i32, timestamp_ms: i64| {
        (0..N_EACH).map(move |n| NewRecord {
            partition: Some(partition),
            timestamp_ms: Some(timestamp_ms),
            ..NewRecord::of(json!({"n": n}).to_string())
        })
    };
    let both =
        |start: i64| records(0, start - DAYS_AGO * DAY_MS).chain(records(1, start)).collect::<Vec<_>>();
    world.stack.kill(Server::OpenSearch3).await?;
    until("a red index", RECOVERY, async || {
        let health = world.search.request(Method::GET, &format!("_cluster/health/{index}"), None).await?;
        Ok(Check::at(health["status"] == "red", || health.to_string()))
    })
    .await?;
    flow.publish(&both(today))?;
    flow.wait_for_log("unavailable_shards_exception").await?;
    let query = json!({"query": of_topic(&flow.topic)});
    let path = "microservices-*,-INDEX/_count".replace("INDEX", &index);
    until("today's documents", RECOVERY, async || {
        world
            .search
            .request(Method::POST, &format!("{}/_refresh", path.trim_end_matches("/_count")), None)
            .await?;
        let count = world.search.request(Method::POST, &path, Some(&query)).await?["count"].clone();
        Ok(Check::at(count == N_EACH, || count.to_string()))
    })
    .await?;
    until("the other partition to be done", RECOVERY, async || {
        let lag = flow.lag()?;
        Ok(Check::at(lag == i64::from(N_EACH), || format!("{lag} records behind")))
    })
    .await?;

    // What was written is not sent again. Red documents may be, once their shard is back: a request may have been given up that is
    // carried out then.
    let log = world.lambda.log(&flow.function).await?;
    let duplicates =
        log.iter().filter(|line| line.contains("\"n_duplicates\":") && !line.contains("\"n_duplicates\":0"));
    let duplicates: Vec<&String> = duplicates.collect();
    ensure!(duplicates.is_empty(), "documents were sent again: {duplicates:?}");
    world.stack.start(Server::OpenSearch3).await?;
    world.search.wait_for_green().await?;
    let account = flow.completed(RECOVERY).await?;
    let n_records = usize::try_from(2 * N_EACH)?;
    ensure!((account.records, account.indexed) == (n_records, n_records), "{account}");
    world.search.request(Method::DELETE, &index, None).await?;
    flow.finish().await
}
