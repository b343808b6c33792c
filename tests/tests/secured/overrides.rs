//! Mappings of the user's own in place of the template's, on each search engine.

use anyhow::{Result, ensure};
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::servers::{ELASTICSEARCH, Server};
use crate::shapes::{Mapping, SERVERS, Shapes};

/// A field for each kind that the template maps by name or by type. `infra/search/tests/test_templates.py` checks that there is
/// one for each dynamic template.
const PAYLOAD_FIELDS: &str = include_str!("../../fixtures/payload-fields.json");

/// Puts the component template that is the user's own; returns the cluster's status and words.
async fn put_custom(server: &Server, prefix: &str, mappings: &Value) -> Result<(u16, String)> {
    let path = format!("_component_template/{prefix}-custom");
    let body = json!({"template": {"mappings": mappings}});
    let response = server.send(server.administrator(), Method::PUT, &path, Some(&body)).await?;
    Ok((response.status, response.body.to_string()))
}

/// Indexes a document in a new index of the prefix.
async fn index(server: &Server, prefix: &str, document: &Value) -> Result<()> {
    let path = format!("{prefix}-2026.11.28/_doc/1?refresh=true");
    server.request(Method::PUT, &path, Some(document)).await.map(drop)
}

async fn count(server: &Server, prefix: &str, query: &Value) -> Result<Value> {
    let path = format!("{prefix}-2026.11.28/_search");
    let found = server.request(Method::POST, &path, Some(&json!({"size": 0, "query": query}))).await?;
    Ok(found["hits"]["total"]["value"].clone())
}

#[tokio::test]
async fn the_users_own_mapping_of_any_payload_field_wins_on_every_engine() -> Result<()> {
    let fields: Map<String, Value> = serde_json::from_str(PAYLOAD_FIELDS)?;
    let own = [
        (json!({"type": "integer"}), json!(7), json!({"gt": 6, "lt": 8})),
        (
            json!({"type": "date"}),
            json!("2026-11-24T10:00:00Z"),
            json!({"gte": "2026-11-24||/d", "lte": "2026-11-24||/d"}),
        ),
    ];
    let prefix = "override";
    for (name, mapping) in SERVERS {
        let server = Server::find(name).await?;
        Shapes::provision(&server, prefix, mapping).await?;
        for (field_mapping, value, range) in &own {
            let shapes = Shapes::fresh(&server, prefix.to_owned()).await?;
            let properties: Map<String, Value> =
                fields.keys().map(|field| (field.clone(), field_mapping.clone())).collect();
            let (status, words) = put_custom(&server, prefix, &json!({"properties": properties})).await?;
            ensure!(status == 200, "{name}: {words}");
            let mut document: Map<String, Value> =
                fields.keys().map(|field| (field.clone(), value.clone())).collect();
            document.insert("@timestamp".into(), json!("2026-11-28T00:00:00.000Z"));
            index(&server, prefix, &Value::Object(document)).await?;
            for field in fields.keys() {
                let mut ranges = Map::new();
                ranges.insert(field.clone(), range.clone());
                let n_found = count(&server, prefix, &json!({"range": ranges})).await?;
                ensure!(n_found == 1, "{name}: {n_found} found in `{field}` as {field_mapping}");
            }
            shapes.remove().await?;
        }
        put_custom(&server, prefix, &json!({})).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_nested_field_needs_objects_on_elasticsearch() -> Result<()> {
    let (server, prefix) = (Server::find(ELASTICSEARCH).await?, "nested-override");
    Shapes::provision(&server, prefix, Mapping::Leaves).await?;
    let shapes = Shapes::fresh(&server, prefix.to_owned()).await?;
    let mut own = json!({"properties": {"items": {"type": "nested"}}});
    let (status, words) = put_custom(&server, prefix, &own).await?;
    ensure!(status == 400 && words.contains("does not support subobjects"), "{status}: {words}");

    own["subobjects"] = json!(true);
    let (status, words) = put_custom(&server, prefix, &own).await?;
    ensure!(status == 200, "{words}");
    let document =
        json!({"items": [{"sku": 1, "name": "pen"}, {"sku": 2, "name": "ink"}], "trace": {"id": "t"}});
    index(&server, prefix, &document).await?;
    for (sku, n_expected) in [(1, 1), (2, 0)] {
        let both = json!([{"term": {"items.sku": sku}}, {"match": {"items.name": "pen"}}]);
        let query = json!({"nested": {"path": "items", "query": {"bool": {"filter": both}}}});
        ensure!(count(&server, prefix, &query).await? == n_expected, "a pen of number {sku}");
    }
    ensure!(count(&server, prefix, &json!({"term": {"trace.id": "t"}})).await? == 1, "its trace");
    put_custom(&server, prefix, &json!({})).await?;
    shapes.remove().await
}
