//! Kafka batches into daily indices, as a handler is usually written: typed events, a tree for each document, and OpenSearch's client.
//!
//! It makes the same documents as `index-events` of the same payload. It has none of the rest: no retries, no dead letters, no
//! deadline, one bulk request a batch.

use std::env;

use aws_lambda_events::event::kafka::{KafkaEvent, KafkaRecord};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::DateTime;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use opensearch::http::transport::Transport;
use opensearch::{BulkOperation, BulkParts, OpenSearch};
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let client = OpenSearch::new(Transport::single_node(&env::var("SEARCH_ENDPOINT")?)?);
    run(service_fn(|event| index(&client, event))).await
}

async fn index(client: &OpenSearch, event: LambdaEvent<KafkaEvent>) -> Result<Value, Error> {
    let mut operations: Vec<BulkOperation<Value>> = Vec::new();
    for record in event.payload.records.into_values().flatten() {
        let topic = record.topic.clone().ok_or("no topic")?;
        let document = document(&record, &topic)?;
        let time = document["@timestamp"].as_str().unwrap_or_default();
        let index = format!("microservices-{}", time.get(..10).unwrap_or_default().replace('-', "."));
        let id =
            format!("{topic}-{}-{}-{}", record.partition, record.offset, record.timestamp.timestamp_millis());
        operations.push(BulkOperation::create(id, document).index(index).into());
    }
    let response = client.bulk(BulkParts::None).body(operations).send().await?.error_for_status_code()?;
    let response: Value = response.json().await?;
    if response["errors"] != json!(false) {
        return Err("documents were rejected".into());
    }
    Ok(json!({"batchItemFailures": []}))
}

fn document(record: &KafkaRecord, topic: &str) -> Result<Value, Error> {
    let value = STANDARD.decode(record.value.as_deref().unwrap_or_default())?;
    let mut document: Value = serde_json::from_slice(&value)?;
    let time = ["timestamp", "occurredAt", "eventTime"].iter().find_map(|field| document[*field].as_str());
    let time = DateTime::parse_from_rfc3339(time.ok_or("no time")?)?.to_utc();
    for (name, bytes) in record.headers.iter().flatten() {
        let text = String::from_utf8(bytes.iter().map(|byte| *byte as u8).collect())?;
        if name == "traceparent" {
            document["trace"] = json!({"id": text.get(3..35)});
            document["span"] = json!({"id": text.get(36..52)});
        } else {
            document["correlation_id"] = json!(text);
        }
    }
    let key = STANDARD.decode(record.key.as_deref().unwrap_or_default())?;
    document["@timestamp"] = json!(time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true));
    document["service"] = json!(topic);
    document["service_name"] = json!(topic.trim_end_matches(".events"));
    document["kafka_topic"] = json!(topic);
    document["kafka_partition"] = json!(record.partition);
    document["kafka_offset"] = json!(record.offset);
    document["kafka_timestamp"] = json!(record.timestamp.timestamp_millis());
    document["kafka_key"] = json!(String::from_utf8(key)?);
    document["environment"] = json!("kubernetes");
    document["platform"] = json!("demo-micro");
    Ok(document)
}
