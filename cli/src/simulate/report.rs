//! What a simulation found, for people and for programs.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::tally::{Counts, Example, Tally};
use super::top::Top;

/// Lines of each list.
const LISTED: usize = 20;

/// A simulation's result.
#[derive(Debug)]
pub struct Report {
    /// The topic.
    pub topic: String,
    /// Where it began, in words.
    pub since: String,
    /// The file.
    pub pipeline: String,
    /// Why it ended before the topic's end, if it did.
    pub stopped: Option<&'static str>,
    /// What a reader has to know.
    pub notes: Vec<String>,
    /// The counts.
    pub tally: Tally,
}

impl Report {
    /// Writes it as one JSON object.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        let Tally { counts, .. } = &self.tally;
        let tally = &self.tally;
        let report = json!({
            "topic": self.topic,
            "since": self.since,
            "pipeline": self.pipeline,
            "stopped": self.stopped,
            "notes": self.notes,
            "counts": counts,
            "fields": {
                "added": list(&tally.added, "field"),
                "removed": list(&tally.removed, "field"),
                "changed": list(&tally.changed, "field"),
            },
            "dropped_by": names(&tally.dropped_by),
            "dead_letters": list(&tally.dead_letters, "reason"),
            "refused": {
                "events": tally.n_refused,
                "taken": tally.n_taken,
                "not_tried": tally.n_not_tried,
                "fields": list(&tally.refused, "field"),
            },
            "bytes": {"before": tally.bytes_before, "after": tally.bytes_after},
            "indices": {"before": names(&tally.indices_before), "after": names(&tally.indices_after)},
        });
        serde_json::to_writer_pretty(&mut *out, &report)?;
        writeln!(out)
    }

    /// Writes it as text.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        let tally = &self.tally;
        let counts = tally.counts;
        writeln!(out, "{} since {}, by {}", self.topic, self.since, self.pipeline)?;
        if let Some(stopped) = self.stopped {
            writeln!(out, "{stopped}: this is what was read until then")?;
        }
        writeln!(out)?;
        self.write_counts(counts, out)?;
        write_fields("fields added", &tally.added, out)?;
        write_fields("fields removed", &tally.removed, out)?;
        write_fields("fields changed", &tally.changed, out)?;
        if !tally.dead_letters.is_empty() {
            writeln!(out, "\nnew dead letters")?;
            for counted in tally.dead_letters.most(LISTED) {
                writeln!(out, "{:>10}  {}, such as {}", counted.n, counted.name, counted.example)?;
            }
        }
        self.write_refusals(out)?;
        self.write_sizes(out)?;
        for note in &self.notes {
            writeln!(out, "\nnote: {note}")?;
        }
        Ok(())
    }

    fn write_counts(&self, counts: Counts, out: &mut dyn Write) -> io::Result<()> {
        let row = |out: &mut dyn Write, n: u64, what: &str, is_always: Always| {
            if n > 0 || is_always == Always::Yes {
                writeln!(out, "{n:>10}  {what}")?;
            }
            io::Result::Ok(())
        };
        row(out, counts.events, "events", Always::Yes)?;
        row(out, counts.unchanged, "unchanged", Always::Yes)?;
        row(out, counts.changed, "changed: other fields in the same index", Always::Yes)?;
        let rerouted = match counts.rerouted_and_changed {
            0 => "rerouted to another index".to_owned(),
            n => format!("rerouted to another index, {n} of them with other fields"),
        };
        row(out, counts.rerouted, &rerouted, Always::Yes)?;
        let by: Vec<_> = self
            .tally
            .dropped_by
            .most(LISTED)
            .iter()
            .map(|counted| format!("{} by {}", counted.n, counted.name))
            .collect();
        let dropped = if by.is_empty() {
            "dropped".to_owned()
        } else {
            format!("dropped, although indexed so far (of all events: {})", by.join(", "))
        };
        row(out, counts.dropped, &dropped, Always::Yes)?;
        row(out, counts.dead_lettered, "dead letters, although indexed so far", Always::Yes)?;
        row(
            out,
            counts.in_conflict_form,
            "indexed in the form of a mapping conflict, whose fields are not compared",
            Always::No,
        )?;
        let mut not_indexed = Vec::new();
        for (n, what) in [
            (counts.not_indexed_now_indexed, "would be indexed"),
            (counts.not_indexed_now_dropped, "would be dropped"),
            (counts.not_indexed_now_dead_lettered, "would be dead letters"),
            (counts.not_indexed_so_far_dead_lettered, "are dead letters so far"),
        ] {
            if n > 0 {
                not_indexed.push(format!("{n} {what}"));
            }
        }
        let separator = if not_indexed.is_empty() { "" } else { ": " };
        let text = format!("not indexed so far{separator}{}", not_indexed.join(", "));
        row(out, counts.not_indexed, &text, Always::Yes)?;
        row(out, counts.undecided, "of schemas that could not be had, and so not decided on", Always::No)?;
        row(out, counts.left_out, "more events left out by --sample", Always::No)
    }

    fn write_refusals(&self, out: &mut dyn Write) -> io::Result<()> {
        let tally = &self.tally;
        writeln!(out, "\ntried in the cluster: {} taken, {} refused", tally.n_taken, tally.n_refused)?;
        if tally.n_not_tried > 0 {
            writeln!(out, "{:>10}  not tried", tally.n_not_tried)?;
        }
        for counted in tally.refused.most(LISTED) {
            let Example { event, before, .. } = counted.example;
            let reason = before.as_deref().unwrap_or_default();
            writeln!(out, "{:>10}  {}, such as {event}: {reason}", counted.n, counted.name)?;
        }
        if tally.n_refused > 0 {
            writeln!(
                out,
                "            (such a document is indexed in another form, with the tag _mappingconflict)"
            )?;
        }
        Ok(())
    }

    fn write_sizes(&self, out: &mut dyn Write) -> io::Result<()> {
        let tally = &self.tally;
        let before = tally.bytes_before;
        let after = tally.bytes_after;
        let percent = if before == 0 {
            String::new()
        } else {
            format!(", {:+.1} %", (after as f64 / before as f64 - 1.0) * 100.0)
        };
        writeln!(out, "\nof the events that are indexed so far")?;
        writeln!(out, "  bytes of documents   {before} before, {after} after{percent}")?;
        for (name, top) in
            [("indices before", &tally.indices_before), ("indices after", &tally.indices_after)]
        {
            let at_least = if top.n_forgotten() > 0 { "more than " } else { "" };
            let mut list: Vec<_> =
                top.most(LISTED).iter().map(|counted| format!("{} {}", counted.name, counted.n)).collect();
            if top.len() > LISTED {
                list.push("…".into());
            }
            writeln!(out, "  {name:<20} {at_least}{}: {}", top.len(), list.join(", "))?;
        }
        Ok(())
    }
}

