//! Measures the index template: the same events with the cluster's dynamic mapping and with ours, and the gain of each part of
//! the template. `make bench-index` starts an OpenSearch for it.

#![expect(clippy::print_stdout, reason = "printing its figures is what a benchmark is for")]
#![expect(
    clippy::indexing_slicing,
    reason = "a missing member of a JSON value is null, which the checks find"
)]

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, Utc};
use clap::Parser;
use event_pipeline::index::IndexPrefix;
use event_pipeline::settings::{DocumentId, Settings};
use integration_tests::live::poll::{Check, until};
use integration_tests::live::prebuilt::{Prebuilt, median, send};
use integration_tests::live::search::Search;
use reqwest::Method;
use serde_json::{Value, json};

/// Compares dynamic mapping with the index template.
#[derive(Parser)]
struct Arguments {
    /// URL of the OpenSearch that is measured.
    #[arg(long, env = "SEARCH_ENDPOINT")]
    endpoint: String,
    /// Events in an index.
    #[arg(long, default_value_t = 120_000)]
    events: usize,
    /// Rounds of each variant, in turn; the result is the median.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Connections for bulk requests.
    #[arg(long, default_value_t = 3)]
    parallel: usize,
}

/// The day of all events.
const DAY: &str = "2026-03-02T00:00:00Z";
const HALF_HOUR_MS: i64 = 30 * 60 * 1000;

/// A way to index the events.
struct Variant {
    name: &'static str,
    description: &'static str,
    /// Body of the index template; `None` for the cluster's defaults.
    template: Option<Value>,
    document_id: DocumentId,
}

/// The figures of one variant.
struct Measured {
    rates: Vec<f64>,
    /// CPU time of the server, in seconds for a million events: it says the same on a machine with other work.
    cpu_seconds: Vec<f64>,
    bytes_per_event: f64,
    n_fields: usize,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let search = Search::new(&arguments.endpoint)?;
    let variants = variants(&search).await?;
    let mut measured: Vec<Measured> = Vec::new();
    // The first round warms up the server.
    for round in 0..=arguments.rounds {
        for (position, variant) in variants.iter().enumerate() {
            let count = if round == 0 { arguments.events / 4 } else { arguments.events };
            let one = measure(&search, &arguments.endpoint, variant, count, arguments.parallel).await?;
            match (round, measured.get_mut(position)) {
                (0, _) => {}
                (_, None) => measured.push(one),
                (_, Some(known)) => {
                    known.rates.extend(one.rates);
                    known.cpu_seconds.extend(one.cpu_seconds);
                }
            }
        }
    }
    println!(
        "{} events, median of {} rounds in turns, {} connections\n",
        arguments.events, arguments.rounds, arguments.parallel
    );
    let baseline = measured.first().context("dynamic mapping is measured")?;
    println!(
        "{:<22}{:>10}{:>8}{:>15}{:>8}{:>14}{:>8}{:>8}",
        "variant", "events/s", "ratio", "server CPU s/M", "ratio", "bytes/event", "less", "fields"
    );
    for (variant, each) in variants.iter().zip(&measured) {
        println!(
            "{:<22}{:>10.0}{:>8.2}{:>15.0}{:>8.2}{:>14.0}{:>7.0}%{:>8}  {}",
            variant.name,
            median(&each.rates),
            median(&each.rates) / median(&baseline.rates),
            median(&each.cpu_seconds),
            median(&baseline.cpu_seconds) / median(&each.cpu_seconds),
            each.bytes_per_event,
            100.0 * (1.0 - each.bytes_per_event / baseline.bytes_per_event),
            each.n_fields,
            variant.description,
        );
    }
    println!();
    compare_responses(&search, &variants).await
}

