//! An account, for people and for programs.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Value, json};

use super::heal::Healed;
use super::outcome::Counts;
use super::topic_account::{PartitionAccount, TopicAccount};
use crate::offsets::OffsetRange;

/// Ranges of missing offsets that the text lists of a partition.
const LISTED: usize = 100;

/// The account of some topics.
#[derive(Debug)]
pub struct Report {
    /// Where it began, as it was asked for.
    pub since: String,
    /// The topics.
    pub topics: Vec<TopicAccount>,
    /// Topics that could not be counted.
    pub uncounted: Vec<Uncounted>,
    /// What was given to the function before; `None` if nothing was.
    pub healed: Option<Healed>,
}

/// A topic of which nothing is known.
#[derive(Debug, Clone, Serialize)]
pub struct Uncounted {
    /// Its name.
    pub topic: String,
    /// Why.
    pub reason: String,
}

const COLUMNS: [&str; 11] = [
    "partition",
    "offsets",
    "records",
    "indexed",
    "rescued",
    "dead-lettered",
    "dropped",
    "destination",
    "removed",
    "pending",
    "missing",
];

impl Report {
    /// The counts of all topics.
    pub fn total(&self) -> Counts {
        let mut total = Counts::default();
        for topic in &self.topics {
            total += topic.total();
        }
        total
    }

    /// Whether everything was counted. Without it, a count of 0 does not say that nothing is missing.
    pub fn is_whole(&self) -> bool {
        self.uncounted.is_empty() && self.topics.iter().all(TopicAccount::is_whole)
    }

    /// Writes it as one JSON object.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *out, &self.json(usize::MAX))?;
        writeln!(out)
    }

    /// Returns it as one JSON object, with at most `max_ranges` ranges of missing offsets.
    pub fn json(&self, max_ranges: usize) -> Value {
        let mut left = max_ranges;
        let topics: Vec<Value> = self
            .topics
            .iter()
            .map(|topic| {
                let partition = |partition| partition_json(partition, &mut left);
                json!({
                    "topic": topic.source.topic,
                    "group": topic.source.group,
                    "partitions": topic.partitions.iter().map(partition).collect::<Vec<_>>(),
                    "uncounted_partitions": topic.uncounted,
                })
            })
            .collect();
        json!({
            "since": self.since,
            "complete": self.total().missing == 0 && self.is_whole(),
            "total": counts_json(self.total()),
            "topics": topics,
            "uncounted_topics": self.uncounted,
            "healed": self.healed,
            "notes": self.notes(),
        })
    }

    /// Writes it as a table.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut rows = vec![row("", COLUMNS.map(str::to_owned))];
        for topic in &self.topics {
            for partition in &topic.partitions {
                rows.push(row(
                    &topic.source.topic,
                    cells(&partition.partition.to_string(), partition.counts),
                ));
            }
        }
        rows.push(row("all", cells("", self.total())));
        let width = |column: usize| {
            rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..=COLUMNS.len()).map(width).collect();
        for row in &rows {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let cell = if column == 0 { format!("{cell:<width$}") } else { format!("  {cell:>width$}") };
                line.push_str(&cell);
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        self.write_missing(out)?;
        if let Some(Healed { invocations, records, failed, too_large }) = self.healed {
            writeln!(
                out,
                "\ngiven to the function again before this count: {records} records in {invocations} invocations, of which {failed} records failed"
            )?;
            if too_large > 0 {
                writeln!(out, "{too_large} records have more than 6 MB and fit in no invocation")?;
            }
        }
        for note in self.notes() {
            writeln!(out, "\nnote: {note}")?;
        }
        Ok(())
    }

    fn write_missing(&self, out: &mut dyn Write) -> io::Result<()> {
        let total = self.total();
        if total.missing == 0 {
            return writeln!(out, "\nNothing is missing.");
        }
        writeln!(out, "\nmissing offsets")?;
        for topic in &self.topics {
            for partition in topic.partitions.iter().filter(|partition| partition.counts.missing > 0) {
                let ranges = partition.missing.ranges();
                let listed: Vec<String> = ranges.iter().take(LISTED).map(ToString::to_string).collect();
                let more = ranges.len().saturating_sub(LISTED);
                let more =
                    if more > 0 { format!(" and {more} more ranges: see --json") } else { String::new() };
                writeln!(
                    out,
                    "  {}-{}: {}{more}",
                    topic.source.topic,
                    partition.partition,
                    listed.join(", ")
                )?;
            }
        }
        Ok(())
    }

    fn notes(&self) -> Vec<&str> {
        self.topics.iter().flat_map(|topic| &topic.notes).map(String::as_str).collect()
    }
}

fn row(name: &str, cells: [String; COLUMNS.len()]) -> Vec<String> {
    [name.to_owned()].into_iter().chain(cells).collect()
}

fn cells(partition: &str, counts: Counts) -> [String; COLUMNS.len()] {
    let numbers = [
        counts.offsets,
        counts.records(),
        counts.indexed,
        counts.rescued,
        counts.dead_lettered,
        counts.dropped,
        counts.at_destination,
        counts.removed,
        counts.pending,
        counts.missing,
    ];
    let mut cells = std::array::from_fn(|_| partition.to_owned());
    for (cell, number) in cells.iter_mut().skip(1).zip(numbers) {
        *cell = number.to_string();
    }
    cells
}

