//! Records that a schema, a number's serializer, compression, CloudEvents or Debezium wrapped up become the documents of the
//! same records in JSON.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::Arc;

use base64_simd::STANDARD;
use event_pipeline::decoder::KnownSchemas;
use event_pipeline::encoder::Encoder;
use event_pipeline::encoding::Routing;
use event_pipeline::event::{RecordError, read_batch};
use event_pipeline::formats::{
    ByTopic, Formats, KeyFormat, SchemaFailures, Unwrap, ValueCompression, ValueFormat,
};
use event_pipeline::rescue::{Rescue, RescueForm};
use event_pipeline::restore::restore;
use event_pipeline::settings::Settings;
use record_formats::frame::SchemaId;
use record_formats::schema::{Schema, SchemaSource, SchemaType};
use serde_json::{Value, json};

const AVRO: &str = r#"{"type":"record","name":"O","fields":[
    {"name":"orderId","type":"string"},{"name":"total","type":"double"},{"name":"service","type":["null","string"]}]}"#;
const JSON: &[u8] = br#"{"orderId":"O-1","total":1.5,"service":"shop"}"#;

fn frame(id: u32, body: &[u8]) -> Vec<u8> {
    [&[0][..], &id.to_be_bytes(), body].concat()
}

/// The event of `JSON` as Avro.
fn avro() -> Vec<u8> {
    [b"\x06O-1".as_slice(), &1.5_f64.to_le_bytes(), b"\x02\x08shop"].concat()
}

fn schema(schema_type: SchemaType, text: &str) -> Arc<Schema> {
    let source = SchemaSource { schema_type, text: text.into(), references: Vec::new() };
    Arc::new(Schema::compile(&source).unwrap())
}

