//! Tables of records and the exact JSON that they become, for every type and its edges: `tables/avro.yaml`, `tables/protobuf.yaml`.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use std::collections::{BTreeMap, HashSet};

use record_formats::notes::Notes;
use record_formats::schema::SchemaType;
use serde::Deserialize;

use crate::support::{compile, decode};

/// A row of a table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    schema: String,
    /// The texts of imports by their paths.
    #[serde(default)]
    references: BTreeMap<String, String>,
    /// In hex, with or without white space.
    #[serde(alias = "fastavro")]
    bytes: String,
    json: Option<String>,
    error: Option<String>,
    schema_error: Option<String>,
    #[serde(default)]
    non_finite: u32,
    #[serde(default)]
    duplicate_keys: u32,
    #[serde(default)]
    unknown_fields: u32,
    #[serde(default)]
    unknown_types: u32,
    /// Why it is not what Protobuf's JSON mapping says; read by people alone.
    #[serde(rename = "differs")]
    _differs: Option<String>,
}

impl Row {
    fn body(&self) -> Vec<u8> {
        let digits: Vec<u32> = self.bytes.chars().filter_map(|digit| digit.to_digit(16)).collect();
        let n_written = self.bytes.chars().filter(|it| !it.is_whitespace()).count();
        assert!(digits.len() == n_written && n_written.is_multiple_of(2), "{}: hex", self.name);
        digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
    }

    fn expected(&self) -> Result<(String, Notes), String> {
        match (&self.json, &self.error, &self.schema_error) {
            (Some(json), None, None) => {
                let notes = Notes {
                    n_non_finite: self.non_finite,
                    n_duplicate_keys: self.duplicate_keys,
                    n_unknown_fields: self.unknown_fields,
                    n_unknown_types: self.unknown_types,
                };
                Ok((json.clone(), notes))
            }
            (None, Some(error), None) | (None, None, Some(error)) => Err(error.clone()),
            _ => panic!("{}: one of JSON and the errors", self.name),
        }
    }

    fn written(&self, schema_type: SchemaType) -> Result<(String, Notes), String> {
        let references: Vec<(&str, &str)> =
            self.references.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let schema = compile(schema_type, &self.schema, &references).map_err(|error| error.to_string())?;
        decode(&schema, &self.body()).map_err(|error| error.to_string())
    }
}

/// Compares all rows of a table, and shows every one that differs.
fn check(table: &str, schema_type: SchemaType) {
    let rows: Vec<Row> = serde_yaml_ng::from_str(table).unwrap();
    assert!(rows.len() > 100, "the table is there");
    let mut names = HashSet::new();
    let mut differences = String::new();
    for row in &rows {
        assert!(names.insert(&row.name), "two rows are called {}", row.name);
        let (expected, written) = (row.expected(), row.written(schema_type));
        if let Ok((json, _)) = &written {
            serde_json::from_str::<serde_json::Value>(json)
                .unwrap_or_else(|error| panic!("{}: {error}", row.name));
        }
        if written != expected {
            differences += &format!("{}\n  expected {expected:?}\n  written  {written:?}\n", row.name);
        }
    }
    assert!(differences.is_empty(), "{differences}");
}

#[test]
fn every_avro_type_and_its_edges_have_the_json_of_the_table() {
    check(include_str!("tables/avro.yaml"), SchemaType::Avro);
}

#[test]
fn every_protobuf_type_and_its_edges_have_the_json_of_the_table() {
    check(include_str!("tables/protobuf.yaml"), SchemaType::Protobuf);
}
