//! Events of the three services reach the daily indices, complete.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use event_producer::generate::{Event, Generator, TOPICS};
use integration_tests::account::Account;
use integration_tests::live::flow::daily;
use integration_tests::live::kafka::NewRecord;
use integration_tests::live::poll::{Check, until};
use integration_tests::live::search::INDICES;
use integration_tests::live::world::{World, now_ms};
use serde_json::{Value, json};

const N_EVENTS: usize = 1_500;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn events_of_all_three_topics_reach_their_daily_indices_complete() -> Result<()> {
    let world = World::ready().await?;
    let now_ms = now_ms();
    let events: Vec<Event> = Generator::new(fastrand::u64(..), now_ms).take(N_EVENTS).collect();
    for topic in TOPICS {
        if world.kafka.end_offsets(topic).is_err() {
            world.kafka.create_topic(topic, 3).await?;
        }
        let of_topic: Vec<NewRecord> =
            events.iter().filter(|event| event.topic == topic).map(|event| record(event, now_ms)).collect();
        ensure!(!of_topic.is_empty(), "the generator makes events for {topic}");
        world.kafka.publish(topic, &of_topic)?;
    }

    for topic in TOPICS {
        let group = format!("kafka-to-search-{topic}");
        until(&format!("{topic} to be indexed"), Duration::from_secs(60), async || {
            let lag = world.kafka.lag(&group, topic)?;
            Ok(Check::at(lag == 0, || format!("{lag} records behind")))
        })
        .await?;
        let account = Account::of(&world.kafka.read(topic)?, &world.search.find_topic(topic).await?);
        ensure!(account.is_complete() && account.dead_lettered == 0, "{topic}: {account}");
    }

    let query = json!({"range": {"kafka_timestamp": {"gte": now_ms, "lte": now_ms}}});
    let mut documents: BTreeMap<(String, String), Vec<_>> = BTreeMap::new();
    for hit in world.search.all(INDICES, &query).await? {
        let text = |name: &str| hit.source[name].as_str().unwrap_or_default().to_owned();
        documents.entry((text("kafka_topic"), text("kafka_key"))).or_default().push(hit);
    }
    let n_documents: usize = documents.values().map(Vec::len).sum();
    assert_eq!(n_documents, N_EVENTS);
    for event in &events {
        let key = (event.topic.to_owned(), event.key.clone());
        let same_key = documents.get(&key).with_context(|| format!("no document for {key:?}"))?;
        let hit = same_key.iter().find(|hit| hit.source == document(event, &hit.source, now_ms));
        let hit = hit.with_context(|| format!("no document has all of {event:?}: {same_key:?}"))?;
        assert_eq!(hit.index, daily("microservices", &hit.source));
        let place = |name: &str| hit.source[name].as_i64().unwrap_or(-1);
        let id = format!("{}-{}-{}-{now_ms}", event.topic, place("kafka_partition"), place("kafka_offset"));
        assert_eq!(hit.id, id);
    }
    Ok(())
}

fn record(event: &Event, timestamp_ms: i64) -> NewRecord {
    NewRecord {
        key: Some(event.key.clone().into_bytes()),
        value: Some(event.value.clone().into_bytes()),
        headers: event.headers().map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec())).to_vec(),
        timestamp_ms: Some(timestamp_ms),
        partition: None,
    }
}

/// The expected document of an event, with the partition and offset of `found`.
fn document(event: &Event, found: &Value, timestamp_ms: i64) -> Value {
    let mut document: Value = serde_json::from_str(&event.value).expect("events are JSON");
    let time = ["timestamp", "occurredAt", "eventTime"].iter().find_map(|name| document[name].as_str());
    let time = time.expect("events have a time").to_owned();
    let trace: Vec<&str> = event.traceparent.split('-').collect();
    let ours = json!({
        "@timestamp": time,
        "service": event.topic,
        "service_name": event.topic.trim_end_matches(".events"),
        "environment": "kubernetes",
        "platform": "demo-micro",
        "kafka_topic": event.topic,
        "kafka_partition": found["kafka_partition"],
        "kafka_offset": found["kafka_offset"],
        "kafka_timestamp": timestamp_ms,
        "kafka_key": event.key,
        "trace": {"id": trace[1]},
        "span": {"id": trace[2]},
        "correlation_id": event.correlation_id,
    });
    let fields = document.as_object_mut().expect("events are objects");
    fields.extend(ours.as_object().cloned().unwrap_or_default());
    document
}
