//! Validates JSON by a JSON Schema of a registry.

use jsonschema::{Draft, Registry, Validator};
use record_formats::schema::SchemaSource;
use reqwest::Url;
use serde_json::Value;

/// The base of schemas without an `$id`, against which the names of references are resolved.
const DEFAULT_BASE: &str = "json-schema:///";

/// A schema that is ready to validate.
#[derive(Debug)]
pub struct JsonSchema(Validator);

/// Why a schema can't be used, or a value doesn't fit it.
#[derive(Debug, thiserror::Error)]
pub enum JsonSchemaError {
    /// The schema or one that it refers to is no JSON.
    #[error("the schema, or one that it refers to, is not JSON")]
    Text(#[from] serde_json::Error),
    /// It refers to what it does not name, or is no schema.
    #[error("the schema can't be used: {0}")]
    Schema(String),
    /// The value is no JSON.
    #[error("the value is not JSON")]
    NotJson,
    /// The value doesn't fit the schema.
    #[error("at `{path}`: {error}")]
    Invalid {
        /// JSON pointer of the part that doesn't fit.
        path: String,
        /// What is wrong, without the value itself.
        error: String,
    },
}

impl JsonSchema {
    /// Compiles a schema with its references. A schema that does not say its draft is of draft 7, as for Confluent's serializers.
    ///
    /// # Errors
    /// When it can't be used. Nothing is fetched.
    pub fn compile(source: &SchemaSource) -> Result<Self, JsonSchemaError> {
        let schema: Value = serde_json::from_str(&source.text)?;
        let unusable = |error: &dyn std::fmt::Display| JsonSchemaError::Schema(error.to_string());
        let base = schema.get("$id").or_else(|| schema.get("id")).and_then(Value::as_str);
        let bases = [Some(DEFAULT_BASE), base];
        let bases: Vec<Url> = bases.into_iter().flatten().filter_map(|base| Url::parse(base).ok()).collect();
        let mut references = Registry::new().draft(Draft::Draft7);
        for reference in &source.references {
            let text: Value = serde_json::from_str(&reference.text)?;
            for base in &bases {
                let Ok(uri) = base.join(&reference.name) else { continue };
                references = references.add(uri.as_str(), text.clone()).map_err(|error| unusable(&error))?;
            }
        }
        let references = references.prepare().map_err(|error| unusable(&error))?;
        let mut options = jsonschema::options().offline().with_registry(&references);
        if schema.get("$schema").is_none() {
            options = options.with_draft(Draft::Draft7);
        }
        options.build(&schema).map(Self).map_err(|error| unusable(&error))
    }

    /// Checks a value.
    ///
    /// # Errors
    /// When it is no JSON, or does not fit.
    pub fn validate(&self, json: &[u8]) -> Result<(), JsonSchemaError> {
        let value: Value = serde_json::from_slice(json).map_err(|_| JsonSchemaError::NotJson)?;
        self.0.validate(&value).map_err(|error| JsonSchemaError::Invalid {
            path: error.instance_path().to_string(),
            error: error.masked().to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use record_formats::schema::{Reference, SchemaType};

    use super::*;

    fn source(text: &str, references: &[(&str, &str)]) -> SchemaSource {
        let reference =
            |(name, text): &(&str, &str)| Reference { name: (*name).into(), text: (*text).into() };
        SchemaSource {
            schema_type: SchemaType::Json,
            text: text.into(),
            references: references.iter().map(reference).collect(),
        }
    }

    const ORDER: &str =
        r#"{"type": "object", "properties": {"total": {"type": "number"}}, "required": ["order_id"]}"#;

    #[test]
    fn a_value_that_does_not_fit_says_where_and_not_what() {
        let schema = JsonSchema::compile(&source(ORDER, &[])).unwrap();
        schema.validate(br#"{"order_id": 1, "total": 2.5}"#).unwrap();
        let error = |json: &[u8]| schema.validate(json).unwrap_err().to_string();
        assert_eq!(
            error(br#"{"order_id": 1, "total": "hush"}"#),
            r#"at `/total`: value is not of type "number""#
        );
        assert_eq!(error(br#"{"total": 1}"#), r#"at ``: "order_id" is a required property"#);
        assert_eq!(error(b"{"), "the value is not JSON");
    }

    #[test]
    fn a_reference_is_resolved_against_the_schemas_own_id() {
        let item = r#"{"type": "object", "required": ["sku"]}"#;
        for id in ["", r#""$id": "https://example.com/schemas/order.json","#] {
            let text = format!(r#"{{{id} "properties": {{"item": {{"$ref": "item.json"}}}}}}"#);
            let schema = JsonSchema::compile(&source(&text, &[("item.json", item)])).unwrap();
            schema.validate(br#"{"item": {"sku": 1}}"#).unwrap();
            assert!(schema.validate(br#"{"item": {}}"#).is_err(), "{id}");
        }
    }

    #[test]
    fn what_is_not_among_the_references_is_not_fetched() {
        let text = r#"{"$ref": "http://127.0.0.1:1/order.json"}"#;
        assert!(matches!(JsonSchema::compile(&source(text, &[])), Err(JsonSchemaError::Schema(_))));
        assert!(matches!(JsonSchema::compile(&source("{", &[])), Err(JsonSchemaError::Text(_))));
    }

    #[test]
    fn a_schema_that_names_no_draft_is_of_draft_7() {
        // In later drafts `items` takes no list, and `dependencies` is no keyword.
        let text = r#"{"dependencies": {"a": ["b"]}}"#;
        let schema = JsonSchema::compile(&source(text, &[])).unwrap();
        assert!(schema.validate(br#"{"a": 1}"#).is_err());
    }
}
