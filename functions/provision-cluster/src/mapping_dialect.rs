//! Translates the mapping of the daily indices, written for OpenSearch, into what other products and versions take.

use search_client::engine::Engine;
use serde_json::{Map, Value};

use crate::product::Product;

/// Type of the full-text fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextType {
    /// Smaller than `text`: without positions and scores. OpenSearch from 2.12, Elasticsearch from 7.14.
    MatchOnlyText,
    /// Known to every cluster.
    Text,
}

impl TextType {
    /// What a product of this version has.
    pub(crate) fn of(product: Product) -> Self {
        if product.is_opensearch_from(2, 12) || product.is_elasticsearch_from(7, 14) {
            Self::MatchOnlyText
        } else {
            Self::Text
        }
    }
}

/// Deepest that Elasticsearch indexes inside of a `flattened` field; its default is 20.
const FLATTENED_DEPTH: u32 = 100;
/// Longest value that a `flattened` field indexes, in characters: a term has at most 32,766 bytes.
const FLATTENED_IGNORE_ABOVE: u32 = 8191;

/// Whether the product maps leaves without objects, so that a name can be an object in one event and a value in another:
/// `subobjects: false` at the root,
/// <https://www.elastic.co/docs/reference/elasticsearch/mapping-reference/subobjects>.
///
/// OpenSearch's `disable_objects` is not used: 3.6.0 rejects a document with an array of values inside of an object
/// (`{"order":{"tags":["a"]}}`) under it.
pub(crate) fn maps_without_objects(product: Product) -> bool {
    product.is_elasticsearch_from(8, 3)
}

/// Translates the mapping of the daily indices or of the dead letters.
pub(crate) fn translate(mappings: &mut Value, product: Product) {
    visit(mappings, &mut |field| {
        if is_type(field, "flat_object") {
            replace_flat_object(field, product);
        }
    });
    // Only the daily indices take fields that are not known in advance.
    if maps_without_objects(product)
        && let Some(mappings) = mappings.as_object_mut()
        && mappings.contains_key("dynamic_templates")
    {
        map_leaves_alone(mappings);
    }
    if TextType::of(product) == TextType::Text {
        replace_match_only_text(mappings);
    }
}

/// Replaces the type `match_only_text` by `text`. Returns whether there was one.
pub(crate) fn replace_match_only_text(template: &mut Value) -> bool {
    let mut replaced = false;
    visit(template, &mut |field| {
        if is_type(field, "match_only_text") {
            field.insert("type".into(), "text".into());
            field.insert("norms".into(), false.into());
            replaced = true;
        }
    });
    replaced
}

fn is_type(field: &Map<String, Value>, name: &str) -> bool {
    field.get("type").and_then(Value::as_str) == Some(name)
}

/// Calls `change` for every JSON object in `value`, the inner ones first.
fn visit(value: &mut Value, change: &mut impl FnMut(&mut Map<String, Value>)) {
    match value {
        Value::Object(members) => {
            members.values_mut().for_each(|member| visit(member, change));
            change(members);
        }
        Value::Array(elements) => elements.iter_mut().for_each(|element| visit(element, change)),
        _ => {}
    }
}

/// What OpenSearch calls `flat_object` is `flattened` in Elasticsearch from 7.3 on; before that it is only stored.
fn replace_flat_object(field: &mut Map<String, Value>, product: Product) {
    if product.is_elasticsearch_from(7, 3) {
        field.insert("type".into(), "flattened".into());
        field.insert("depth_limit".into(), FLATTENED_DEPTH.into());
        field.insert("ignore_above".into(), FLATTENED_IGNORE_ABOVE.into());
    } else if product.engine == Engine::Elasticsearch {
        field.insert("type".into(), "object".into());
        field.insert("enabled".into(), false.into());
    }
}

/// Maps leaves without objects.
fn map_leaves_alone(mappings: &mut Map<String, Value>) {
    if let Some(properties) = mappings.get_mut("properties").and_then(Value::as_object_mut) {
        let mut leaves = Map::new();
        append_leaves("", std::mem::take(properties), &mut leaves);
        *properties = leaves;
    }
    mappings.insert("subobjects".into(), false.into());
}

/// Appends the fields of `properties` by their dotted names, without the objects around them.
fn append_leaves(prefix: &str, properties: Map<String, Value>, leaves: &mut Map<String, Value>) {
    for (name, mut field) in properties {
        let name = format!("{prefix}{name}");
        match field.get_mut("properties").map(Value::take) {
            Some(Value::Object(inner)) => append_leaves(&format!("{name}."), inner, leaves),
            _ if field.get("type").and_then(Value::as_str) == Some("object") => {}
            _ => {
                leaves.insert(name, field);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use search_client::engine::Version;
    use serde_json::json;

    use super::*;

    fn translated(engine: Engine, version: &str) -> Value {
        let mut mappings = json!({
            "dynamic_templates": [
                {"strings": {"match_mapping_type": "string", "mapping": {
                    "type": "match_only_text", "fields": {"keyword": {"type": "keyword"}}}}},
                {"integers": {"match_mapping_type": "long", "mapping": {"type": "double"}}},
            ],
            "properties": {
                "trace": {"properties": {"id": {"type": "keyword"}}},
                "original": {"type": "object"},
                "conflict": {"type": "flat_object"},
            },
        });
        translate(&mut mappings, Product { engine, version: Version::parse(version) });
        mappings
    }

    #[test]
    fn a_current_elasticsearch_maps_leaves_without_objects() {
        let expected = json!({
            "subobjects": false,
            "dynamic_templates": [
                {"strings": {"match_mapping_type": "string", "mapping": {
                    "type": "match_only_text", "fields": {"keyword": {"type": "keyword"}}}}},
                {"integers": {"match_mapping_type": "long", "mapping": {"type": "double"}}},
            ],
            "properties": {
                "trace.id": {"type": "keyword"},
                "conflict": {"type": "flattened", "depth_limit": 100, "ignore_above": 8191},
            },
        });
        assert_eq!(translated(Engine::Elasticsearch, "8.19.21"), expected);
    }

    #[test]
    fn opensearch_keeps_objects() {
        let mappings = translated(Engine::OpenSearch, "3.6.0");
        assert_eq!(mappings.get("subobjects"), None);
        assert_eq!(mappings["properties"]["conflict"], json!({"type": "flat_object"}));
    }

    #[test]
    fn old_versions_get_types_that_they_know() {
        let string = |mappings: &Value| mappings["dynamic_templates"][0]["strings"]["mapping"].clone();
        let text = json!({"type": "text", "norms": false, "fields": {"keyword": {"type": "keyword"}}});
        assert_eq!(string(&translated(Engine::OpenSearch, "2.11.0")), text);
        let mappings = translated(Engine::Elasticsearch, "6.8.23");
        assert_eq!(string(&mappings), text);
        assert_eq!(mappings["properties"]["conflict"], json!({"type": "object", "enabled": false}));
        assert_eq!(mappings["properties"]["trace"], json!({"properties": {"id": {"type": "keyword"}}}));
    }
}