/// The cluster's defaults, then our template part by part, and complete.
async fn variants(search: &Search) -> Result<Vec<Variant>> {
    let whole: Value = serde_json::from_str(include_str!("../../../infra/search/index-template.json"))?;
    let template = &whole["template"];
    let settings = |names: &[&str]| {
        let chosen = names
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), template["settings"].get(*name)?.clone())));
        Value::Object(chosen.collect())
    };
    let mapping_settings = [
        "number_of_shards",
        "auto_expand_replicas",
        "mapping.ignore_malformed",
        "mapping.total_fields.limit",
    ];
    let with = |names: &[&str]| {
        let names = [&mapping_settings[..], names].concat();
        json!({"settings": settings(&names), "mappings": template["mappings"]})
    };
    let variant = |name, description, template| Variant {
        name,
        description,
        template,
        document_id: DocumentId::Deterministic,
    };
    let mut variants = vec![
        variant("dynamic mapping", "the cluster's own mapping and settings", None),
        variant("mapping", "our mapping alone", Some(with(&[]))),
        variant("mapping, codec", "and best_compression", Some(with(&["codec"]))),
        variant("template", "and refresh_interval: the complete template", Some(template.clone())),
        Variant {
            document_id: DocumentId::Auto,
            ..variant(
                "template, auto ids",
                "without our ids: what exactly-once costs",
                Some(template.clone()),
            )
        },
    ];
    let mut zstd = template.clone();
    zstd["settings"]["codec"] = json!("zstd_no_dict");
    let attempt = json!({"index_patterns": ["bench-codec-*"], "template": {"settings": zstd["settings"]}});
    if search.request(Method::POST, "_index_template/_simulate", Some(&attempt)).await.is_ok() {
        variants.push(variant("template, zstd", "with zstd_no_dict, where the cluster has it", Some(zstd)));
    } else {
        println!("this cluster has no codec zstd_no_dict: not measured\n");
    }
    Ok(variants)
}

fn prefix(variant: &Variant) -> String {
    format!("bench-{}x", variant.name.replace(&[',', ' '][..], ""))
}

fn index(variant: &Variant) -> String {
    format!("{}-{}", prefix(variant), DAY.get(..10).unwrap_or_default().replace('-', "."))
}

/// Indexes `count` new events and measures the result.
async fn measure(
    search: &Search,
    endpoint: &str,
    variant: &Variant,
    count: usize,
    parallel: usize,
) -> Result<Measured> {
    let (prefix, index) = (prefix(variant), index(variant));
    search.request(Method::DELETE, &format!("{index}?ignore_unavailable=true"), None).await?;
    if let Some(template) = &variant.template {
        let body = json!({"index_patterns": [format!("{prefix}-*")], "priority": 900, "template": template});
        search.request(Method::PUT, &format!("_index_template/{prefix}"), Some(&body)).await?;
    }
    let settings = Settings {
        index_prefix: IndexPrefix::parse(&prefix).map_err(|error| anyhow::anyhow!("{error}"))?,
        document_id: variant.document_id,
        ..Settings::default()
    };
    let midnight_ms = DAY.parse::<DateTime<Utc>>()?.timestamp_millis();
    let mut n_payloads = 0;
    let bodies = Prebuilt::new(settings).bodies(count, || {
        n_payloads += 1;
        midnight_ms + (n_payloads - 1) % 47 * HALF_HOUR_MS + HALF_HOUR_MS
    })?;
    let cpu_before = server_cpu_seconds(search).await?;
    let rate = send(endpoint, bodies, parallel).await?;
    let cpu_seconds = (server_cpu_seconds(search).await? - cpu_before) * 1e6 / count as f64;

    search.request(Method::POST, &format!("{index}/_refresh"), None).await?;
    search.request(Method::POST, &format!("{index}/_forcemerge?max_num_segments=1"), None).await?;
    let stats = until("the merged index", Duration::from_secs(120), async || {
        // A flush removes the old segments, but they are counted until a refresh.
        search.request(Method::POST, &format!("{index}/_flush?force=true"), None).await?;
        search.request(Method::POST, &format!("{index}/_refresh"), None).await?;
        let stats = search.request(Method::GET, &format!("{index}/_stats"), None).await?;
        let primaries = stats["_all"]["primaries"].clone();
        let is_merged = primaries["segments"]["count"] == 1 && primaries["merges"]["current"] == 0;
        Ok(if is_merged { Check::Done(primaries) } else { Check::NotYet(primaries["segments"].to_string()) })
    })
    .await?;
    let n_documents = stats["docs"]["count"].as_u64().context("an index counts its documents")?;
    ensure!(n_documents == count as u64, "{n_documents} documents of {count} events");
    let bytes = stats["store"]["size_in_bytes"].as_u64().context("an index knows its size")?;
    let mapping = search.request(Method::GET, &format!("{index}/_mapping"), None).await?;
    Ok(Measured {
        rates: vec![rate],
        cpu_seconds: vec![cpu_seconds],
        bytes_per_event: bytes as f64 / count as f64,
        n_fields: n_fields(&mapping[&index]["mappings"]),
    })
}

