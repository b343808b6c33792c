//! A backlog: events that are published at once, and the rate at which they reach the index.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use reqwest::Method;
use serde_json::Value;

use crate::live::flow::events;
use crate::live::kafka::NewRecord;
use crate::live::poll::{Check, until};
use crate::live::world::World;

/// Publishes `count` realistic events by `publish` and waits until all are indexed; returns events per second since the first was.
///
/// # Errors
/// When they can't be published, or are not indexed in time.
pub async fn index_backlog(
    world: &World,
    count: usize,
    publish: impl FnOnce(&[NewRecord]) -> Result<()>,
) -> Result<f64> {
    let records = events(count);
    let before = count_indexed(world).await?;
    publish(&records)?;
    let mut first = None;
    until("all events to be indexed", Duration::from_secs(600), async || {
        let n_indexed = count_indexed(world).await?.saturating_sub(before);
        if n_indexed > 0 {
            first.get_or_insert((n_indexed, Instant::now()));
        }
        Ok(Check::at(n_indexed >= count as u64, || format!("{n_indexed} of {count}")))
    })
    .await?;
    let (n_before, started) = first.context("no event was seen to be indexed")?;
    Ok((count as u64 - n_before) as f64 / started.elapsed().as_secs_f64())
}

/// Documents indexed in the daily indices so far, searchable or not.
///
/// # Errors
/// When the cluster does not respond.
pub async fn count_indexed(world: &World) -> Result<u64> {
    let path = "microservices-*/_stats/indexing?filter_path=_all.primaries.indexing.index_total";
    let stats = world.search.request(Method::GET, path, None).await?;
    Ok(stats.pointer("/_all/primaries/indexing/index_total").and_then(Value::as_u64).unwrap_or(0))
}
