//! Compares the pipeline with the obvious way to write it, on one 6 MB payload, and measures its parts.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "a benchmark fails by panicking, and has the clock"
)]
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::hint::black_box;
use std::io::Write as _;
use std::time::{Duration, Instant};

use aws_lambda_events::event::kafka::KafkaEvent;
use base64_simd::STANDARD;
use chrono::DateTime;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use event_pipeline::address::ActionLine;
use event_pipeline::bulk::{BulkLimits, BulkRequest, Pushed};
use event_pipeline::encoder::Encoder;
use event_pipeline::event::{KafkaRecord, RecordError, read_batch};
use event_pipeline::settings::Settings;
use event_producer::payload::{RecordHeaders, payload};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

const MAX_PAYLOAD: usize = 6 * 1024 * 1024;
const NOW_MS: i64 = 1_772_360_430_123;
const HEADERS: [(RecordHeaders, &str); 2] =
    [(RecordHeaders::None, "no headers"), (RecordHeaders::TraceAndCorrelation, "two headers")];

/// Appends the document of a record that no rule drops.
fn written(
    encoder: &mut Encoder,
    record: &KafkaRecord<'_>,
    body: &mut Vec<u8>,
) -> Result<ActionLine, RecordError> {
    encoder.append(record, body).map(|appended| appended.document().unwrap())
}

/// Turns a payload into bulk bodies as the function does; returns the bytes of the bodies.
fn pipeline(encoder: &mut Encoder, request: &mut BulkRequest, payload: &[u8]) -> usize {
    let limits = BulkLimits::default();
    let mut bytes = 0;
    request.clear();
    for (i, item) in read_batch(payload).unwrap().iter().enumerate() {
        let record = item.record.as_ref().unwrap();
        while request.push(i, limits, |body| written(encoder, record, body)).unwrap() == Pushed::Full {
            bytes += black_box(request.body()).len();
            request.clear();
        }
    }
    bytes + black_box(request.body()).len()
}

/// Makes the same documents the way most handlers do: typed event, `Value`, `to_vec`.
fn obvious(payload: &[u8]) -> usize {
    let event: KafkaEvent = serde_json::from_slice(payload).unwrap();
    let (mut bytes, mut body) = (0, Vec::new());
    for records in event.records.into_values() {
        for record in records {
            let topic = record.topic.unwrap();
            let value = STANDARD.decode_to_vec(record.value.unwrap()).unwrap();
            let mut document: Value = serde_json::from_slice(&value).unwrap();
            let time =
                ["timestamp", "occurredAt", "eventTime"].iter().find_map(|field| document[*field].as_str());
            let time = DateTime::parse_from_rfc3339(time.unwrap()).unwrap().to_utc();
            let kafka_ms = record.timestamp.timestamp_millis();
            for header in &record.headers {
                for (name, bytes) in header {
                    let text = String::from_utf8(bytes.iter().map(|b| *b as u8).collect()).unwrap();
                    match name.as_str() {
                        "traceparent" => {
                            document["trace"] = json!({"id": &text[3..35]});
                            document["span"] = json!({"id": &text[36..52]});
                        }
                        _ => document["correlation_id"] = json!(text),
                    }
                }
            }
            document["@timestamp"] = json!(time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true));
            document["service"] = json!(topic);
            document["service_name"] = json!(topic.trim_end_matches(".events"));
            document["kafka_topic"] = json!(topic);
            document["kafka_partition"] = json!(record.partition);
            document["kafka_offset"] = json!(record.offset);
            document["kafka_timestamp"] = json!(kafka_ms);
            document["kafka_key"] =
                json!(String::from_utf8(STANDARD.decode_to_vec(record.key.unwrap()).unwrap()).unwrap());
            document["environment"] = json!("kubernetes");
            document["platform"] = json!("demo-micro");
            let action = json!({"create": {
                "_index": format!("microservices-{}", time.format("%Y.%m.%d")),
                "_id": format!("{topic}-{}-{}-{kafka_ms}", record.partition, record.offset),
            }});
            body.extend(serde_json::to_vec(&action).unwrap());
            body.push(b'\n');
            body.extend(serde_json::to_vec(&document).unwrap());
            body.push(b'\n');
            if body.len() > BulkLimits::default().max_bytes {
                bytes += black_box(&body).len();
                body.clear();
            }
        }
    }
    bytes + black_box(&body).len()
}

