//! Compares Avro and Protobuf records to JSON with the obvious way to write it, by time and by allocations.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark fails by panicking, and has the clock"
)]
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::borrow::Cow;
use std::hint::black_box;
use std::time::{Duration, Instant};

use apache_avro::Schema as TheirSchema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as AvroValue;
use apache_avro::writer::datum::GenericDatumWriter;
use criterion::{Criterion, Throughput, criterion_group};
use prost_reflect::prost::Message;
use prost_reflect::{DynamicMessage, MessageDescriptor, SerializeOptions};
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};
use record_formats::frame::{Framed, SchemaId};
use record_formats::limits::Limits;
use record_formats::schema::{Schema, SchemaSource, SchemaType};
use serde_json::{Value, json};

const N_EVENTS: usize = 1000;
const ROUNDS: usize = 25;

const AVRO: &str = r#"{"type": "record", "name": "OrderPlaced", "namespace": "shop", "fields": [
    {"name": "eventId", "type": "string"},
    {"name": "occurredAt", "type": {"type": "long", "logicalType": "timestamp-micros"}},
    {"name": "status", "type": {"type": "enum", "name": "Status", "symbols": ["NEW", "PAID", "SHIPPED"]}},
    {"name": "customerId", "type": ["null", "string"]},
    {"name": "total", "type": "double"},
    {"name": "currency", "type": "string"},
    {"name": "express", "type": "boolean"},
    {"name": "attempt", "type": "int"},
    {"name": "items", "type": {"type": "array", "items": {"type": "record", "name": "Item", "fields": [
        {"name": "sku", "type": "string"}, {"name": "quantity", "type": "int"}, {"name": "price", "type": "double"}]}}},
    {"name": "labels", "type": {"type": "map", "values": "string"}},
    {"name": "message", "type": "string"}]}"#;

const PROTOBUF: &str = r#"syntax = "proto3"; import "google/protobuf/timestamp.proto";
enum Status { NEW = 0; PAID = 1; SHIPPED = 2; }
message OrderPlaced {
  string event_id = 1; google.protobuf.Timestamp occurred_at = 2; Status status = 3; optional string customer_id = 4; double total = 5;
  string currency = 6; bool express = 7; int32 attempt = 8; repeated Item items = 9; map<string, string> labels = 10; string message = 11;
}
message Item { string sku = 1; int32 quantity = 2; double price = 3; }"#;

fn compile(schema_type: SchemaType, text: &str) -> Schema {
    Schema::compile(&SchemaSource { schema_type, text: text.to_owned(), references: Vec::new() }).unwrap()
}

/// Turns records into JSON as the function does, into one body.
fn ours(schema: &Schema, records: &[Vec<u8>], body: &mut Vec<u8>) -> usize {
    let limits = Limits::default();
    body.clear();
    for record in records {
        let framed =
            Framed { id: SchemaId::Confluent(1), message_indexes: None, body: Cow::Borrowed(record) };
        black_box(schema.append_json(&framed, &limits, body).unwrap());
    }
    black_box(body.len())
}

/// The same with apache-avro's value and serde_json's.
fn obvious_avro(schema: &TheirSchema, records: &[Vec<u8>], body: &mut Vec<u8>) -> usize {
    let reader = GenericDatumReader::builder(schema).build().unwrap();
    body.clear();
    for record in records {
        let value = Value::try_from(reader.read_value(&mut record.as_slice()).unwrap()).unwrap();
        body.extend(serde_json::to_vec(&value).unwrap());
    }
    black_box(body.len())
}

/// The same with prost-reflect's message.
fn obvious_protobuf(descriptor: &MessageDescriptor, records: &[Vec<u8>], body: &mut Vec<u8>) -> usize {
    let options = SerializeOptions::new().stringify_64_bit_integers(false);
    body.clear();
    for record in records {
        // Behind the index of the first message.
        let message = DynamicMessage::decode(descriptor.clone(), record.get(1..).unwrap()).unwrap();
        message.serialize_with_options(&mut serde_json::Serializer::new(&mut *body), &options).unwrap();
    }
    black_box(body.len())
}

