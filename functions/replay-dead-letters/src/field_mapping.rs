//! Mappings of single fields, and the component template that they make together.

use std::collections::BTreeMap;

use search_client::engine::Engine;
use serde_json::{Map, Value, json};

/// A change of the component template.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Change {
    /// The field with this dotted name gets this mapping.
    Field(String, FieldMapping),
    /// An index may have this many fields.
    FieldLimit(u64),
}

/// How a field is mapped. Each takes what those before it take, and more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FieldMapping {
    /// Numbers.
    Number,
    /// Any text.
    Text,
    /// Strings, numbers and booleans, found as a whole and by their words.
    Keyword,
    /// Objects.
    Flat,
    /// Anything, found by nothing.
    Stored,
}

/// Merges the changes into a component template, in the form of the body of `PUT _component_template`. A mapping that takes
/// more replaces one that takes less, and the mappings of the fields below it.
pub(crate) fn merged<'c>(engine: Engine, changes: impl IntoIterator<Item = &'c Change>) -> Option<Value> {
    let (mut fields, mut limit) = (BTreeMap::<&str, FieldMapping>::new(), None);
    for change in changes {
        match change {
            Change::Field(path, mapping) => {
                let known = fields.entry(path).or_insert(*mapping);
                *known = (*known).max(*mapping);
            }
            Change::FieldLimit(number) => limit = limit.max(Some(*number)),
        }
    }
    let is_below_another = |path: &str| {
        let parents = path.match_indices('.').filter_map(|(end, _)| fields.get(path.get(..end)?));
        parents.into_iter().any(|mapping| *mapping >= FieldMapping::Flat)
    };
    let properties: Map<String, Value> = fields
        .iter()
        .filter(|(path, _)| !is_below_another(path))
        .map(|(path, mapping)| ((*path).to_owned(), mapping.json(engine)))
        .collect();
    let mut template = Map::new();
    if !properties.is_empty() {
        template.insert("mappings".into(), json!({"properties": properties}));
    }
    if let Some(limit) = limit {
        template.insert("settings".into(), json!({"index.mapping.total_fields.limit": limit}));
    }
    (!template.is_empty()).then(|| json!({"template": template}))
}

impl FieldMapping {
    /// The mapping in the engine's terms.
    pub(crate) fn json(self, engine: Engine) -> Value {
        // OpenSearch always has `match_only_text`. Elasticsearch has it from 7.14 on, and not in every distribution.
        let text = if engine == Engine::OpenSearch { "match_only_text" } else { "text" };
        match self {
            Self::Number => json!({"type": "double", "coerce": false, "ignore_malformed": true,
                "fields": {"text": {"type": text}}}),
            Self::Text => {
                json!({"type": text, "fields": {"keyword": {"type": "keyword", "ignore_above": 256}}})
            }
            Self::Keyword => {
                json!({"type": "keyword", "ignore_above": 1024, "fields": {"text": {"type": text}}})
            }
            Self::Flat if engine == Engine::OpenSearch => json!({"type": "flat_object"}),
            // As the pipeline's own field `conflict`: a term has at most 32,766 bytes.
            Self::Flat => json!({"type": "flattened", "depth_limit": 100, "ignore_above": 8191}),
            Self::Stored => json!({"type": "object", "enabled": false}),
        }
    }

    /// Its type in the engine's terms.
    pub(crate) fn type_name(self, engine: Engine) -> String {
        self.json(engine).get("type").and_then(Value::as_str).unwrap_or_default().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_merged_to_one_template() {
        let changes = [
            Change::Field("a.b".into(), FieldMapping::Keyword),
            Change::Field("c".into(), FieldMapping::Keyword),
            Change::Field("a".into(), FieldMapping::Keyword),
            Change::Field("a".into(), FieldMapping::Stored),
            Change::Field("ab.c".into(), FieldMapping::Flat),
            Change::FieldLimit(2000),
        ];
        let expected = json!({"template": {
            "mappings": {"properties": {
                "a": {"type": "object", "enabled": false},
                "ab.c": {"type": "flat_object"},
                "c": {"type": "keyword", "ignore_above": 1024, "fields": {"text": {"type": "match_only_text"}}},
            }},
            "settings": {"index.mapping.total_fields.limit": 2000},
        }});
        assert_eq!(merged(Engine::OpenSearch, &changes), Some(expected));
        assert_eq!(merged(Engine::OpenSearch, &[]), None);
    }

    #[test]
    fn elasticsearch_gets_its_own_terms() {
        assert_eq!(
            FieldMapping::Keyword.json(Engine::Elasticsearch)["fields"],
            json!({"text": {"type": "text"}})
        );
        assert_eq!(FieldMapping::Flat.type_name(Engine::Elasticsearch), "flattened");
    }
}