fn registry() -> Option<Arc<KnownSchemas>> {
    let mut known: KnownSchemas = HashMap::new();
    known.insert(SchemaId::Confluent(7), Ok(schema(SchemaType::Avro, AVRO)));
    known.insert(SchemaId::Confluent(8), Ok(schema(SchemaType::Json, "{}")));
    known.insert(SchemaId::Confluent(9), Err("the registry has no schema 9".into()));
    known.insert(SchemaId::Confluent(10), Ok(schema(SchemaType::Avro, r#""string""#)));
    known.insert(
        SchemaId::Confluent(11),
        Ok(schema(SchemaType::Protobuf, r#"syntax = "proto3"; message K { int32 id = 1; }"#)),
    );
    known.insert(SchemaId::ConfluentGuid([1; 16]), Ok(schema(SchemaType::Avro, AVRO)));
    Some(Arc::new(known))
}

#[derive(Default)]
struct Case {
    formats: Formats,
    schemas: Option<Arc<KnownSchemas>>,
    headers: Vec<(&'static str, Vec<u8>)>,
    key: Option<Vec<u8>>,
    more: Value,
}

impl Case {
    fn event(&self, value: &[u8]) -> Vec<u8> {
        let headers: Vec<_> = self.headers.iter().map(|(name, bytes)| json!({*name: bytes})).collect();
        let mut record = json!({"topic": "order.events", "partition": 1, "offset": 7, "timestamp": 1_795_827_846_251_i64,
            "value": STANDARD.encode_to_string(value), "headers": headers});
        if let Some(key) = &self.key {
            record["key"] = STANDARD.encode_to_string(key).into();
        }
        for (name, value) in self.more.as_object().into_iter().flatten() {
            record[name] = value.clone();
        }
        serde_json::to_vec(&json!({"records": {"order.events-1": [record]}})).unwrap()
    }

    fn encoder(&self) -> Encoder {
        let settings = Settings { formats: self.formats.clone(), ..Settings::default() };
        Encoder::new(settings).with_schemas(self.schemas.clone())
    }

    fn document(&self, value: &[u8]) -> Value {
        let event = self.event(value);
        let batch = read_batch(&event).unwrap();
        let mut body = Vec::new();
        self.encoder().append(batch[0].record.as_ref().unwrap(), &mut body).unwrap().document().unwrap();
        serde_json::from_slice(body.split(|byte| *byte == b'\n').nth(1).unwrap()).unwrap()
    }

    fn error(&self, value: &[u8]) -> (RecordError, Encoder) {
        let event = self.event(value);
        let batch = read_batch(&event).unwrap();
        let (mut encoder, mut body) = (self.encoder(), b"before".to_vec());
        let error = encoder.append(batch[0].record.as_ref().unwrap(), &mut body).unwrap_err();
        assert_eq!(body, b"before", "nothing is appended");
        (error, encoder)
    }
}

fn with_registry() -> Case {
    Case { schemas: registry(), ..Case::default() }
}

/// The document without what only a framed record's has.
fn without(mut document: Value, names: &[&str]) -> Value {
    for name in names {
        document.as_object_mut().unwrap().remove(*name);
    }
    document
}

#[test]
fn a_record_in_a_frame_is_the_document_of_its_json() {
    let expected = Case::default().document(JSON);
    let cases = [
        ("7", with_registry(), frame(7, &avro())),
        ("8", with_registry(), frame(8, JSON)),
        (
            "01010101-0101-0101-0101-010101010101",
            Case { headers: vec![("__value_schema_id", vec![1; 17])], ..with_registry() },
            avro(),
        ),
    ];
    for (id, case, value) in cases {
        let document = case.document(&value);
        assert_eq!(document["kafka_schema_id"], id);
        assert_eq!(without(document, &["kafka_schema_id"]), expected, "{id}");
    }
}

#[test]
fn a_record_whose_schema_is_not_known_yet_names_it() {
    let (error, encoder) = with_registry().error(&frame(5, &avro()));
    assert_eq!(
        (error, encoder.missing_schemas()),
        (RecordError::MissingSchema, &[SchemaId::Confluent(5)][..])
    );
    let key = ByTopic::all(KeyFormat::Avro);
    let case =
        Case { formats: Formats { key, ..Formats::default() }, key: Some(frame(6, b"x")), ..with_registry() };
    let (_, encoder) = case.error(&frame(5, &avro()));
    assert_eq!(encoder.missing_schemas(), [SchemaId::Confluent(5), SchemaId::Confluent(6)]);
}

#[test]
fn bytes_that_cannot_be_decoded_are_kept_with_the_reason() {
    for (value, reason) in [
        (frame(9, b"x"), "the registry has no schema 9"),
        (frame(7, &avro()[..9]), "the bytes do not fit the schema 7: "),
        (frame(7, &[&avro()[..], b"x"].concat()), "the bytes do not fit the schema 7: "),
    ] {
        let document = with_registry().document(&value);
        assert_eq!(document["message_base64"], STANDARD.encode_to_string(&value));
        assert_eq!(document["tags"], json!(["_schemafailure"]));
        assert!(document["schema_failure"].as_str().unwrap().starts_with(reason), "{document}");
        let formats = Formats { failures: SchemaFailures::DeadLetter, ..Formats::default() };
        let (error, encoder) = Case { formats, ..with_registry() }.error(&value);
        assert_eq!(error, RecordError::SchemaFailure);
        assert!(encoder.schema_failure().unwrap().starts_with(reason));
    }
}

#[test]
fn a_topics_format_counts_more_than_the_first_bytes() {
    let formats = |text: &str| Formats {
        value: ByTopic::parse(
            text,
            ValueFormat::Auto,
            &[
                ("avro", ValueFormat::Avro),
                ("json", ValueFormat::Json),
                ("text", ValueFormat::Text),
                ("json-schema", ValueFormat::JsonSchema),
            ],
        )
        .unwrap(),
        ..Formats::default()
    };
    let document = |text, value: &[u8]| Case { formats: formats(text), ..with_registry() }.document(value);
    let plain = Case::default();
    assert_eq!(document("order.*=json", &frame(7, &avro())), plain.document(&frame(7, &avro())));
    let text = document("text", JSON);
    assert_eq!((text["message"].as_str(), &text["tags"]), (std::str::from_utf8(JSON).ok(), &Value::Null));
    let not_framed = document("avro", JSON);
    assert!(not_framed["schema_failure"].as_str().unwrap().contains("in no frame"), "{not_framed}");
    let mismatch = document("avro", &frame(8, JSON));
    assert!(mismatch["schema_failure"].as_str().unwrap().contains("is JSON"), "{mismatch}");
    // JSON can be read without its schema.
    let case = Case { formats: formats("json-schema"), ..Case::default() };
    assert_eq!(without(case.document(&frame(99, JSON)), &["kafka_schema_id"]), plain.document(JSON));
    assert_eq!(case.document(JSON), plain.document(JSON));
}

#[test]
fn without_a_registry_every_value_is_as_it_was_and_framed_ones_are_counted() {
    let json = Case {
        formats: Formats { value: ByTopic::all(ValueFormat::Json), ..Formats::default() },
        ..Case::default()
    };
    for (value, n) in [
        (frame(7, &avro()), 1),
        (42_i64.to_be_bytes().to_vec(), 0),
        (vec![0], 0),
        (b"\x03\x00\xff".to_vec(), 0),
    ] {
        let case = Case::default();
        assert_eq!(case.document(&value), json.document(&value));
        let event = case.event(&value);
        let batch = read_batch(&event).unwrap();
        let mut encoder = case.encoder();
        encoder.append(batch[0].record.as_ref().unwrap(), &mut Vec::new()).unwrap().document().unwrap();
        assert_eq!(encoder.n_unread_frames(), n, "{value:?}");
    }
}

#[test]
fn what_the_mapping_decoded_keeps_its_schema_id() {
    let metadata = json!({"valueSchemaMetadata": {"dataFormat": "AVRO", "schemaId": "7"},
        "keySchemaMetadata": {"dataFormat": "AVRO", "schemaId": 10}});
    let case = || Case { more: metadata.clone(), key: Some(b"\"k\"".to_vec()), ..Case::default() };
    let document = case().document(JSON);
    assert_eq!((&document["kafka_schema_id"], &document["kafka_key_schema_id"]), (&json!("7"), &json!("10")));
    assert_eq!(document["orderId"], "O-1");
    // With EventRecordFormat SOURCE the value is Avro, without its frame.
    let source = Case { schemas: registry(), ..case() }.document(&avro());
    assert_eq!(source, document);
}

#[test]
fn keys_are_text() {
    for (format, key, expected) in [
        (KeyFormat::Long, 42_i64.to_be_bytes().to_vec(), Ok("42")),
        (KeyFormat::Int, (-1_i32).to_be_bytes().to_vec(), Ok("-1")),
        (KeyFormat::Uuid, vec![1; 16], Ok("01010101-0101-0101-0101-010101010101")),
        (KeyFormat::Json, b"{ \"id\" : [1, \"a b\"] }".to_vec(), Ok(r#"{"id":[1,"a b"]}"#)),
        (KeyFormat::Avro, frame(10, b"\x04ab"), Ok("ab")),
        (KeyFormat::Avro, frame(7, &avro()), Ok(r#"{"orderId":"O-1","total":1.5,"service":"shop"}"#)),
        (KeyFormat::Long, b"no".to_vec(), Err("key: the key is no Long")),
        (KeyFormat::Json, b"no".to_vec(), Err("key: the key is not JSON")),
        (KeyFormat::Avro, b"no".to_vec(), Err("key: the bytes are in no frame")),
    ] {
        let formats = Formats { key: ByTopic::all(format), ..Formats::default() };
        let document = Case { formats, key: Some(key.clone()), ..with_registry() }.document(JSON);
        match expected {
            Ok(text) => assert_eq!(document["kafka_key"], text, "{format:?}"),
            Err(reason) => {
                assert_eq!(document["kafka_key_base64"], STANDARD.encode_to_string(&key));
                assert_eq!(document["tags"], json!(["_schemafailure"]));
                assert!(document["schema_failure"].as_str().unwrap().starts_with(reason), "{document}");
            }
        }
    }
    let formats = Formats { key: ByTopic::all(KeyFormat::Base64), ..Formats::default() };
    let document = Case { formats, key: Some(b"text".to_vec()), ..Case::default() }.document(JSON);
    assert_eq!((&document["kafka_key"], &document["kafka_key_base64"]), (&Value::Null, &json!("dGV4dA==")));
}

#[test]
fn what_a_key_cannot_say_is_a_tag_as_of_a_value() {
    let without_a_number = [b"\x06O-1".as_slice(), &f64::NAN.to_le_bytes(), b"\0"].concat();
    for (format, key, expected, tag) in [
        (
            KeyFormat::Avro,
            frame(7, &without_a_number),
            r#"{"orderId":"O-1","total":null,"service":null}"#,
            "_nonfinite",
        ),
        (KeyFormat::Protobuf, frame(11, b"\0\x08\x05\x10\x01"), r#"{"id":5}"#, "_unknownfields"),
    ] {
        let formats = Formats { key: ByTopic::all(format), ..Formats::default() };
        // A value with the same note has the tag once.
        let document = Case { formats, key: Some(key.clone()), ..with_registry() }.document(&key);
        assert_eq!((&document["kafka_key"], &document["tags"]), (&json!(expected), &json!([tag])));
    }
}

#[test]
fn a_compressed_value_is_decompressed_within_its_bound() {
    let gzip = |bytes: &[u8]| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(bytes).unwrap();
        gzip.finish().unwrap()
    };
    let formats =
        Formats { compression: ByTopic::all(ValueCompression::Auto), max_bytes: 1000, ..Formats::default() };
    let case = Case { formats, ..with_registry() };
    assert_eq!(case.document(&gzip(JSON)), Case::default().document(JSON));
    assert_eq!(case.document(JSON), Case::default().document(JSON));
    assert_eq!(case.document(&gzip(&frame(7, &avro())))["orderId"], "O-1");
    let bomb = case.document(&gzip(&[b' '; 1_000_000]));
    assert_eq!(
        (&bomb["tags"], bomb["schema_failure"].as_str().unwrap().contains("1000")),
        (&json!(["_schemafailure"]), true)
    );
}

#[test]
fn the_attributes_of_a_cloud_event_in_binary_mode_are_fields() {
    let header = |name, text: &str| (name, text.as_bytes().to_vec());
    let headers = vec![
        header("ce_id", "1"),
        header("ce_time", "2026-11-28T01:00:00Z"),
        header("ce_type", "order.paid"),
        header("content-type", "application/json"),
    ];
    let case = Case { headers: headers.clone(), ..Case::default() };
    let document = case.document(br#"{"a":1,"cloudevent":"mine"}"#);
    assert_eq!(
        document["cloudevent"],
        json!({"id": "1", "time": "2026-11-28T01:00:00Z", "type": "order.paid", "datacontenttype": "application/json"})
    );
    assert_eq!(document["original"], json!({"cloudevent": "mine"}));
    assert_eq!(document["@timestamp"], "2026-11-28T01:00:00.000Z");
    assert_eq!(
        case.document(br#"{"timestamp":"2026-11-28T02:00:00Z"}"#)["@timestamp"],
        "2026-11-28T02:00:00.000Z"
    );
    let structured = vec![header("ce_id", "1"), header("content-type", "application/cloudevents+json")];
    let value = br#"{"id":"1","cloudevent":"mine"}"#;
    assert_eq!(
        Case { headers: structured, ..Case::default() }.document(value),
        Case::default().document(value)
    );
}

const CHANGE: &[u8] = br#"{"before":null,"after":{"id":1,"service":"x"},"source":{"table":"orders"},"op":"c","ts_ms":1795827846000}"#;

#[test]
fn a_change_event_becomes_its_row_where_the_topic_says_so() {
    let formats = Formats { unwrap: ByTopic::all(Unwrap::Debezium), ..Formats::default() };
    let case = Case { formats, ..Case::default() };
    let document = case.document(CHANGE);
    assert_eq!(
        (&document["id"], &document["after"], &document["original"]),
        (&json!(1), &Value::Null, &json!({"service": "x"}))
    );
    assert_eq!(
        document["debezium"],
        json!({"op": "c", "source": {"table": "orders"}, "ts_ms": 1_795_827_846_000_i64})
    );
    assert_eq!(document["@timestamp"], "2026-11-28T01:04:06.000Z");
    let wrapped = [br#"{"schema":{"a":1},"payload":"#.as_slice(), CHANGE, b"}"].concat();
    assert_eq!(case.document(&wrapped), document);
    assert_eq!(case.document(JSON), Case::default().document(JSON));
    assert_eq!(Case::default().document(CHANGE)["after"], json!({"id": 1, "service": "x"}));
}

#[test]
fn a_rescued_document_of_a_decoded_record_is_restored() {
    let all = Formats {
        unwrap: ByTopic::all(Unwrap::Debezium),
        key: ByTopic::all(KeyFormat::Long),
        ..Formats::default()
    };
    let key = Some(42_i64.to_be_bytes().to_vec());
    let headers = vec![("ce_id", b"1".to_vec()), ("ce_time", b"2026-11-28T01:00:00Z".to_vec())];
    for (case, value, name) in [
        (Case { formats: all.clone(), key: key.clone(), ..with_registry() }, frame(7, &avro()), "total"),
        (Case { formats: all.clone(), key: key.clone(), headers, ..with_registry() }, JSON.to_vec(), "total"),
        (Case { formats: all.clone(), key, ..with_registry() }, CHANGE.to_vec(), "id"),
        (Case { formats: all, key: Some(b"no".to_vec()), ..with_registry() }, frame(7, &avro()), "total"),
    ] {
        let event = case.event(&value);
        let batch = read_batch(&event).unwrap();
        let record = batch[0].record.as_ref().unwrap();
        let usual = case.document(&value);
        for form in [RescueForm::Members(vec![name.into()]), RescueForm::Payload, RescueForm::Text] {
            let rescue = Rescue { form, reason: "failed to parse".into() };
            let mut body = Vec::new();
            case.encoder()
                .append_rescued(record, &rescue, Routing::Own, &mut body)
                .unwrap()
                .document()
                .unwrap();
            let mut lines = body.split(|byte| *byte == b'\n');
            let action: Value = serde_json::from_slice(lines.next().unwrap()).unwrap();
            let id = action["create"]["_id"].as_str().unwrap();
            let settings = Settings { formats: case.formats.clone(), ..Settings::default() };
            let restored = restore(&settings, id, lines.next().unwrap()).unwrap();
            let restored: Value = serde_json::from_slice(&restored).unwrap();
            assert_eq!(restored, usual, "{:?}", rescue.form);
        }
    }
}
