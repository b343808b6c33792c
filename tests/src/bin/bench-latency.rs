//! Measures how long an event takes from its publication until a search finds it, for each preset of the template and several
//! rates, and the rate and CPU of a backlog. `make bench-latency` starts a stack for it.

#![expect(clippy::print_stdout, reason = "printing its figures is what a benchmark is for")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chrono::Utc;
use clap::Parser;
use integration_tests::live::backlog::{count_indexed, index_backlog};
use integration_tests::live::kafka::{NewRecord, Publisher};
use integration_tests::live::lambda::DEPLOYED;
use integration_tests::live::poll::{Check, until};
use integration_tests::live::prebuilt::median;
use integration_tests::live::world::World;
use reqwest::Method;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::task::{JoinHandle, spawn_blocking};

/// A topic of the template, read by the mapping that the preset sets.
const TOPIC: &str = "order.events";
/// Its partitions, if the bench is the first to write to it: those of the demo.
const PARTITIONS: i32 = 3;
/// Most hits that OpenSearch returns at once.
const PAGE: u64 = 10_000;
/// Time between two looks at the index: more of them would take processor time from what is measured.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
/// For how long events flow at the highest rate before the first measurement: until the JVM has compiled what it uses most. Before
/// that, each figure is two to three times as high.
const WARM_UP_SECONDS: u32 = 90;
/// Longer than any preset takes.
const DEADLINE: Duration = Duration::from_secs(90);

/// Measures the time from publication to searchability.
#[derive(Parser)]
struct Arguments {
    /// Presets of the template.
    #[arg(long, value_delimiter = ',', default_value = "latency,balanced,throughput")]
    presets: Vec<String>,
    /// Events a second.
    #[arg(long, value_delimiter = ',', default_value = "10,100,1000")]
    rates: Vec<u32>,
    /// Seconds for which each rate is published: some refreshes of the slowest preset.
    #[arg(long, default_value_t = 30)]
    seconds: u32,
    /// Events of a backlog, of which rate and CPU are measured; 0 leaves it out.
    #[arg(long, default_value_t = 200_000)]
    backlog: usize,
    /// Backlogs of each preset; the figures are the medians.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Print JSON instead of tables.
    #[arg(long)]
    json: bool,
}

/// The figures of a preset at a rate, in milliseconds.
#[derive(Debug, Serialize)]
struct Measured {
    preset: String,
    rate: u32,
    /// Publication to searchable.
    p50: u64,
    p90: u64,
    p99: u64,
    most: u64,
    /// Medians of the parts: until the invocation's bulk request (Kafka, the poller's window, the start of the invocation), the bulk
    /// request, and from indexed to searchable.
    until_bulk: u64,
    bulk: u64,
    refresh: u64,
    /// Median time between two looks at the index: what a figure can be too high by.
    resolution: u64,
}

/// The figures of a preset with a backlog.
#[derive(Debug, Serialize)]
struct Backlog {
    preset: String,
    events_per_s: f64,
    /// Seconds of the function per million events.
    cpu_s: f64,
}

/// What was seen of each event: when it was published, indexed and searchable.
struct Seen {
    published: Vec<Instant>,
    /// By number, not by event: the n-th that was indexed.
    indexed: Vec<Instant>,
    searchable: Vec<Instant>,
    looks: Vec<Duration>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let world = World::ready().await?;
    if world.kafka.end_offsets(TOPIC).is_err() {
        world.kafka.create_topic(TOPIC, PARTITIONS).await?;
    }
    let (mut all, mut backlogs) = (Vec::new(), Vec::new());
    let highest = arguments.rates.iter().copied().max().context("a rate is given")?;
    for (position, preset) in arguments.presets.iter().enumerate() {
        world.stack.deploy(&[&format!("Preset={preset}")]).await?;
        // Runs that do not count: the first one warms up the servers, those of the other presets their function.
        let (rate, seconds) = if position == 0 { (highest, WARM_UP_SECONDS) } else { (100, 3) };
        measure(&world, preset, rate, seconds).await?;
        for &rate in &arguments.rates {
            all.push(measure(&world, preset, rate, arguments.seconds).await?);
        }
        if arguments.backlog > 0 {
            backlogs.push(measure_backlog(&world, preset, arguments.backlog, arguments.rounds).await?);
        }
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&json!({"latency": all, "backlog": backlogs}))?);
    } else {
        print_table(&all);
        print_backlogs(&backlogs);
    }
    Ok(())
}

fn print_backlogs(backlogs: &[Backlog]) {
    println!("\na backlog: its rate, and the function's CPU seconds per million events\n");
    println!("| preset | events/s | CPU |");
    println!("|---|---|---|");
    for Backlog { preset, events_per_s, cpu_s } in backlogs {
        println!("| {preset} | {events_per_s:.0} | {cpu_s:.1} |");
    }
}

