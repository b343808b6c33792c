//! Counts what a new file would change, in bounded memory.

use event_pipeline::rescue;
use serde::Serialize;
use serde_json::value::RawValue;

use super::indexed::Indexed;
use super::scratch::{Refusal, Tried};
use super::top::Top;
use crate::document_diff::{ChangeKind, FieldChange, diff, fields};
use crate::evaluate::{Decision, Document};

/// Names that each list of the report holds while it counts.
const CAPACITY: usize = 4096;
/// Longest text of an example, in characters.
const EXAMPLE: usize = 120;

/// Counts of events. Each event is in one of the first eight.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Read, in all.
    pub events: u64,
    /// The document stays as it is.
    pub unchanged: u64,
    /// The document stays in its index, with other fields.
    pub changed: u64,
    /// The document goes to another index.
    pub rerouted: u64,
    /// It is indexed, and would be dropped.
    pub dropped: u64,
    /// It is indexed, and would be a dead letter.
    pub dead_lettered: u64,
    /// It is indexed in the form of a mapping conflict, in which fields can't be compared, and would be indexed.
    pub in_conflict_form: u64,
    /// Its document was not found.
    pub not_indexed: u64,
    /// Its schema could not be had.
    pub undecided: u64,
    /// Of those that are rerouted: with other fields too.
    pub rerouted_and_changed: u64,
    /// Of those that were not found: would be indexed.
    pub not_indexed_now_indexed: u64,
    /// Of those that were not found: would be dropped.
    pub not_indexed_now_dropped: u64,
    /// Of those that were not found: would be dead letters.
    pub not_indexed_now_dead_lettered: u64,
    /// Of those that were not found: are dead letters so far.
    pub not_indexed_so_far_dead_lettered: u64,
    /// Left out by `--sample`.
    pub left_out: u64,
}

/// Everything that is counted.
#[derive(Debug)]
pub struct Tally {
    /// Events.
    pub counts: Counts,
    /// Fields that are new, with an example's value.
    pub added: Top<Example>,
    /// Fields that are gone.
    pub removed: Top<Example>,
    /// Fields that have another value.
    pub changed: Top<Example>,
    /// What drops events: a step of the rules.
    pub dropped_by: Top<String>,
    /// Why events are dead letters.
    pub dead_letters: Top<String>,
    /// Fields for which the cluster refuses documents.
    pub refused: Top<Example>,
    /// Documents that it refuses.
    pub n_refused: u64,
    /// Documents that it takes.
    pub n_taken: u64,
    /// Documents that were not tried.
    pub n_not_tried: u64,
    /// Bytes of the documents that are indexed so far.
    pub bytes_before: u64,
    /// Bytes of what becomes of the same events.
    pub bytes_after: u64,
    /// Indices of the documents so far.
    pub indices_before: Top<()>,
    /// Indices of the documents of the same events.
    pub indices_after: Top<()>,
    dead_letter_prefix: String,
}

/// An example of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Example {
    /// The event: `topic-partition-offset`.
    pub event: String,
    /// The value so far; for a refusal the cluster's reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// The value by the new file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

impl Tally {
    /// Begins to count. Indices whose names begin with `dead_letter_prefix` have dead letters.
    pub fn new(dead_letter_prefix: String) -> Self {
        Self {
            counts: Counts::default(),
            added: Top::new(CAPACITY),
            removed: Top::new(CAPACITY),
            changed: Top::new(CAPACITY),
            dropped_by: Top::new(CAPACITY),
            dead_letters: Top::new(CAPACITY),
            refused: Top::new(CAPACITY),
            n_refused: 0,
            n_taken: 0,
            n_not_tried: 0,
            bytes_before: 0,
            bytes_after: 0,
            indices_before: Top::new(CAPACITY),
            indices_after: Top::new(CAPACITY),
            dead_letter_prefix,
        }
    }

