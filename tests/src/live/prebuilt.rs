//! Bulk requests of generated events, built in advance and sent straight to the cluster: the baseline of benchmarks.

use std::collections::VecDeque;
use std::io::Write as _;
use std::iter::repeat_n;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use bytes::Bytes;
use event_pipeline::bulk::{BulkLimits, BulkRequest, Pushed};
use event_pipeline::bulk_response::{FILTER_PATH, read_bulk_response};
use event_pipeline::encoder::Encoder;
use event_pipeline::event::read_batch;
use event_pipeline::item_result::{ItemAction, ItemResult};
use event_pipeline::settings::Settings;
use event_producer::payload::{RecordHeaders, payload};
use flate2::Compression;
use flate2::write::GzEncoder;

/// Lambda's payload limit, which bounds a batch.
const PAYLOAD_BYTES: usize = 6 * 1024 * 1024;

/// A bulk body as the function sends it.
pub struct Body {
    gzip: Bytes,
    n_operations: usize,
}

/// Builds bulk bodies of events, no two of them the same.
pub struct Prebuilt {
    settings: Settings,
    n_events: usize,
}

impl Prebuilt {
    /// Bodies with the documents that these settings produce.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings, n_events: 0 }
    }

    /// Bodies of `count` events that no earlier body holds. The events of a payload lie in the half hour before the time that
    /// `end_ms` returns for it.
    ///
    /// # Errors
    /// When the pipeline can't read the generated events.
    pub fn bodies(&mut self, count: usize, mut end_ms: impl FnMut() -> i64) -> Result<VecDeque<Body>> {
        let mut encoder = Encoder::new(self.settings.clone());
        let mut request = BulkRequest::default();
        let mut bodies = VecDeque::new();
        let end = self.n_events + count;
        loop {
            let seed = self.n_events as u64;
            let payload = payload(seed, end_ms(), PAYLOAD_BYTES, RecordHeaders::TraceAndCorrelation);
            for (position, entry) in read_batch(&payload.json)?.iter().enumerate() {
                let mut record = entry.record.clone().map_err(|error| anyhow!("{error}"))?;
                // Each payload starts at offset 0, and offsets keep ids distinct.
                record.offset = self.n_events.try_into()?;
                while request.push(position, BulkLimits::default(), |body| {
                    encoder
                        .append(&record, body)
                        .map(|appended| appended.document().expect("no rule drops it"))
                })? == Pushed::Full
                {
                    bodies.push_back(compressed(&request)?);
                    request.clear();
                }
                self.n_events += 1;
                if self.n_events == end {
                    bodies.push_back(compressed(&request)?);
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
///
/// # Errors
/// When a document is not indexed.
pub async fn send(endpoint: &str, bodies: VecDeque<Body>, parallel: usize) -> Result<f64> {
    let n_events: usize = bodies.iter().map(|body| body.n_operations).sum();
    let url = format!("{endpoint}/_bulk?{FILTER_PATH}");
    let queue = Arc::new(Mutex::new(bodies));
    let started = Instant::now();
    let senders: Vec<_> = (0..parallel)
        .map(|_| {
            let (queue, url) = (Arc::clone(&queue), url.clone());
            tokio::spawn(async move {
                let http = reqwest::Client::new();
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some(body) = next else { return Ok(()) };
                    let request = http
                        .post(&url)
                        .header("content-type", "application/x-ndjson")
                        .header("content-encoding", "gzip")
                        .body(body.gzip);
                    let response = request.send().await?.error_for_status()?.bytes().await?;
                    let results =
                        read_bulk_response(&response, repeat_n(ItemAction::Create, body.n_operations))?;
                    let not_indexed = results.iter().find(|result| **result != ItemResult::Indexed);
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

/// The median of `values`; NaN if there are none.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