/// Indexes a backlog in each round. The first one warms up the servers and does not count.
async fn measure_backlog(world: &World, preset: &str, count: usize, rounds: usize) -> Result<Backlog> {
    let (mut rates, mut cpu) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        world.search.request(Method::DELETE, "microservices-*", None).await?;
        let cpu_before = world.stack.function_cpu(DEPLOYED)?;
        let rate = index_backlog(world, count, |records| world.kafka.publish(TOPIC, records)).await?;
        let cpu_time = world.stack.function_cpu(DEPLOYED)?.saturating_sub(cpu_before);
        ensure!(!cpu_time.is_zero(), "no process of {DEPLOYED} is seen to work");
        if round > 0 {
            rates.push(rate);
            cpu.push(cpu_time.as_secs_f64() / count as f64 * 1e6);
        }
    }
    Ok(Backlog { preset: preset.to_owned(), events_per_s: median(&rates), cpu_s: median(&cpu) })
}

fn print_table(all: &[Measured]) {
    println!("publication to searchable, in ms\n");
    println!(
        "| preset | events/s | p50 | p90 | p99 | longest | Kafka and window | bulk | refresh | resolution |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for one in all {
        println!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            one.preset,
            one.rate,
            one.p50,
            one.p90,
            one.p99,
            one.most,
            one.until_bulk,
            one.bulk,
            one.refresh,
            one.resolution
        );
    }
}

async fn measure(world: &World, preset: &str, rate: u32, seconds: u32) -> Result<Measured> {
    world.search.request(Method::DELETE, "microservices-*", None).await?;
    // The day's index exists before the first event, as on every day but for its first moment.
    publish(world, rate, 1)?.await??;
    wait_for(world, rate.into()).await?;
    let started = Utc::now().timestamp_millis();
    let count = u64::from(rate) * u64::from(seconds);
    let before = searchable(world, &BTreeMap::new()).await?.len() as u64;
    ensure!(before == u64::from(rate), "{before} events of {rate} before the measurement");
    world
        .search
        .request(
            Method::POST,
            "microservices-*/_delete_by_query?refresh=true",
            Some(&json!({"query": {"match_all": {}}})),
        )
        .await?;
    let seen = watch(world, publish(world, rate, seconds)?, count).await?;
    let bulk = bulk_times(&world.lambda.log_since(DEPLOYED, started).await?);
    figures(preset, rate, &seen, bulk).with_context(|| format!("{preset}, {rate} events/s"))
}

/// Publishes `rate` events a second; returns when each was handed to the client.
fn publish(world: &World, rate: u32, seconds: u32) -> Result<JoinHandle<Result<Vec<Instant>>>> {
    let publisher = Publisher::new(&world.kafka, TOPIC)?;
    Ok(spawn_blocking(move || {
        let started = Instant::now();
        let mut published = Vec::new();
        for number in 0..u64::from(rate) * u64::from(seconds) {
            let due = started + Duration::from_secs_f64(number as f64 / f64::from(rate));
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let value = json!({
                "eventType": "OrderCreated", "orderId": format!("O-{number}"), "sequence": number, "status": "PAID",
                "total": number as f64 / 7.0, "currency": "EUR", "message": "an order was placed by a returning customer",
                "customer": {"id": format!("C-{}", number % 977), "country": "DE"},
            });
            let key = format!("O-{number}");
            publisher.send(&NewRecord { key: Some(key.into_bytes()), ..NewRecord::of(value.to_string()) })?;
            published.push(Instant::now());
            publisher.poll();
        }
        publisher.finish()?;
        Ok(published)
    }))
}

/// Looks at the index until all `count` events are searchable.
async fn watch(world: &World, publishing: JoinHandle<Result<Vec<Instant>>>, count: u64) -> Result<Seen> {
    let size = usize::try_from(count)?;
    let (mut indexed, mut looks) = (Vec::with_capacity(size), Vec::new());
    let mut searchable_at = vec![None; size];
    let (mut next_offsets, mut n_searchable) = (BTreeMap::new(), 0);
    let started_with = count_indexed(world).await?;
    let mut last_look = Instant::now();
    let mut deadline = None;
    while n_searchable < size {
        tokio::time::sleep_until((last_look + LOOK_INTERVAL).into()).await;
        looks.push(last_look.elapsed());
        last_look = Instant::now();
        let total = count_indexed(world).await?.saturating_sub(started_with);
        let now = Instant::now();
        indexed.resize(usize::try_from(total)?.clamp(indexed.len(), size), now);
        let found = searchable(world, &next_offsets).await?;
        let now = Instant::now();
        for event in &found {
            let place = searchable_at
                .get_mut(usize::try_from(event.sequence)?)
                .context("a sequence number of no event")?;
            ensure!(place.replace(now).is_none(), "event {} was found twice", event.sequence);
            next_offsets.insert(event.partition, event.offset + 1);
        }
        n_searchable += found.len();
        if publishing.is_finished() {
            let deadline = *deadline.get_or_insert(last_look + DEADLINE);
            ensure!(
                last_look < deadline,
                "{n_searchable} of {count} events are searchable after {DEADLINE:?}"
            );
        }
    }
    let published = publishing.await??;
    let searchable = searchable_at.into_iter().flatten().collect();
    Ok(Seen { published, indexed, searchable, looks })
}

