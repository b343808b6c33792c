//! Measures three typical transforms: events a second on one core, and what they allocate.

#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group};
use event_pipeline::timestamp::Timestamp;
use event_pipeline::transform::{RecordContext, SharedTransform, TransformCompiler};
use vrl_transform::VrlCompiler;

const N_EVENTS: usize = 1000;

/// Name, script and event. A tenth of the events of the first are dropped.
const SCRIPTS: [(&str, &str, &str); 4] = [
    (
        "as it is",
        ".",
        r#"{"eventId":"0198a1d2-7e1f-7aa3-9d0e-0c5f3f7b9a11","level":"LEVEL","occurredAt":"2026-11-24T10:00:00.123Z","customerId":"c-1042","card":"4111 1111 1111 1111","total":129.95,"currency":"EUR","attempt":1,"items":[{"sku":"A-1","quantity":2,"price":49.95},{"sku":"B-7","quantity":1,"price":30.05}],"message":"payment authorized"}"#,
    ),
    (
        "redact and drop",
        r#"if .level == "debug" { abort }
.card = redact(string(.card) ?? "", filters: [r'\d{4}[ -]?\d{4}[ -]?\d{4}[ -]?\d{4}'])"#,
        r#"{"eventId":"0198a1d2-7e1f-7aa3-9d0e-0c5f3f7b9a11","level":"LEVEL","occurredAt":"2026-11-24T10:00:00.123Z","customerId":"c-1042","card":"4111 1111 1111 1111","total":129.95,"currency":"EUR","attempt":1,"items":[{"sku":"A-1","quantity":2,"price":49.95},{"sku":"B-7","quantity":1,"price":30.05}],"message":"payment authorized"}"#,
    ),
    (
        "parse and rename",
        r#"fields = parse_key_value!(del(.message))
. = merge(., fields)
.user_name = del(.user)
.duration_ms = to_int!(del(.took))"#,
        r#"{"level":"LEVEL","host":"web-3","message":"user=ann action=pay path=/orders/42 status=200 took=17 bytes=5120 agent=\"curl/8.5\""}"#,
    ),
    (
        "reshape, dates and hash",
        r#". = {
    "order": {"id": .id, "total": .total, "lines": length(array!(.items))},
    "customer": sha2(string!(.customer), variant: "SHA-256"),
    "placed_at": parse_timestamp!(.placed, format: "%d/%b/%Y %T", timezone: "Europe/Paris"),
    "topic": %kafka_topic,
}"#,
        r#"{"id":"o-4711","level":"LEVEL","total":129.95,"customer":"ann@example.org","placed":"24/Nov/2026 10:00:00","items":[{"sku":"A-1","quantity":2,"price":49.95},{"sku":"B-7","quantity":1,"price":30.05}],"source":"shop"}"#,
    ),
];

fn events(event: &str) -> Vec<Vec<u8>> {
    let level = |number| if number % 10 == 0 { "debug" } else { "info" };
    (0..N_EVENTS).map(|number| event.replace("LEVEL", level(number)).into_bytes()).collect()
}

fn shape(transform: &SharedTransform, events: &[Vec<u8>], out: &mut Vec<u8>) {
    let about = RecordContext {
        topic: "payments.events",
        service_name: "payments",
        partition: 3,
        offset: 1234,
        timestamp: Timestamp::from_millis(1_795_825_805_123),
        key: Some("k-1"),
        headers: &[],
    };
    for event in events {
        out.clear();
        transform.apply(&about, event, out).unwrap();
        black_box(&out);
    }
}

fn transforms(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("transforms");
    group.throughput(Throughput::Elements(N_EVENTS as u64));
    for (name, script, event) in SCRIPTS {
        let transform = VrlCompiler::new().compile(script).unwrap();
        let (events, mut out) = (events(event), Vec::new());
        let used = allocation_counter::measure(|| shape(&transform, &events, &mut out));
        println!(
            "{name}: {} bytes an event, {} allocations, at most {} bytes at a time",
            event.len(),
            used.count_total / N_EVENTS as u64,
            used.bytes_max
        );
        group.bench_function(name, |bencher| bencher.iter(|| shape(&transform, &events, &mut out)));
    }
    group.finish();
    criterion.bench_function("compile a transform", |bencher| {
        let [_, (_, script, _), ..] = SCRIPTS;
        bencher.iter(|| VrlCompiler::new().compile(black_box(script)).unwrap());
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = transforms
}

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
}
