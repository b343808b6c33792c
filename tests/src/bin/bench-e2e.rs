//! Measures the whole stack: events through Kafka, the poller and the deployed function into OpenSearch, beside bulk
//! bodies of the same kind that are built beforehand and sent straight into the same OpenSearch. Run it by
//! `make bench-e2e`, which starts a stack for it.

#![expect(clippy::print_stdout, reason = "printing its figures is what a benchmark is for")]

use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use clap::Parser;
use event_pipeline::bulk::{BulkLimits, BulkRequest, Pushed};
use event_pipeline::bulk_response::{FILTER_PATH, read_bulk_response};
use event_pipeline::document::Encoder;
use event_pipeline::envelope::read_batch;
use event_pipeline::outcome::Verdict;
use event_pipeline::settings::Settings;
use event_producer::payload::{RecordHeaders, payload};
use flate2::Compression;
use flate2::write::GzEncoder;
use integration_tests::flow::{Flow, FlowOptions, World, events, now_ms};
use integration_tests::poll::{Look, until};
use reqwest::Method;

/// Measures indexing through the function beside prebuilt bulk bodies.
#[derive(Parser)]
struct Arguments {
    /// Events of a round: enough that the rate is that of a running stream, not of its start and end.
    #[arg(long, default_value_t = 200_000)]
    events: usize,
    /// Rounds of each way, taken in turns; the median of each counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Connections that prebuilt bodies are sent on, and partitions of the topic.
    #[arg(long, default_value_t = 3)]
    parallel: usize,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let world = World::ready().await?;
    let options = FlowOptions {
        partitions: arguments.parallel.try_into()?,
        batch_size: 5_000,
        ..FlowOptions::default()
    };
    let flow = world.flow("bench", options).await?;
    // The first round of each warms servers and function up.
    through_function(&world, &flow, arguments.events / 4).await?;
    let mut prebuilt = Prebuilt::default();
    straight(&world, prebuilt.bodies(arguments.events / 4)?, arguments.parallel).await?;
    let (mut straight_rates, mut function_rates) = (Vec::new(), Vec::new());
    for _ in 0..arguments.rounds {
        empty(&world).await?;
        let rate = straight(&world, prebuilt.bodies(arguments.events)?, arguments.parallel).await?;
        println!("prebuilt bulk bodies   {rate:7.0} events/s");
        straight_rates.push(rate);
        empty(&world).await?;
        let rate = through_function(&world, &flow, arguments.events).await?;
        println!("through the function   {rate:7.0} events/s");
        function_rates.push(rate);
    }
    flow.finish().await?;
    let (straight_rate, function_rate) = (median(straight_rates), median(function_rates));
    println!(
        "median of {}: prebuilt {straight_rate:.0} events/s, through the function {function_rate:.0} events/s, ratio {:.2}",
        arguments.rounds,
        function_rate / straight_rate
    );
    Ok(())
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Removes the daily indices, so that each round begins alike: what one wrote would be merged while the next is measured.
async fn empty(world: &World) -> Result<()> {
    world.search.request(Method::DELETE, "microservices-*", None).await.map(drop)
}

struct Body {
    gzip: Bytes,
    n_operations: usize,
}

/// Makes bulk bodies as the function sends them.
#[derive(Default)]
struct Prebuilt {
    n_events: usize,
}

impl Prebuilt {
    /// Bodies of `count` events that no earlier bodies hold.
    fn bodies(&mut self, count: usize) -> Result<Vec<Body>> {
        let mut encoder = Encoder::new(Settings::default());
        let mut request = BulkRequest::default();
        let mut bodies = Vec::new();
        let end = self.n_events + count;
        loop {
            let payload =
                payload(self.n_events as u64, now_ms(), 6 * 1024 * 1024, RecordHeaders::TraceAndCorrelation);
            for (position, entry) in read_batch(&payload.json)?.iter().enumerate() {
                let mut record = entry.record.clone().map_err(|error| anyhow::anyhow!("{error}"))?;
                // Each payload begins at offset 0, and offsets are what tells ids apart.
                record.offset = self.n_events.try_into()?;
                while request
                    .push(position, BulkLimits::default(), |body| encoder.append(&record, body).map(drop))?
                    == Pushed::Full
                {
                    bodies.push(compressed(&request)?);
                    request.clear();
                }
                self.n_events += 1;
                if self.n_events == end {
                    bodies.push(compressed(&request)?);
                    return Ok(bodies);
                }
            }
        }
    }
}

fn compressed(request: &BulkRequest) -> Result<Body> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(request.body())?;
    Ok(Body { gzip: gzip.finish()?.into(), n_operations: request.len() })
}

/// Sends the bodies on `parallel` connections; returns events a second.
async fn straight(world: &World, bodies: Vec<Body>, parallel: usize) -> Result<f64> {
    let n_events: usize = bodies.iter().map(|body| body.n_operations).sum();
    let url = format!("{}/_bulk?{FILTER_PATH}", world.stack.search_endpoint);
    let queue = Arc::new(Mutex::new(bodies));
    let started = Instant::now();
    let senders: Vec<_> = (0..parallel)
        .map(|_| {
            let (queue, url) = (Arc::clone(&queue), url.clone());
            tokio::spawn(async move {
                let http = reqwest::Client::new();
                loop {
                    let Some(body) = queue.lock().unwrap_or_else(PoisonError::into_inner).pop() else {
                        return Ok(());
                    };
                    let request = http
                        .post(&url)
                        .header("content-type", "application/x-ndjson")
                        .header("content-encoding", "gzip")
                        .body(body.gzip);
                    let answer = request.send().await?.error_for_status()?.bytes().await?;
                    let verdicts = read_bulk_response(&answer, body.n_operations)?;
                    let not_indexed = verdicts.iter().find(|verdict| **verdict != Verdict::Indexed);
                    ensure!(not_indexed.is_none(), "a prebuilt document is not indexed: {not_indexed:?}");
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await.context("a sender ended early")??;
    }
    Ok(n_events as f64 / started.elapsed().as_secs_f64())
}

/// Publishes events and waits until OpenSearch has indexed them; returns events a second, from the first that is indexed.
async fn through_function(world: &World, flow: &Flow, count: usize) -> Result<f64> {
    let records = events(count);
    let before = indexed(world).await?;
    flow.publish(&records)?;
    let mut first = None;
    until("all events to be indexed", Duration::from_secs(600), async || {
        let n_indexed = indexed(world).await? - before;
        if n_indexed > 0 {
            first.get_or_insert((n_indexed, Instant::now()));
        }
        Ok(Look::at(n_indexed >= count as u64, || format!("{n_indexed} of {count}")))
    })
    .await?;
    let (n_before, started) = first.context("no event was seen to be indexed")?;
    Ok((count as u64 - n_before) as f64 / started.elapsed().as_secs_f64())
}

/// Documents that the daily indices have taken, without a refresh.
async fn indexed(world: &World) -> Result<u64> {
    let path = "microservices-*/_stats/indexing?filter_path=_all.primaries.indexing.index_total";
    let stats = world.search.request(Method::GET, path, None).await?;
    Ok(stats.pointer("/_all/primaries/indexing/index_total").and_then(serde_json::Value::as_u64).unwrap_or(0))
}
