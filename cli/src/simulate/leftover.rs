//! Scratch indices that a killed simulation has left: they are found by the mark in their mappings, and deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::Method;
use search_client::client::SearchClient;
use search_client::percent::encode;
use serde::{Deserialize, Serialize};

use crate::cluster::{CallError, call};

/// What the names of scratch indices have behind the prefix of the daily index that they stand for.
pub const NAME: &str = "-simulation-";
/// A simulation that began so long ago has ended, wherever it ran.
const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// Which simulation made a scratch index: `_meta.kafka_to_search_simulation` of its mapping.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// When it began, in milliseconds since the epoch.
    began_ms: u64,
    /// Its process.
    process: u32,
    /// The machine since its start and the namespace that the process' number is of; `None` where that is not known.
    place: Option<String>,
}

/// `_meta` of a mapping.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    #[serde(rename = "kafka_to_search_simulation")]
    mark: Mark,
}

impl Mark {
    /// That of this process.
    pub fn own() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            began_ms: u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX),
            process: std::process::id(),
            place: place(),
        }
    }

    /// `_meta` of a scratch index's mapping.
    pub fn meta(&self) -> Meta {
        Meta { mark: self.clone() }
    }

    /// What makes the names of a simulation's indices its own: letters, digits and `-`.
    pub fn run_name(&self) -> String {
        format!("{:x}-{:x}", self.began_ms, self.process)
    }

    /// Whether the simulation with this mark is over, as seen by that of `own`.
    fn is_over(&self, own: &Self, is_alive: impl Fn(u32) -> bool) -> bool {
        let is_here = self.place.is_some() && self.place == own.place;
        let age_ms = own.began_ms.saturating_sub(self.began_ms);
        u128::from(age_ms) > MAX_AGE.as_millis() || (is_here && !is_alive(self.process))
    }
}

/// Deletes the scratch indices among those that match `patterns` whose simulations are over. Returns their names.
///
/// # Errors
/// [`CallError`] when they can't be listed or deleted.
pub async fn remove(
    client: &SearchClient,
    patterns: &BTreeSet<String>,
    own: &Mark,
) -> Result<Vec<String>, CallError> {
    let patterns: Vec<String> = patterns.iter().filter_map(|pattern| scratch_pattern(pattern)).collect();
    if patterns.is_empty() {
        return Ok(Vec::new());
    }
    // Hidden indices are found by `all` alone.
    let path = format!(
        "{}/_mapping?expand_wildcards=all&ignore_unavailable=true&allow_no_indices=true&filter_path=*.mappings._meta",
        patterns.join(",")
    );
    let body = call(client, Method::GET, &path, None).await?;
    let mut removed = Vec::new();
    for name in over(&body, own, |process| Path::new(&format!("/proc/{process}")).exists()) {
        match call(client, Method::DELETE, &encode(&name), None).await {
            Ok(_) => removed.push(name),
            // Another simulation has just deleted it.
            Err(error) if error.status() == Some(404) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(removed)
}

/// The pattern of the scratch indices that stand for indices of `pattern`, if it is one of daily indices.
fn scratch_pattern(pattern: &str) -> Option<String> {
    let start = pattern.strip_suffix("-*")?;
    Some(format!("{start}-*{}*", NAME.trim_start_matches('-')))
}

/// Names of the indices in the response `mappings` that this program made in a simulation that is over.
fn over(mappings: &[u8], own: &Mark, is_alive: impl Fn(u32) -> bool + Copy) -> Vec<String> {
    #[derive(Deserialize)]
    struct Index {
        mappings: Mappings,
    }
    #[derive(Deserialize)]
    struct Mappings {
        #[serde(rename = "_meta")]
        meta: serde_json::Value,
    }
    // Whose mapping has another form is not one of them.
    let indices: BTreeMap<String, serde_json::Value> = serde_json::from_slice(mappings).unwrap_or_default();
    let of_index = |(name, index): (String, serde_json::Value)| {
        let Index { mappings } = serde_json::from_value(index).ok()?;
        let Meta { mark } = serde_json::from_value(mappings.meta).ok()?;
        let is_left = name.contains(NAME) && mark.is_over(own, is_alive);
        is_left.then_some(name)
    };
    indices.into_iter().filter_map(of_index).collect()
}

fn place() -> Option<String> {
    let start = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", start.trim(), namespace.display()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const HOUR_MS: u64 = 60 * 60 * 1000;

    fn mark(began_ms: u64, process: u32, place: &str) -> Mark {
        Mark { began_ms, process, place: Some(place.to_owned()) }
    }

    #[test]
    fn only_scratch_indices_of_simulations_that_are_over_are_removed() {
        let now_ms = 1_772_359_200_000;
        let own = mark(now_ms, 7, "here");
        let index = |mark: &Mark| json!({"mappings": {"_meta": mark.meta()}});
        let nowhere = Mark { place: None, ..mark(now_ms - HOUR_MS, 6, "") };
        let mappings = json!({
            "a-simulation-killed": index(&mark(now_ms - HOUR_MS, 6, "here")),
            "a-simulation-running": index(&mark(now_ms - HOUR_MS, 5, "here")),
            "a-simulation-own": index(&own),
            "a-simulation-elsewhere": index(&mark(now_ms - HOUR_MS, 6, "elsewhere")),
            "a-simulation-elsewhere-long-ago": index(&mark(now_ms - 25 * HOUR_MS, 6, "elsewhere")),
            "a-simulation-nowhere": index(&nowhere),
            "a-2026.03.01": index(&mark(now_ms - HOUR_MS, 6, "here")),
            "a-simulation-of-another": {"mappings": {"_meta": {"version": 1}}},
            "a-simulation-without-a-mark": {"mappings": {}},
        });
        let is_alive = |process| process == 5 || process == 7;
        let names = over(mappings.to_string().as_bytes(), &own, is_alive);
        assert_eq!(names, ["a-simulation-elsewhere-long-ago", "a-simulation-killed"]);
        assert!(over(b"{}", &own, is_alive).is_empty() && over(b"<html>", &own, is_alive).is_empty());
    }

    #[test]
    fn patterns_of_daily_indices_have_patterns_of_scratch_indices() {
        assert_eq!(scratch_pattern("payments-*").as_deref(), Some("payments-*simulation-*"));
        assert_eq!(scratch_pattern("payments"), None);
        assert_eq!(scratch_pattern("*"), None);
    }

    #[test]
    fn the_mark_of_a_process_names_where_its_number_counts() {
        let own = Mark::own();
        assert_eq!((own.process, own.place.is_some()), (std::process::id(), cfg!(target_os = "linux")));
        assert!(!own.is_over(&own, |_| true));
    }
}
