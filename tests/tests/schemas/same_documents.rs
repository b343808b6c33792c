//! The same events in every format are the same documents, whether the mapping decodes them or the function.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use integration_tests::live::kafka::NewRecord;
use integration_tests::live::lambda::{BatchFailures, DEPLOYED, NewMapping};
use integration_tests::live::poll::{Check, until};
use integration_tests::live::search::{INDICES, of_topic};
use integration_tests::live::serialized::{FORMATS, events};
use integration_tests::live::world::{World, now_ms};
use serde_json::{Map, Value, json};

use crate::{NO_FUNCTION_REGISTRY, NO_MAPPING_REGISTRY, TOPICS, registry};

const N_EVENTS: usize = 1_000;
const LIMIT: Duration = Duration::from_secs(120);
const FAILED: &str = "unfit.events";
/// What a topic says of a document, and the schema that only framed records have.
const NOT_COMPARED: [&str; 5] = ["service", "service_name", "kafka_topic", "kafka_offset", "kafka_schema_id"];

type Documents = Vec<Map<String, Value>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_events_in_every_format_are_the_same_documents_by_either_registry() -> Result<()> {
    let registry = registry()?;
    let world = World::ready().await?;
    let records = events(&registry, N_EVENTS).await?;
    let at_ms = now_ms();
    world.kafka.create_topic(FAILED, 1).await?;
    for way in ["mapping", "function"] {
        for format in FORMATS {
            let created = world.kafka.create_topic(&topic(way, format), 1).await;
            // The topics of the deployed mappings can be there from another test.
            ensure!(DEPLOYED_TOPICS.contains(&topic(way, format).as_str()) || created.is_ok(), "{created:?}");
        }
    }
    let base = ["MinimumPollers=1", "OnFailureTopic=unfit.events", TOPICS];

    // A mapping with a registry takes no plain JSON: that topic has a mapping without.
    let uri = format!("SchemaRegistryUri={registry}");
    world.stack.deploy(&[&base[..], &[&uri, NO_FUNCTION_REGISTRY]].concat()).await?;
    let mappings = world.lambda.mappings().await?;
    ensure!(mappings.len() == 3, "{mappings:?}");
    for mapping in mappings {
        let config = &mapping["SelfManagedKafkaEventSourceConfig"]["SchemaRegistryConfig"];
        ensure!(config["SchemaRegistryURI"] == registry.as_str(), "{mapping}");
    }
    world.lambda.create_mapping(&plain_mapping(&world, "mapping", "json")).await?;
    let by_mapping = documents(&world, "mapping", &records, at_ms).await?;

    let url = format!("FunctionRegistryUrl={registry}");
    world.stack.deploy(&[&base[..], &[&url, NO_MAPPING_REGISTRY]].concat()).await?;
    for format in FORMATS {
        world.lambda.create_mapping(&plain_mapping(&world, "function", format)).await?;
    }
    let by_function = documents(&world, "function", &records, at_ms).await?;
    world.stack.deploy(&[&base[..], &[NO_MAPPING_REGISTRY, NO_FUNCTION_REGISTRY]].concat()).await?;

    let plain = &by_function["json"];
    is_rich(plain)?;
    for (way, documents) in [("mapping", &by_mapping), ("function", &by_function)] {
        for (format, documents) in documents {
            ensure!(documents.len() == N_EVENTS, "{way}, {format}: {} documents", documents.len());
            for (document, plain) in documents.iter().zip(plain) {
                let has_schema = document.contains_key("kafka_schema_id");
                ensure!(has_schema == (*format != "json"), "{way}, {format}: {document:?}");
                let (document, plain) = (compared(document), compared(plain));
                let names: Vec<_> = document.keys().chain(plain.keys()).collect();
                let unequal = names.iter().find(|name| document.get(**name) != plain.get(**name));
                ensure!(
                    unequal.is_none(),
                    "{way}, {format}: {unequal:?} of\n{}\n{}",
                    json!(document),
                    json!(plain)
                );
            }
        }
    }
    let unfit = world.kafka.read_values(FAILED)?;
    ensure!(unfit.is_empty(), "{} records at the destination", unfit.len());
    Ok(())
}

