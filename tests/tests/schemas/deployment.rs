//! The template's schema registry: `sam deploy` with the parameters makes mappings that decode.

use std::time::Duration;

use anyhow::{Context, Result};
use integration_tests::live::kafka::NewRecord;
use integration_tests::live::poll::{Check, until};
use integration_tests::live::search::{INDICES, Search, of_topic};
use integration_tests::live::world::World;
use serde_json::{Value, json};

use crate::{NO_FUNCTION_REGISTRY, NO_MAPPING_REGISTRY, TOPICS, registry};

const FAILED: &str = "failed.events";
const N_EVENTS: usize = 20;
const LIMIT: Duration = Duration::from_secs(90);
const AVRO: &str = r#"{"type": "record", "name": "Order", "fields": [
    {"name": "order", "type": "string"}, {"name": "total", "type": "double"}]}"#;
const PROTOBUF: &str = "syntax = \"proto3\"; message Order { string order = 1; double total = 2; }";
const JSON_SCHEMA: &str =
    r#"{"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]}"#;
/// 2.5, least significant byte first.
const TOTAL: &[u8] = &[0, 0, 0, 0, 0, 0, 4, 0x40];

/// The order in each language.
fn avro(order: &str) -> Vec<u8> {
    let len = u8::try_from(order.len() * 2).unwrap_or_default();
    [&[len], order.as_bytes(), TOTAL].concat()
}

fn protobuf(order: &str) -> Vec<u8> {
    let len = u8::try_from(order.len()).unwrap_or_default();
    // The message's index in its file, in the short form.
    [&[0, 0x0a, len], order.as_bytes(), &[0x11], TOTAL].concat()
}

fn json_text(order: &str) -> Vec<u8> {
    json!({"order": order, "total": 2.5}).to_string().into_bytes()
}

/// Registers a schema; returns its id.
async fn register(registry: &str, topic: &str, schema_type: &str, schema: &str) -> Result<u32> {
    let url = format!("{registry}/subjects/{topic}-value/versions");
    let body = json!({"schemaType": schema_type, "schema": schema});
    let request = reqwest::Client::new().post(url).header("content-type", "application/json");
    let response = request.body(body.to_string()).send().await?;
    let response: Value = serde_json::from_slice(&response.bytes().await?)?;
    let id = response["id"].as_u64().with_context(|| format!("no id in {response}"))?;
    Ok(u32::try_from(id)?)
}

/// The payload's fields of each document of a topic, by offset.
async fn payloads(search: &Search, topic: &str) -> Result<Vec<Value>> {
    let mut hits = search.all(INDICES, &of_topic(topic)).await?;
    hits.sort_by_key(|hit| hit.source["kafka_offset"].as_i64());
    Ok(hits.iter().map(|hit| json!({"order": hit.source["order"], "total": hit.source["total"]})).collect())
}

async fn registries(world: &World) -> Result<Vec<Value>> {
    let mappings = world.lambda.mappings().await?;
    Ok(mappings
        .iter()
        .map(|mapping| mapping["SelfManagedKafkaEventSourceConfig"]["SchemaRegistryConfig"].clone())
        .collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_template_decodes_by_a_registry_and_returns_to_plain_json() -> Result<()> {
    let registry = registry()?;
    let world = World::ready().await?;
    world.kafka.create_topic(FAILED, 1).await?;
    let (on, off) = (format!("SchemaRegistryUri={registry}"), NO_MAPPING_REGISTRY);
    let base = ["MinimumPollers=1", "OnFailureTopic=failed.events", NO_FUNCTION_REGISTRY, TOPICS];
    world.stack.deploy(&[&base[..], &[on.as_str()]].concat()).await?;
    let expected = json!({"SchemaRegistryURI": registry, "EventRecordFormat": "JSON",
        "SchemaValidationConfigs": [{"Attribute": "VALUE"}]});
    assert_eq!(registries(&world).await?, vec![expected; 3]);

    type Encode = fn(&str) -> Vec<u8>;
    let languages: [(&str, &str, &str, Encode); 3] = [
        ("order.events", "AVRO", AVRO, avro),
        ("inventory.events", "PROTOBUF", PROTOBUF, protobuf),
        ("notification.events", "JSON", JSON_SCHEMA, json_text),
    ];
    let orders: Vec<String> = (0..N_EVENTS).map(|n| format!("o-{n}")).collect();
    let expected: Vec<Value> = orders.iter().map(|order| json!({"order": order, "total": 2.5})).collect();
    for (topic, schema_type, schema, encode) in languages {
        let id = register(&registry, topic, schema_type, schema).await?;
        world.kafka.create_topic(topic, 1).await?;
        let of = |order: &String| {
            let value = [&[0], id.to_be_bytes().as_slice(), &encode(order)].concat();
            NewRecord { partition: Some(0), ..NewRecord::of(value) }
        };
        let mut records: Vec<NewRecord> = orders.iter().map(of).collect();
        let misfit = NewRecord { partition: Some(0), ..NewRecord::of("no schema") };
        records.insert(N_EVENTS / 2, misfit);
        world.kafka.publish(topic, &records)?;
    }
    for (topic, ..) in languages {
        until(&format!("the documents of {topic}"), LIMIT, async || {
            let found = payloads(&world.search, topic).await?;
            Ok(Check::at(found == expected, || format!("{} of {N_EVENTS}", found.len())))
        })
        .await?;
    }
    until("the misfits at the destination", LIMIT, async || {
        let values = world.kafka.read_values(FAILED)?;
        let conditions: Vec<Value> = values
            .iter()
            .map(|value| {
                serde_json::from_slice::<Value>(value).map(|it| it["requestContext"]["condition"].clone())
            })
            .collect::<Result<_, _>>()?;
        Ok(Check::at(conditions == vec![json!("DESERIALIZATION_ERROR"); 3], || format!("{conditions:?}")))
    })
    .await?;

    world.stack.deploy(&[&base[..], &[off]].concat()).await?;
    assert_eq!(registries(&world).await?, vec![Value::Null; 3]);
    world
        .kafka
        .publish("order.events", &[NewRecord { partition: Some(0), ..NewRecord::of(json_text("plain")) }])?;
    until("an event without a schema", LIMIT, async || {
        let found = payloads(&world.search, "order.events").await?;
        Ok(Check::at(found.len() == N_EVENTS + 1, || format!("{} documents", found.len())))
    })
    .await
}