fn avro_records(schema: &TheirSchema) -> Vec<Vec<u8>> {
    let text = |text: String| AvroValue::String(text);
    let writer = GenericDatumWriter::builder(schema).build().unwrap();
    let record = |i: usize| {
        let item = |j: usize| {
            AvroValue::Record(vec![
                ("sku".to_owned(), text(format!("SKU-{:06}", i * 7 + j))),
                ("quantity".to_owned(), AvroValue::Int(j as i32 + 1)),
                ("price".to_owned(), AvroValue::Double(i as f64 / 100.0 + 3.0)),
            ])
        };
        let labels = [("region", "eu-central-1"), ("channel", "web"), ("campaign", "spring sale")];
        let status = ["NEW", "PAID", "SHIPPED"];
        let customer = match i % 5 {
            0 => AvroValue::Union(0, Box::new(AvroValue::Null)),
            _ => AvroValue::Union(1, Box::new(text(format!("customer-{i}")))),
        };
        let fields = [
            ("eventId", text(format!("8a7f0211-2233-4455-6677-{i:012}"))),
            ("occurredAt", AvroValue::TimestampMicros(1_772_355_000_000_000 + i as i64 * 1_234_567)),
            ("status", AvroValue::Enum((i % 3) as u32, (*status.get(i % 3).unwrap()).to_owned())),
            ("customerId", customer),
            ("total", AvroValue::Double(i as f64 * 1.37)),
            ("currency", text("EUR".to_owned())),
            ("express", AvroValue::Boolean(i.is_multiple_of(2))),
            ("attempt", AvroValue::Int(i as i32)),
            ("items", AvroValue::Array((0..3).map(item).collect())),
            (
                "labels",
                AvroValue::Map(labels.into_iter().map(|(k, v)| (k.to_owned(), text(v.to_owned()))).collect()),
            ),
            ("message", text(format!("order {i} was placed by a customer of the web shop"))),
        ];
        let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        writer.write_value_to_vec(AvroValue::Record(fields)).unwrap()
    };
    (0..N_EVENTS).map(record).collect()
}

fn descriptor() -> MessageDescriptor {
    struct Text;
    impl FileResolver for Text {
        fn open_file(&self, name: &str) -> Result<File, protox::Error> {
            match name {
                "a.proto" => File::from_source(name, PROTOBUF),
                _ => Err(protox::Error::file_not_found(name)),
            }
        }
    }
    let mut files = ChainFileResolver::new();
    files.add(Text);
    files.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(files);
    compiler.include_imports(true).open_file("a.proto").unwrap();
    compiler.descriptor_pool().get_message_by_name("OrderPlaced").unwrap()
}

fn protobuf_records(descriptor: &MessageDescriptor) -> Vec<Vec<u8>> {
    let record = |i: usize| {
        let item = |j: usize| json!({"sku": format!("SKU-{:06}", i * 7 + j), "quantity": j + 1, "price": i as f64 / 100.0 + 3.0});
        let event = json!({
            "eventId": format!("8a7f0211-2233-4455-6677-{i:012}"),
            "occurredAt": format!("2026-03-01T08:50:{:02}.{:06}Z", i % 60, i * 997 % 1_000_000),
            "status": i % 3,
            "customerId": if i.is_multiple_of(5) { Value::Null } else { json!(format!("customer-{i}")) },
            "total": i as f64 * 1.37,
            "currency": "EUR",
            "express": i.is_multiple_of(2),
            "attempt": i,
            "items": (0..3).map(item).collect::<Vec<_>>(),
            "labels": {"region": "eu-central-1", "channel": "web", "campaign": "spring sale"},
            "message": format!("order {i} was placed by a customer of the web shop"),
        });
        let message = DynamicMessage::deserialize(descriptor.clone(), event).unwrap();
        [&[0][..], &message.encode_to_vec()].concat()
    };
    (0..N_EVENTS).map(record).collect()
}

