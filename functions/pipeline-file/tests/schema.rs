//! The schema for editors takes the files that the parser takes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use pipeline_file::{NoScripts, parse};
use serde_json::Value;

/// Whether both take a file with one rule, which has these lines besides its topics.
const RULES: [(&str, bool); 72] = [
    ("", true),
    ("index: payments", true),
    ("index: 'p-{topic}'", true),
    ("index: 'p-{service}-x'", true),
    ("index: 'p-{header.Tenant-Id|none}'", true),
    ("index: 'p-{payload.a.b}'", true),
    ("index: 'p-{payload.a|x}-{topic}.y'", true),
    ("index: 'p_a.b-c'", true),
    ("index: é", true),
    ("index: '{topic}'", false),
    ("index: Payments", false),
    ("index: _p", false),
    ("index: '-p'", false),
    ("index: 'a b'", false),
    ("index: 'p-{topic'", false),
    ("index: 'p-topic}'", false),
    ("index: 'p-{tenant}'", false),
    ("index: 'p-{header.}'", false),
    ("index: 'p-{payload.a|}'", false),
    ("index: 'p-{payload.a|X}'", false),
    ("index: 'p-{topic|x}'", false),
    ("index: 3", false),
    ("index: ''", false),
    ("index: [a]", false),
    ("timestamp_fields: [a, b]", true),
    ("timestamp_fields: []", true),
    ("timestamp_fields: a", false),
    ("timestamp_fields: [1]", false),
    ("timestamp_fields: ['']", false),
    ("timestamp_zone: Europe/Paris", true),
    ("timestamp_zone: 2", false),
    ("format: json-schema", true),
    ("format: xml", false),
    ("format: Avro", false),
    ("key_format: uuid", true),
    ("key_format: auto", false),
    ("compression: zstd", true),
    ("compression: lz4", false),
    ("unwrap: none", true),
    ("unwrap: true", false),
    ("header_fields: [tenant]", true),
    ("header_fields: {a: b}", false),
    ("drop: true", true),
    ("drop: false", true),
    ("drop: yes", false),
    ("drop: 1", false),
    ("sample: 0", true),
    ("sample: 1", true),
    ("sample: 0.25", true),
    ("sample: 1.5", false),
    ("sample: -0.1", false),
    ("sample: '0.1'", false),
    ("sample: null", false),
    ("remove: [a, a.b, 'a b.c d']", true),
    ("remove: [a..b]", false),
    ("remove: ['.a']", false),
    ("remove: ['a.']", false),
    ("remove: ['a[0]']", false),
    ("remove: ['a.*']", false),
    ("remove: [a, a]", false),
    ("remove: ['']", false),
    ("parse_json: [a]", true),
    ("parse_json: a", false),
    ("hash: {a.b: my/salt}", true),
    ("hash: {a: 'arn:aws:secretsmanager:eu-central-1:1:secret:s-AbC'}", true),
    ("hash: {a: 'a b'}", false),
    ("hash: {a..b: s}", false),
    ("hash: [a]", false),
    ("transform: .a = 1", true),
    ("transform: ' '", false),
    ("on_error: index", true),
    ("on_error: drop", false),
];

/// Whether both take a file.
const FILES: [(&str, bool); 17] = [
    ("", true),
    ("topics: []", true),
    ("max_indices: 1000", true),
    ("max_indices: 0", false),
    ("max_indices: 1001", false),
    ("max_indices: 1.5", false),
    ("max_indices: many", false),
    ("topics: {}", false),
    ("topics: [a]", false),
    ("topics: [{}]", false),
    ("topics: [{match: a.*}]", true),
    ("topics: [{match: '*'}]", true),
    ("topics: [{match: 'a/b'}]", false),
    ("topics: [{match: ''}]", false),
    ("topics: [{match: 7}]", false),
    ("topic: []", false),
    ("[]", false),
];

#[test]
fn the_schema_takes_the_files_that_the_parser_takes() {
    let schema: Value = serde_json::from_str(include_str!("../../../infra/pipeline.schema.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let files = RULES.map(|(line, is_good)| (format!("topics:\n- match: a\n  {line}\n"), is_good));
    let files = files.into_iter().chain(FILES.map(|(text, is_good)| (text.to_owned(), is_good)));
    for (text, is_good) in files {
        let parsed = parse(&text, &NoScripts);
        let value: Value = serde_yaml_ng::from_str(&text).unwrap();
        assert_eq!((parsed.is_ok(), validator.is_valid(&value)), (is_good, is_good), "{text}: {parsed:?}");
    }
}

#[test]
fn the_schema_takes_the_file_that_is_shipped() {
    let schema: Value = serde_json::from_str(include_str!("../../../infra/pipeline.schema.json")).unwrap();
    let file: Value = serde_yaml_ng::from_str(include_str!("../../../infra/pipeline.yaml")).unwrap();
    assert!(jsonschema::validator_for(&schema).unwrap().is_valid(&file));
}