    /// Counts an event: what is indexed of it so far, and what becomes of it. `event` names it; `dropped_by` is the step that drops
    /// it.
    pub fn add(&mut self, event: &str, so_far: &[Indexed], decision: &Decision, dropped_by: Option<&str>) {
        self.counts.events += 1;
        if let Decision::NeedsSchema(_) = decision {
            self.counts.undecided += 1;
            return;
        }
        if let Decision::DeadLetter(_, error) = decision {
            self.dead_letters.add(&format!("{}: {}", error.kind, error.reason), || event.to_owned());
        }
        if let Decision::Dropped = decision {
            self.dropped_by.add(dropped_by.unwrap_or("the rules"), || event.to_owned());
        }
        let is_dead_letter = |found: &&Indexed| found.index.starts_with(&self.dead_letter_prefix);
        let (dead_letters, documents): (Vec<_>, Vec<_>) = so_far.iter().partition(is_dead_letter);
        let is_same_index =
            |found: &&&Indexed| matches!(decision, Decision::Indexed(now) if now.index == found.index);
        let before = documents.iter().find(is_same_index).or(documents.first());
        let Some(before) = before else {
            self.add_not_indexed(decision, dead_letters.is_empty());
            return;
        };
        self.bytes_before += before.json.get().len() as u64;
        self.indices_before.add(&before.index, || ());
        match decision {
            Decision::Dropped => self.counts.dropped += 1,
            Decision::DeadLetter(..) => self.counts.dead_lettered += 1,
            Decision::NeedsSchema(_) => {}
            Decision::Indexed(now) => {
                self.bytes_after += now.json.len() as u64;
                self.indices_after.add(&now.index, || ());
                self.compare(event, before, now);
            }
        }
    }

    /// Counts what trying `documents` gave; `events` are the names of theirs.
    pub fn add_tried(&mut self, tried: &Tried, events: &[&str]) {
        self.n_taken += tried.n_taken;
        self.n_refused += tried.refusals.len() as u64;
        self.n_not_tried += tried.n_not_tried;
        for Refusal { field, reason, position } in &tried.refusals {
            let event = events.get(*position).copied().unwrap_or_default();
            self.refused.add(field, || Example {
                event: event.to_owned(),
                before: Some(shortened(reason, 300)),
                after: None,
            });
        }
    }

    fn add_not_indexed(&mut self, decision: &Decision, has_no_dead_letter: bool) {
        let counts = &mut self.counts;
        counts.not_indexed += 1;
        if !has_no_dead_letter {
            counts.not_indexed_so_far_dead_lettered += 1;
        }
        match decision {
            Decision::Indexed(_) => counts.not_indexed_now_indexed += 1,
            Decision::Dropped => counts.not_indexed_now_dropped += 1,
            Decision::DeadLetter(..) => counts.not_indexed_now_dead_lettered += 1,
            Decision::NeedsSchema(_) => {}
        }
    }

    fn compare(&mut self, event: &str, before: &Indexed, now: &Document) {
        if is_in_conflict_form(&before.json) {
            self.counts.in_conflict_form += 1;
            return;
        }
        let changes = match (fields(before.json.get()), fields(&now.json)) {
            (Ok(before), Ok(after)) => diff(&before, &after),
            // The pipeline writes JSON and the cluster returns it, so that there is something to compare.
            _ => vec![FieldChange { path: "*".into(), before: None, after: None }],
        };
        let is_changed = !changes.is_empty();
        match (before.index == now.index, is_changed) {
            (true, false) => self.counts.unchanged += 1,
            (true, true) => self.counts.changed += 1,
            (false, is_changed) => {
                self.counts.rerouted += 1;
                self.counts.rerouted_and_changed += u64::from(is_changed);
            }
        }
        for change in changes {
            let top = match change.kind() {
                ChangeKind::Added => &mut self.added,
                ChangeKind::Removed => &mut self.removed,
                ChangeKind::Changed => &mut self.changed,
            };
            top.add(&change.path, || Example {
                event: event.to_owned(),
                before: change.before.as_deref().map(|text| shortened(text, EXAMPLE)),
                after: change.after.as_deref().map(|text| shortened(text, EXAMPLE)),
            });
        }
    }
}