/// Counts, with those that follow from them.
#[derive(Serialize)]
struct CountsJson {
    #[serde(flatten)]
    counts: Counts,
    records: u64,
}

#[derive(Serialize)]
struct PartitionJson {
    partition: i32,
    first_offset: i64,
    end_offset: i64,
    committed_offset: Option<i64>,
    #[serde(flatten)]
    counts: CountsJson,
    in_several_indices: u64,
    missing_offsets: Vec<RangeJson>,
    /// Ranges of missing offsets that are not listed.
    missing_ranges_left_out: usize,
}

#[derive(Serialize)]
struct RangeJson {
    first: i64,
    last: i64,
}

fn counts_json(counts: Counts) -> CountsJson {
    CountsJson { records: counts.records(), counts }
}

/// Lists at most `left` ranges, and takes those away from it.
fn partition_json(partition: &PartitionAccount, left: &mut usize) -> PartitionJson {
    let ranges = partition.missing.ranges();
    let n_listed = ranges.len().min(*left);
    *left -= n_listed;
    let range = |range: &OffsetRange| RangeJson { first: range.start, last: range.end - 1 };
    PartitionJson {
        partition: partition.partition,
        first_offset: partition.range.start,
        end_offset: partition.range.end,
        committed_offset: partition.committed,
        counts: counts_json(partition.counts),
        in_several_indices: partition.doubled,
        missing_offsets: ranges.iter().take(n_listed).map(range).collect(),
        missing_ranges_left_out: ranges.len() - n_listed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::topic_account::TopicSource;

    fn report(missing: &[i64]) -> Report {
        let n = missing.len() as u64;
        let partition = PartitionAccount {
            partition: 3,
            range: OffsetRange::new(100, 120),
            committed: Some(118),
            counts: Counts {
                offsets: 20,
                indexed: 17 - n,
                removed: 1,
                pending: 2,
                missing: n,
                ..Counts::default()
            },
            missing: missing.iter().copied().collect(),
            doubled: 0,
        };
        let source = TopicSource { topic: "a.events".into(), group: "g".into(), mapping: None };
        let topic = TopicAccount {
            source,
            partitions: vec![partition],
            uncounted: Vec::new(),
            notes: vec!["a note".into()],
        };
        Report { since: "1h".into(), topics: vec![topic], uncounted: Vec::new(), healed: None }
    }

    fn text(report: &Report) -> String {
        let mut out = Vec::new();
        report.write_text(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_table_lists_missing_offsets_as_ranges() {
        let expected = "          partition  offsets  records  indexed  rescued  dead-lettered  dropped  destination  removed  pending  missing
a.events          3       20       17       14        0              0        0            0        1        2        3
all                       20       17       14        0              0        0            0        1        2        3

missing offsets
  a.events-3: 104-105, 110

note: a note
";
        assert_eq!(text(&report(&[104, 105, 110])), expected);
        assert!(text(&report(&[])).contains("\nNothing is missing.\n"));
    }

    #[test]
    fn the_json_has_every_count_and_range() {
        let mut out = Vec::new();
        report(&[104, 105, 110]).write_json(&mut out).unwrap();
        let report: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!((&report["complete"], &report["total"]["missing"]), (&json!(false), &json!(3)));
        let expected = json!({
            "partition": 3, "first_offset": 100, "end_offset": 120, "committed_offset": 118,
            "offsets": 20, "records": 17, "indexed": 14, "rescued": 0, "dead_lettered": 0, "dropped": 0, "at_destination": 0,
            "removed": 1, "pending": 2, "missing": 3, "in_several_indices": 0,
            "missing_offsets": [{"first": 104, "last": 105}, {"first": 110, "last": 110}], "missing_ranges_left_out": 0,
        });
        assert_eq!(report["topics"][0]["partitions"][0], expected);
    }

    #[test]
    fn ranges_that_are_not_listed_are_counted() {
        let report = report(&[104, 105, 110]).json(1);
        let partition = &report["topics"][0]["partitions"][0];
        assert_eq!(partition["missing_offsets"], json!([{"first": 104, "last": 105}]));
        assert_eq!((&partition["missing_ranges_left_out"], &partition["missing"]), (&json!(1), &json!(3)));
    }

    #[test]
    fn what_was_not_counted_is_not_complete() {
        let mut partly = report(&[]);
        assert_eq!(partly.json(0)["complete"], json!(true));
        partly.topics[0].uncounted = vec![4];
        let json = partly.json(0);
        assert_eq!(json["complete"], json!(false));
        assert_eq!(json["topics"][0]["uncounted_partitions"], json!([4]));
        let mut without = report(&[]);
        without.uncounted = vec![Uncounted { topic: "b".into(), reason: "why".into() }];
        assert_eq!(without.json(0)["complete"], json!(false));
        assert_eq!(without.json(0)["uncounted_topics"], json!([{"topic": "b", "reason": "why"}]));
    }
}