fn whole(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("6 MB payload to bulk bodies");
    for (headers, name) in
        [(RecordHeaders::None, "no headers"), (RecordHeaders::TraceAndCorrelation, "two headers")]
    {
        let payload = payload(1, NOW_MS, MAX_PAYLOAD, headers);
        group.throughput(Throughput::Elements(payload.n_records as u64));
        let mut encoder = Encoder::new(Settings::default());
        let mut request = BulkRequest::default();
        group.bench_with_input(BenchmarkId::new("pipeline", name), &payload.json, |bencher, payload| {
            bencher.iter(|| pipeline(&mut encoder, &mut request, payload));
        });
        group.bench_with_input(BenchmarkId::new("obvious", name), &payload.json, |bencher, payload| {
            bencher.iter(|| obvious(payload));
        });
    }
    group.finish();
}

fn parts(criterion: &mut Criterion) {
    let payload = payload(1, NOW_MS, MAX_PAYLOAD, RecordHeaders::None);
    let batch = read_batch(&payload.json).unwrap();
    let mut group = criterion.benchmark_group("parts");
    group.throughput(Throughput::Elements(payload.n_records as u64));
    group.bench_function("event", |bencher| {
        bencher.iter(|| read_batch(black_box(&payload.json)).unwrap().len())
    });
    let mut decoded = Vec::new();
    group.bench_function("base64", |bencher| {
        bencher.iter(|| {
            for item in &batch {
                decoded.clear();
                let value = item.record.as_ref().unwrap().value.unwrap();
                STANDARD.decode_append(value.unescape(), &mut decoded).unwrap();
                black_box(&decoded);
            }
        });
    });
    let mut encoder = Encoder::new(Settings::default());
    let mut body = Vec::new();
    for item in &batch {
        written(&mut encoder, item.record.as_ref().unwrap(), &mut body).unwrap();
    }
    for level in [1, 6] {
        let mut compressed = Vec::with_capacity(body.len());
        group.bench_function(BenchmarkId::new("gzip", level), |bencher| {
            bencher.iter(|| {
                compressed.clear();
                let mut gzip = GzEncoder::new(&mut compressed, Compression::new(level));
                gzip.write_all(&body).unwrap();
                black_box(gzip.finish().unwrap().len())
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = whole, parts
}

fn main() {
    compare();
    benches();
    Criterion::default().configure_from_args().final_summary();
}

/// Runs both in turns, so that a noisy machine affects both alike, and prints the ratio of their best times.
fn compare() {
    const ROUNDS: usize = 25;
    for (headers, name) in HEADERS {
        let payload = payload(1, NOW_MS, MAX_PAYLOAD, headers);
        let mut encoder = Encoder::new(Settings::default());
        let mut request = BulkRequest::default();
        let (mut best_pipeline, mut best_obvious) = (Duration::MAX, Duration::MAX);
        for _ in 0..ROUNDS {
            let started = Instant::now();
            black_box(pipeline(&mut encoder, &mut request, &payload.json));
            best_pipeline = best_pipeline.min(started.elapsed());
            let started = Instant::now();
            black_box(obvious(&payload.json));
            best_obvious = best_obvious.min(started.elapsed());
        }
        println!(
            "{} events, {name}: pipeline {best_pipeline:.1?}, obvious {best_obvious:.1?}: {:.1} times the events a second",
            payload.n_records,
            best_obvious.as_secs_f64() / best_pipeline.as_secs_f64()
        );
    }
}