fn is_in_conflict_form(json: &RawValue) -> bool {
    let document = Document { index: String::new(), id: None, json: json.get().to_owned() };
    document.tags().iter().any(|tag| tag == rescue::TAG)
}

fn shortened(text: &str, max_chars: usize) -> String {
    match text.char_indices().nth(max_chars) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use event_pipeline::write_error::{ErrorKind, WriteError};

    use super::*;

    fn indexed(index: &str, json: &str) -> Indexed {
        Indexed { index: index.into(), json: RawValue::from_string(json.into()).unwrap() }
    }

    fn now(index: &str, json: &str) -> Decision {
        Decision::Indexed(Document { index: index.into(), id: Some("x".into()), json: json.into() })
    }

    #[test]
    fn each_event_is_counted_in_one_place() {
        let error = WriteError { kind: ErrorKind::TransformFailure, status: None, reason: "r".into() };
        let letter = Document { index: "dead-d".into(), id: None, json: "{}".into() };
        let dead = Decision::DeadLetter(letter, error);
        let mut tally = Tally::new("dead-".into());
        let one = [indexed("a-d", r#"{"a":1}"#)];
        let conflict = [indexed("a-d", r#"{"tags":["_mappingconflict"],"conflict":{"a":1}}"#)];
        tally.add("e0", &one, &now("a-d", r#"{"a":1}"#), None);
        tally.add("e1", &one, &now("a-d", r#"{"a":2,"b":3}"#), None);
        tally.add("e2", &one, &now("b-d", r#"{"a":1}"#), None);
        tally.add("e3", &one, &now("b-d", r#"{"b":3}"#), None);
        tally.add("e4", &one, &Decision::Dropped, Some("sample"));
        tally.add("e5", &one, &dead, None);
        tally.add("e6", &conflict, &now("a-d", r#"{"a":1}"#), None);
        tally.add("e7", &[], &now("a-d", "{}"), None);
        tally.add("e8", &[indexed("dead-d", "{}")], &Decision::Dropped, Some("drop"));
        tally.add("e9", &one, &Decision::NeedsSchema(Vec::new()), None);
        let counts = tally.counts;
        let sum = counts.unchanged
            + counts.changed
            + counts.rerouted
            + counts.dropped
            + counts.dead_lettered
            + counts.in_conflict_form
            + counts.not_indexed
            + counts.undecided;
        assert_eq!((counts.events, sum), (10, 10));
        let expected = Counts {
            events: 10,
            unchanged: 1,
            changed: 1,
            rerouted: 2,
            dropped: 1,
            dead_lettered: 1,
            in_conflict_form: 1,
            not_indexed: 2,
            undecided: 1,
            rerouted_and_changed: 1,
            not_indexed_now_indexed: 1,
            not_indexed_now_dropped: 1,
            not_indexed_now_dead_lettered: 0,
            not_indexed_so_far_dead_lettered: 1,
            left_out: 0,
        };
        assert_eq!(counts, expected);
        let changed = tally.changed.most(5);
        assert_eq!((changed[0].name, changed[0].n), ("a", 1));
        let example = Example { event: "e1".into(), before: Some("1".into()), after: Some("2".into()) };
        assert_eq!(changed[0].example, &example);
        assert_eq!((tally.removed.most(5)[0].name, tally.added.most(5)[0].name), ("a", "b"));
    }

    #[test]
    fn a_document_that_is_in_its_index_already_counts_before_one_elsewhere() {
        let mut tally = Tally::new("dead-".into());
        let both = [indexed("old-d", r#"{"a":1}"#), indexed("new-d", r#"{"a":2}"#)];
        tally.add("e", &both, &now("new-d", r#"{"a":2}"#), None);
        assert_eq!((tally.counts.unchanged, tally.counts.rerouted), (1, 0));
    }
}
