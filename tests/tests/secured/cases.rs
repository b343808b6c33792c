//! Every event of `tests/fixtures/cases`, in random orders, into fresh indices and into those that hold other events.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::servers::Server;
use crate::shapes::{Conflict, Event, Kept, Mapping, SERVERS, Shapes};

/// Orders in which the cases are indexed.
const ORDERS: usize = 3;

/// A row of `expected.yaml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    day: String,
    #[serde(default)]
    tags: Vec<String>,
    /// `_mappingconflict` where objects are mapped as objects.
    #[serde(default)]
    objects: Conflict,
    /// `_mappingconflict` where only leaves are mapped.
    #[serde(default)]
    leaves: Conflict,
    #[serde(default)]
    kept: Kept,
    /// Bytes of the record's key.
    key: Option<Vec<u8>>,
    /// Length of the record's key.
    key_length: Option<usize>,
}

/// All cases, for an engine that maps in this way.
fn cases(mapping: Mapping) -> Result<Vec<Event>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/cases");
    let table: BTreeMap<String, Expected> =
        serde_yaml_ng::from_str(&std::fs::read_to_string(folder.join("expected.yaml"))?)?;
    let mut names: Vec<String> = std::fs::read_dir(&folder)?
        .map(|file| Ok(file?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    names.retain(|name| name.ends_with(".json") || name.ends_with(".bin"));
    names.sort();
    ensure!(names.iter().eq(table.keys()), "expected.yaml lists each case once");
    table
        .into_iter()
        .map(|(name, expected)| {
            Ok(Event {
                value: std::fs::read(folder.join(&name))?,
                name,
                key: expected.key.or_else(|| expected.key_length.map(|length| vec![b'k'; length])),
                day: expected.day,
                tags: expected.tags,
                conflict: if mapping == Mapping::Objects { expected.objects } else { expected.leaves },
                kept: expected.kept,
            })
        })
        .collect()
}

/// The seed of the run: the same each time, unless `CASES_SEED` gives another.
pub(crate) fn seed() -> Result<u64> {
    let seed = match std::env::var("CASES_SEED") {
        Ok(text) => text.parse().context("CASES_SEED is a number")?,
        Err(_) => 8_873_233_228_601_997_497,
    };
    #[expect(clippy::print_stderr, reason = "a failed run is repeated by its seed")]
    {
        eprintln!("CASES_SEED={seed}");
    }
    Ok(seed)
}

#[tokio::test]
async fn every_case_is_indexed_at_its_day_tagged_and_found_in_any_order() -> Result<()> {
    let seed = seed()?;
    for (name, mapping) in SERVERS {
        let server = Server::find(name).await?;
        Shapes::provision(&server, "cases", mapping).await?;
        let cases = cases(mapping)?;
        let mut order: Vec<&Event> = cases.iter().collect();
        let mut random = fastrand::Rng::with_seed(seed);
        for number in 1..=ORDERS {
            random.shuffle(&mut order);
            let shapes = Shapes::fresh(&server, format!("cases-{number}")).await?;
            shapes.index("first.events", &order).await.with_context(|| format!("{name}, fresh indices"))?;
            order.reverse();
            shapes.index("again.events", &order).await.with_context(|| format!("{name}, used indices"))?;
            shapes.remove().await?;
        }
    }
    Ok(())
}