/// An event that a search found.
struct Found {
    sequence: u64,
    partition: u64,
    offset: u64,
}

/// Events that a search finds: in each partition, those from its offset in `next_offsets` on. A partition's events are indexed in
/// the order of their offsets, into one shard, so that no look finds an event again and none is passed over.
async fn searchable(world: &World, next_offsets: &BTreeMap<u64, u64>) -> Result<Vec<Found>> {
    let seen: Vec<Value> = next_offsets
        .iter()
        .map(|(partition, next)| {
            json!({"bool": {"filter": [
                {"term": {"kafka_partition": partition}}, {"range": {"kafka_offset": {"lt": next}}},
            ]}})
        })
        .collect();
    let query = json!({
        "size": PAGE, "_source": false, "docvalue_fields": ["sequence", "kafka_partition", "kafka_offset"],
        "track_total_hits": false,
        "query": {"bool": {"must_not": seen}},
        "sort": [{"kafka_offset": {"order": "asc", "unmapped_type": "long"}}],
    });
    let path = "microservices-*/_search?ignore_unavailable=true&filter_path=hits.hits.fields";
    let found = world.search.request(Method::POST, path, Some(&query)).await?;
    let hits = found.pointer("/hits/hits").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    hits.iter()
        .map(|hit| {
            let number = |field: &str| hit.pointer(&format!("/fields/{field}/0")).and_then(Value::as_f64);
            let (sequence, partition, offset) = number("sequence")
                .zip(number("kafka_partition"))
                .zip(number("kafka_offset"))
                .map(|((sequence, partition), offset)| (sequence as u64, partition as u64, offset as u64))
                .with_context(|| format!("a document that is no event of the benchmark: {hit}"))?;
            Ok(Found { sequence, partition, offset })
        })
        .collect()
}

/// Waits until `count` events are searchable. An error is waited out: the shards of a new index take a moment to start.
async fn wait_for(world: &World, count: u64) -> Result<()> {
    until("events to be searchable", DEADLINE, async || {
        let found = searchable(world, &BTreeMap::new()).await?.len() as u64;
        Ok(Check::at(found >= count, || format!("{found} of {count}")))
    })
    .await
}

/// Milliseconds that the function waited for the cluster in each invocation, by its log.
fn bulk_times(lines: &[String]) -> Vec<u64> {
    let lines = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines
        .filter_map(|line| line.pointer("/fields/bulk_ms").or_else(|| line.get("bulk_ms"))?.as_u64())
        .collect()
}

fn figures(preset: &str, rate: u32, seen: &Seen, mut bulk: Vec<u64>) -> Result<Measured> {
    let between = |later: &[Instant]| -> Vec<u64> {
        seen.published
            .iter()
            .zip(later)
            .map(|(from, to)| millis(to.saturating_duration_since(*from)))
            .collect()
    };
    let (mut whole, mut until_indexed) = (between(&seen.searchable), between(&seen.indexed));
    let mut looks: Vec<u64> = seen.looks.iter().copied().map(millis).collect();
    let bulk = percentile(&mut bulk, 50).context("the function logged no invocation")?;
    let indexed = percentile(&mut until_indexed, 50).context("nothing was indexed")?;
    let mut at = |percent| percentile(&mut whole, percent).context("nothing was searchable");
    let p50 = at(50)?;
    Ok(Measured {
        preset: preset.to_owned(),
        rate,
        p50,
        p90: at(90)?,
        p99: at(99)?,
        most: at(100)?,
        until_bulk: indexed.saturating_sub(bulk),
        bulk,
        refresh: p50.saturating_sub(indexed),
        resolution: percentile(&mut looks, 50).unwrap_or(0),
    })
}

fn percentile(values: &mut [u64], percent: usize) -> Option<u64> {
    values.sort_unstable();
    values.get((values.len() * percent).div_ceil(100).max(1) - 1).copied()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