fn whole(criterion: &mut Criterion) {
    let (mut body, schema) = (Vec::new(), TheirSchema::parse_str(AVRO).unwrap());
    let records = avro_records(&schema);
    let compiled = compile(SchemaType::Avro, AVRO);
    let mut group = criterion.benchmark_group("Avro to JSON");
    group.throughput(Throughput::Elements(N_EVENTS as u64));
    group.bench_function("ours", |bencher| bencher.iter(|| ours(&compiled, &records, &mut body)));
    group.bench_function("obvious", |bencher| bencher.iter(|| obvious_avro(&schema, &records, &mut body)));
    group.finish();

    let descriptor = descriptor();
    let records = protobuf_records(&descriptor);
    let compiled = compile(SchemaType::Protobuf, PROTOBUF);
    let mut group = criterion.benchmark_group("Protobuf to JSON");
    group.throughput(Throughput::Elements(N_EVENTS as u64));
    group.bench_function("ours", |bencher| bencher.iter(|| ours(&compiled, &records, &mut body)));
    group.bench_function("obvious", |bencher| {
        bencher.iter(|| obvious_protobuf(&descriptor, &records, &mut body))
    });
    group.finish();

    let mut group = criterion.benchmark_group("schema");
    group.bench_function("Avro", |bencher| bencher.iter(|| compile(SchemaType::Avro, AVRO)));
    group.bench_function("Protobuf", |bencher| bencher.iter(|| compile(SchemaType::Protobuf, PROTOBUF)));
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = whole
}

fn main() {
    compare_all();
    benches();
    Criterion::default().configure_from_args().final_summary();
}

fn compare_all() {
    let schema = TheirSchema::parse_str(AVRO).unwrap();
    let (records, compiled) = (avro_records(&schema), compile(SchemaType::Avro, AVRO));
    compare("Avro", &records, &|records, body| ours(&compiled, records, body), &|records, body| {
        obvious_avro(&schema, records, body)
    });
    let descriptor = descriptor();
    let (records, compiled) = (protobuf_records(&descriptor), compile(SchemaType::Protobuf, PROTOBUF));
    compare("Protobuf", &records, &|records, body| ours(&compiled, records, body), &|records, body| {
        obvious_protobuf(&descriptor, records, body)
    });
}

/// Turns records into JSON in a body; returns the body's length.
type Convert<'c> = &'c dyn Fn(&[Vec<u8>], &mut Vec<u8>) -> usize;

/// Runs both in turns, so that a noisy machine affects both alike, and prints the ratio of their best times, and their allocations.
fn compare(name: &str, records: &[Vec<u8>], ours: Convert<'_>, obvious: Convert<'_>) {
    let mut body = Vec::new();
    let (mut best_ours, mut best_obvious) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        let started = Instant::now();
        ours(records, &mut body);
        best_ours = best_ours.min(started.elapsed());
        let started = Instant::now();
        obvious(records, &mut body);
        best_obvious = best_obvious.min(started.elapsed());
    }
    let allocations = |run: Convert<'_>, body: &mut Vec<u8>| {
        let run = || {
            black_box(run(records, body));
        };
        allocation_counter::measure(run).count_total as f64 / N_EVENTS as f64
    };
    let of_ours = allocations(ours, &mut body);
    let of_obvious = allocations(obvious, &mut body);
    let per_second = |time: Duration| N_EVENTS as f64 / time.as_secs_f64();
    println!(
        "{name}: {:.0} events/s a core with {of_ours:.1} allocations an event; the obvious way {:.0} with {of_obvious:.1}: {:.1} times the events a second",
        per_second(best_ours),
        per_second(best_obvious),
        best_obvious.as_secs_f64() / best_ours.as_secs_f64()
    );
}