/// CPU time that the server's process has used since its start, in seconds.
async fn server_cpu_seconds(search: &Search) -> Result<f64> {
    let stats = search.request(Method::GET, "_nodes/_local/stats/process", None).await?;
    let nodes = stats["nodes"].as_object().context("statistics are by node")?;
    let node = nodes.values().next().context("a node responds")?;
    let total_ms = node["process"]["cpu"]["total_in_millis"].as_f64().context("a process has CPU time")?;
    Ok(total_ms / 1e3)
}

/// The number of fields in a mapping, multi-fields included.
fn n_fields(mapping: &Value) -> usize {
    let children = ["properties", "fields"].iter().filter_map(|kind| mapping[kind].as_object());
    children.flat_map(serde_json::Map::values).map(|field| 1 + n_fields(field)).sum()
}

/// Maps a field to the one that holds its exact text: `<field>.keyword` with dynamic mapping.
type Exact<'e> = &'e dyn Fn(&str) -> String;

/// A search that users run.
struct Question {
    name: &'static str,
    /// Its body, given a document to search for.
    body: fn(exact: Exact<'_>, sample: &Value) -> Value,
}

const QUESTIONS: [Question; 11] = [
    Question {
        name: "a service's newest events of an hour",
        body: |exact, _| {
            json!({
                "size": 50, "sort": [{"@timestamp": "desc"}, {"kafka_offset": "desc"}], "track_total_hits": true,
                "query": {"bool": {"filter": [
                    {"term": {exact("service_name"): "order"}},
                    {"range": {"@timestamp": {"gte": "2026-03-02T01:00:00Z", "lt": "2026-03-02T02:00:00Z"}}},
                ]}},
            })
        },
    },
    Question {
        name: "an order's story, by its id",
        body: |exact, sample| {
            json!({
                "size": 100, "sort": [{"@timestamp": "asc"}, {"kafka_offset": "asc"}], "track_total_hits": true,
                "query": {"term": {exact("orderId"): sample["orderId"]}},
            })
        },
    },
    Question {
        name: "a trace",
        body: |exact, sample| {
            json!({
                "size": 100, "sort": [{"@timestamp": "asc"}, {"kafka_offset": "asc"}], "track_total_hits": true,
                "query": {"term": {exact("trace.id"): sample["trace"]["id"]}},
            })
        },
    },
    Question {
        name: "turnover by hour and event type",
        body: |exact, _| {
            json!({
                "size": 0, "track_total_hits": true, "query": {"exists": {"field": "total"}},
                "aggs": {"hours": {
                    "date_histogram": {"field": "@timestamp", "fixed_interval": "1h"},
                    "aggs": {"types": {
                        "terms": {"field": exact("eventType"), "order": {"_key": "asc"}},
                        "aggs": {"turnover": {"sum": {"field": "total"}}},
                    }},
                }},
            })
        },
    },
    Question {
        name: "free text in the items' names",
        body: |_, sample| {
            json!({
                "size": 50, "sort": [{"@timestamp": "desc"}, {"kafka_offset": "desc"}], "track_total_hits": true,
                "query": {"match": {"items.name": {"query": sample["items"][0]["name"], "operator": "and"}}},
            })
        },
    },
    Question { name: "a word in any field", body: |_, sample| newest(&query_string(first_word(sample))) },
    Question {
        name: "an id in any field",
        body: |_, sample| newest(&query_string(&sample["orderId"].to_string())),
    },
    Question {
        name: "a word of an unknown field",
        body: |_, sample| newest(&query_string(&format!("productName:{}", first_word(sample)))),
    },
    Question {
        name: "the exact text of an unknown field",
        body: |_, sample| newest(&json!({"term": {"productName.keyword": sample["items"][0]["name"]}})),
    },
    Question {
        name: "a range of an unknown number",
        body: |_, _| newest(&query_string("provider.latencyMs:>700")),
    },
    Question {
        name: "a range of a time of the payload",
        body: |_, _| {
            let hour = json!({"gte": "2026-03-02T01:00:00.000Z", "lt": "2026-03-02T02:00:00.000Z"});
            newest(&json!({"range": {"occurredAt": hour}}))
        },
    },
];

/// The newest documents that a query finds, and the number of all that it finds.
fn newest(query: &Value) -> Value {
    json!({
        "size": 50, "sort": [{"@timestamp": "desc"}, {"kafka_offset": "desc"}], "track_total_hits": true, "query": query,
    })
}

/// What users type, in the query string syntax.
fn query_string(text: &str) -> Value {
    json!({"query_string": {"query": text}})
}

/// A word of the sample's first item.
fn first_word(sample: &Value) -> &str {
    sample["items"][0]["name"].as_str().and_then(|name| name.split(' ').next()).unwrap_or_default()
}

/// Runs every search with both mappings, checks that the results are the same, and prints how long each took.
async fn compare_responses(search: &Search, variants: &[Variant]) -> Result<()> {
    let find =
        |name: &str| variants.iter().find(|variant| variant.name == name).context("the variant is measured");
    let (dynamic, ours) = (index(find("dynamic mapping")?), index(find("template")?));
    let sample = json!({"size": 1, "query": {"exists": {"field": "items.name"}}});
    let sample = search.request(Method::POST, &format!("{ours}/_search"), Some(&sample)).await?;
    let sample = &sample["hits"]["hits"][0]["_source"];
    println!(
        "{:<40}{:>10}{:>16}{:>12}",
        "the same search, the same result", "hits", "dynamic, ms", "ours, ms"
    );
    for Question { name, body } in &QUESTIONS {
        let (theirs, their_ms) =
            result(search, &dynamic, &body(&|field| format!("{field}.keyword"), sample)).await?;
        let (own, own_ms) = result(search, &ours, &body(&|field| field.to_owned(), sample)).await?;
        ensure!(is_same(&theirs, &own), "{name}: the results differ: {theirs} and {own}");
        let n_hits = own["total"].as_u64().context("a response counts its hits")?;
        ensure!(n_hits > 0, "{name}: nothing is found");
        println!("{name:<40}{n_hits:>10}{their_ms:>16.1}{own_ms:>12.1}");
    }
    Ok(())
}

/// Whether two results are the same, up to the precision of `float`, the type that dynamic mapping gives fractions.
fn is_same(theirs: &Value, own: &Value) -> bool {
    match (theirs, own) {
        (Value::Object(theirs), Value::Object(own)) => {
            theirs.len() == own.len()
                && own.iter().all(|(name, value)| theirs.get(name).is_some_and(|their| is_same(their, value)))
        }
        (Value::Array(theirs), Value::Array(own)) => {
            theirs.len() == own.len() && theirs.iter().zip(own).all(|(their, value)| is_same(their, value))
        }
        (Value::Number(theirs), Value::Number(own)) => {
            let (their, value) = (theirs.as_f64().unwrap_or(f64::NAN), own.as_f64().unwrap_or(f64::NAN));
            (their - value).abs() <= value.abs() * f64::from(f32::EPSILON)
        }
        _ => theirs == own,
    }
}

/// The result of a search, without what differs by index, and the median of its times.
async fn result(search: &Search, index: &str, question: &Value) -> Result<(Value, f64)> {
    const REPETITIONS: usize = 25;
    let path = format!("{index}/_search?request_cache=false");
    let mut times = Vec::new();
    let mut response = Value::Null;
    for _ in 0..REPETITIONS {
        let started = Instant::now();
        response = search.request(Method::POST, &path, Some(question)).await?;
        times.push(started.elapsed().as_secs_f64() * 1e3);
    }
    let hits = response["hits"]["hits"].as_array().context("a search returns hits")?;
    let ids: Vec<&Value> = hits.iter().map(|hit| &hit["_id"]).collect();
    let result = json!({"total": response["hits"]["total"]["value"], "ids": ids, "aggregations": response["aggregations"]});
    Ok((result, median(&times)))
}
