//! An index whose mapping is full: an event with a new field keeps it under `conflict`, and none is lost.

use std::time::Duration;

use anyhow::Result;
use integration_tests::live::flow::{Flow, FlowOptions, Function};
use integration_tests::live::kafka::NewRecord;
use integration_tests::live::world::World;
use reqwest::Method;
use serde_json::json;

const RECOVERY: Duration = Duration::from_secs(120);
const INDICES: &str = "microservices-narrow-*";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn events_with_new_fields_are_indexed_when_the_mapping_is_full() -> Result<()> {
    let world = World::ready().await?;
    world.search.request(Method::DELETE, INDICES, None).await?;
    let template = json!({
        "index_patterns": [INDICES], "priority": 900,
        "template": {
            "settings": {"index.mapping.total_fields.limit": 40},
            // The account searches by this field; it would not find it as text.
            // Objects that are only stored, as `conflict` would be a new field too.
            "mappings": {"properties": {
                "kafka_topic": {"type": "keyword"}, "conflict": {"type": "flat_object"}, "conflict_text": {"type": "text"},
                "conflict_field": {"type": "keyword"}, "conflict_reason": {"type": "keyword"},
                "tags": {"type": "keyword"}, "message": {"type": "text"},
            }},
        },
    });
    world.search.request(Method::PUT, "_index_template/tests-narrow", Some(&template)).await?;
    let function = Function::Own(&[("INDEX_PREFIX", "microservices-narrow")], 30);
    let flow = world.flow("narrow", FlowOptions { function, ..FlowOptions::default() }).await?;
    let records: Vec<NewRecord> =
        (0..300).map(|n| NewRecord::of(json!({format!("field{n}"): n, "n": n}).to_string())).collect();
    flow.publish(&records)?;
    let account = flow.completed(RECOVERY).await?;
    world.search.request(Method::DELETE, "_index_template/tests-narrow", None).await?;
    assert_eq!((account.records, account.indexed, account.dead_lettered), (300, 300, 0), "{account}");

    let mapped = mapped_fields(&world).await?;
    assert!((1..40).contains(&mapped.len()), "fields mapped before stay searchable: {mapped:?}");
    every_document_is_complete(&flow).await?;
    flow.finish().await
}

/// Names of the payloads' fields that the index maps.
async fn mapped_fields(world: &World) -> Result<Vec<String>> {
    let mappings = world.search.request(Method::GET, &format!("{INDICES}/_mapping"), None).await?;
    let indices = mappings.as_object().into_iter().flat_map(serde_json::Map::values);
    let fields = indices.filter_map(|index| index["mappings"]["properties"].as_object());
    Ok(fields.flat_map(serde_json::Map::keys).filter(|name| name.starts_with("field")).cloned().collect())
}

async fn every_document_is_complete(flow: &Flow) -> Result<()> {
    for document in flow.documents(INDICES).await? {
        let source = &document.source;
        let payload = if source["conflict"].is_null() { source } else { &source["conflict"] };
        let n = &payload["n"];
        assert_eq!(&payload[format!("field{n}")], n, "{source}");
    }
    Ok(())
}