/// Whether a row is there when it counts nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Always {
    Yes,
    No,
}

fn write_fields(title: &str, top: &Top<Example>, out: &mut dyn Write) -> io::Result<()> {
    if top.is_empty() {
        return Ok(());
    }
    let more = top.len().saturating_sub(LISTED);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    let accuracy = match top.n_forgotten() {
        0 => String::new(),
        n => format!(" (many names: a count may be too low by {n})"),
    };
    writeln!(out, "\n{title}{more}{accuracy}")?;
    for counted in top.most(LISTED) {
        let Example { event, before, after } = counted.example;
        let values = match (before, after) {
            (Some(before), Some(after)) => format!("{before} → {after}"),
            (Some(value), None) | (None, Some(value)) => value.clone(),
            (None, None) => String::new(),
        };
        writeln!(out, "{:>10}  {:<30} {values}  ({event})", counted.n, counted.name)?;
    }
    Ok(())
}

fn list<E: Serialize>(top: &Top<E>, name: &str) -> Value {
    let each = |counted: &super::top::Counted<'_, E>| {
        let mut member = Map::new();
        member.insert(name.to_owned(), counted.name.into());
        member.insert("events".into(), counted.n.into());
        member.insert("example".into(), json!(counted.example));
        Value::Object(member)
    };
    top.most(LISTED).iter().map(each).collect()
}

fn names<E>(top: &Top<E>) -> Value {
    let each = |counted: super::top::Counted<'_, E>| (counted.name.to_owned(), Value::from(counted.n));
    Value::Object(top.most(LISTED).into_iter().map(each).collect())
}
