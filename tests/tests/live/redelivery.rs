//! A redelivered batch changes nothing: at least once from Kafka, exactly once in the index.

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use integration_tests::account::{Account, RecordId};
use integration_tests::live::flow::{events, print_line};
use integration_tests::live::lambda::DEPLOYED;
use integration_tests::live::search::{INDICES, of_topic};
use integration_tests::live::world::{World, now_ms};
use serde_json::json;

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

/// An event of an event source mapping, and the records in it.
fn batch(topic: &str) -> Result<(String, Vec<RecordId>)> {
    let mut partitions = serde_json::Map::new();
    let mut records = Vec::new();
    for (n, event) in events(N_RECORDS).into_iter().enumerate() {
        let (partition, offset) = (i32::try_from(n % 3)?, i64::try_from(n / 3)?);
        let timestamp_ms = event.timestamp_ms.context("events have a timestamp")?;
        let headers: Vec<_> = event.headers.iter().map(|(name, text)| json!({name: text})).collect();
        let record = json!({
            "topic": topic, "partition": partition, "offset": offset, "timestamp": timestamp_ms,
            "timestampType": "CREATE_TIME",
            "key": event.key.map(|key| BASE64_STANDARD.encode(key)),
            "value": event.value.map(|value| BASE64_STANDARD.encode(value)),
            "headers": headers,
        });
        let list = partitions.entry(format!("{topic}-{partition}")).or_insert_with(|| json!([]));
        list.as_array_mut().context("a list of records")?.push(record);
        records.push(RecordId { topic: topic.to_owned(), partition, offset, timestamp_ms });
    }
    let payload = json!({"eventSource": "SelfManagedKafka", "bootstrapServers": "127.0.0.1:9092", "records": partitions});
    Ok((payload.to_string(), records))
}
