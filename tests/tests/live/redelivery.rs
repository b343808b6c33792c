//! A redelivered batch changes nothing: at least once from Kafka, exactly once in the index.

use anyhow::{Context, Result, ensure};
use integration_tests::account::{Account, RecordId};
use integration_tests::live::flow::{events, print_line};
use integration_tests::live::kafka::NewRecord;
use integration_tests::live::lambda::DEPLOYED;
use integration_tests::live::search::{INDICES, of_topic};
use integration_tests::live::world::{World, now_ms};
use serde_json::json;
use testing::kafka_event::{EventRecord, payload};

const N_RECORDS: usize = 300;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_batch_delivered_twice_is_indexed_once_and_counted_as_duplicates() -> Result<()> {
    let world = World::ready().await?;
    let topic = format!("redelivery-{:x}.events", now_ms());
    let (payload, records) = batch(&topic)?;

    let first = world.lambda.invoke(DEPLOYED, payload.as_bytes()).await?;
    ensure!(first.function_error.is_none(), "{first:?}");
    let counts = |names: [&str; 3]| names.map(|name| first.logged(name));
    assert_eq!(counts(["n_received", "n_indexed", "n_duplicates"]), [Some(300), Some(300), Some(0)]);
    let written = world.search.all(INDICES, &of_topic(&topic)).await?;

    let second = world.lambda.invoke(DEPLOYED, payload.as_bytes()).await?;
    ensure!(second.function_error.is_none(), "{second:?}");
    assert_eq!(second.payload, json!({"batchItemFailures": []}));
    let counts = ["n_received", "n_indexed", "n_duplicates"].map(|name| second.logged(name));
    assert_eq!(counts, [Some(300), Some(0), Some(300)]);

    let account = Account::of(&records, &world.search.find_topic(&topic).await?);
    ensure!(account.is_complete() && account.indexed == N_RECORDS, "{account}");
    print_line(&format!("    {topic}: {account}"))?;
    let mut again = world.search.all(INDICES, &of_topic(&topic)).await?;
    let mut before = written;
    for hits in [&mut before, &mut again] {
        hits.sort_by(|one, other| one.id.cmp(&other.id));
    }
    assert_eq!(before, again);
    Ok(())
}

/// The payload of an event source mapping, and the records in it.
fn batch(topic: &str) -> Result<(String, Vec<RecordId>)> {
    let mut sent = Vec::new();
    let mut records = Vec::new();
    for (n, event) in events(N_RECORDS).into_iter().enumerate() {
        let (partition, offset) = (i32::try_from(n % 3)?, i64::try_from(n / 3)?);
        let timestamp_ms = event.timestamp_ms.context("events have a timestamp")?;
        let NewRecord { key, value, headers, .. } = event;
        let topic = topic.to_owned();
        records.push(RecordId { topic: topic.clone(), partition, offset, timestamp_ms });
        sent.push(EventRecord { topic, partition, offset, timestamp_ms, key, value, headers });
    }
    Ok((payload(sent).to_string(), records))
}