/// Whether the documents that the others are compared with have what the events have.
fn is_rich(documents: &Documents) -> Result<()> {
    for (n, document) in (0_i64..).zip(documents) {
        for (name, value) in [
            ("orderId", json!(format!("O-{n} é 😀"))),
            ("serial", json!(9_007_199_254_740_993 + n)),
            ("balance", json!(i64::MIN + n)),
            ("discount", if n % 2 == 0 { json!(n as f64 + 0.5) } else { Value::Null }),
            ("category", json!({"name": "shoes", "parent": {"name": "clothes", "parent": {"name": "all"}}})),
            // The events are of 2023, and their records of today.
            ("tags", json!(["_timestampoutofrange"])),
        ] {
            ensure!(document.get(name).unwrap_or(&Value::Null) == &value, "{name} of {}", json!(document));
        }
        ensure!(document.contains_key("discount") && document.len() > 30, "{}", json!(document));
    }
    Ok(())
}

/// Topics of the mappings that the template has, in the order of the formats with schemas: on LocalStack the template is deployed with
/// its mappings written out, so no parameter changes the topics.
const DEPLOYED_TOPICS: [&str; 3] = ["order.events", "inventory.events", "notification.events"];

fn topic(way: &str, format: &str) -> String {
    let deployed = FORMATS[1..].iter().zip(DEPLOYED_TOPICS).find(|(known, _)| **known == format);
    match deployed {
        Some((_, topic)) if way == "mapping" => topic.to_owned(),
        _ => format!("{format}-by-{way}.events"),
    }
}

/// A mapping without a registry.
fn plain_mapping(world: &World, way: &str, format: &str) -> NewMapping {
    let topic = topic(way, format);
    NewMapping {
        function: DEPLOYED.to_owned(),
        bootstrap_servers: world.stack.bootstrap_servers.clone(),
        group: format!("test-{topic}"),
        topic,
        batch_size: 500,
        batch_failures: BatchFailures::Error,
        on_failure: None,
    }
}

/// Publishes the records, and waits for the documents of each format.
async fn documents(
    world: &World,
    way: &str,
    records: &BTreeMap<String, Vec<Vec<u8>>>,
    at_ms: i64,
) -> Result<BTreeMap<&'static str, Documents>> {
    for format in FORMATS {
        let of = |(n, value): (i64, &Vec<u8>)| NewRecord {
            key: Some(format!("k-{n}").into_bytes()),
            timestamp_ms: Some(at_ms + n),
            partition: Some(0),
            ..NewRecord::of(value.clone())
        };
        let records: Vec<NewRecord> = (0..).zip(&records[format]).map(of).collect();
        world.kafka.publish(&topic(way, format), &records)?;
    }
    let mut documents = BTreeMap::new();
    for format in FORMATS {
        let topic = topic(way, format);
        let since = json!({"range": {"kafka_timestamp": {"gte": at_ms}}});
        let query = json!({"bool": {"filter": [of_topic(&topic), since]}});
        until(&format!("the documents of {topic}"), LIMIT, async || {
            let found = world.search.all(INDICES, &query).await?.len();
            Ok(Check::at(found == N_EVENTS, || format!("{found} of {N_EVENTS}")))
        })
        .await?;
        let mut hits = world.search.all(INDICES, &query).await?;
        hits.sort_by_key(|hit| hit.source["kafka_offset"].as_i64());
        let of_hits = hits.into_iter().map(|hit| hit.source.as_object().cloned().unwrap_or_default());
        documents.insert(format, of_hits.collect());
    }
    Ok(documents)
}

fn compared(document: &Map<String, Value>) -> Map<String, Value> {
    let is_compared = |name: &String| !NOT_COMPARED.contains(&name.as_str());
    document
        .iter()
        .filter(|(name, _)| is_compared(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
