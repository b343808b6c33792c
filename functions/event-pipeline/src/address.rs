//! The address of a document, which is its index and id, and the action line that carries it in a bulk request.
//!
//! No other file names an index or an id, or writes an action line.

use std::borrow::Cow;

use crate::append::{Value, append_json_string, append_member, append_number};
use crate::event::{BatchItem, KafkaRecord};
use crate::index::IndexPrefix;
use crate::item_result::ItemAction;
use crate::json::Scanner;
use crate::settings::{DocumentId, Settings};
use crate::stable_hash::fnv1a;
use crate::timestamp::Timestamp;

/// Where the cluster keeps a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address<'a> {
    /// Name of the index.
    pub index: Cow<'a, str>,
    /// The document's `_id`; `None` where the cluster generates one.
    pub id: Option<Cow<'a, str>>,
}

impl Address<'static> {
    /// Returns the address of the document of `record`, whose time is `time`, in an index of `prefix`.
    pub(crate) fn of_document(
        settings: &Settings,
        prefix: &IndexPrefix,
        record: &KafkaRecord<'_>,
        time: Timestamp,
    ) -> Self {
        Self { index: prefix.daily(time).into(), id: with_id(settings, || record_id(record)) }
    }

    /// Returns the address of the dead letter of `item`, whose document would have the time `time`.
    ///
    /// The dead letter of a record has the id of its document. What can't be read as a record gets an id made of its
    /// partition and content, so that the same text delivered again is the same dead letter.
    pub(crate) fn of_dead_letter(settings: &Settings, item: &BatchItem<'_>, time: Timestamp) -> Self {
        let id = || match &item.record {
            Ok(record) => record_id(record),
            Err(_) => format!("{}-unreadable-{:016x}", item.partition_key, fnv1a(item.json)),
        };
        Self { index: settings.dead_letter_prefix.daily(time).into(), id: with_id(settings, id) }
    }
}

fn with_id(settings: &Settings, id: impl FnOnce() -> String) -> Option<Cow<'static, str>> {
    match settings.document_id {
        DocumentId::Deterministic => Some(id().into()),
        DocumentId::Auto => None,
    }
}

/// The id of a record's document: `topic-partition-offset-timestamp`.
pub(crate) fn record_id(record: &KafkaRecord<'_>) -> String {
    let mut id = partition_id(record).into_bytes();
    append_offset_and_time(&mut id, record);
    String::from_utf8_lossy(&id).into_owned()
}

/// What the ids of all records of a partition begin with.
fn partition_id(record: &KafkaRecord<'_>) -> String {
    format!("{}-{}-", record.topic, record.partition)
}

/// Appends what an id has behind [`partition_id`].
fn append_offset_and_time(out: &mut Vec<u8>, record: &KafkaRecord<'_>) {
    append_number(out, record.offset);
    out.push(b'-');
    append_number(out, record.timestamp_ms.unwrap_or(-1));
}

/// An action line in a bulk body, by the places of its address. They count from the start of the line, so they hold
/// wherever the line is moved to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActionLine {
    action: ItemAction,
    /// Place of the quote that opens the index.
    index: u32,
    /// Place of the quote that opens the id.
    id: Option<u32>,
}

impl ActionLine {
    /// The operation that the line names.
    pub(crate) fn action(self) -> ItemAction {
        self.action
    }

    /// Reads the address in `line`, which this describes and which may have more lines behind it.
    pub(crate) fn read_address(self, line: &[u8]) -> Option<Address<'_>> {
        let id = match self.id {
            Some(place) => Some(text_at(line, place)?),
            None => None,
        };
        Some(Address { index: text_at(line, self.index)?, id })
    }
}

fn text_at(line: &[u8], place: u32) -> Option<Cow<'_, str>> {
    let text = Scanner::new(line.get(place as usize..)?).string().ok()?;
    match text.unescape() {
        Cow::Borrowed(bytes) => Some(Cow::Borrowed(std::str::from_utf8(bytes).ok()?)),
        Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
    }
}

/// The state that a document must be in for an operation to change it,
/// <https://docs.opensearch.org/latest/api-reference/document-apis/index-document/#query-parameters>.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// `if_seq_no`
    pub seq_no: i64,
    /// `if_primary_term`
    pub primary_term: i64,
}

const CREATE: &[u8] = br#"{"create":{"_index":"#;
const INDEX: &[u8] = br#"{"index":{"_index":"#;
const DELETE: &[u8] = br#"{"delete":{"_index":"#;
const ID: &[u8] = br#","_id":"#;
const END: &[u8] = b"}}\n";

/// Appends the action line that creates the document at `address`. The document's own line has to follow.
pub fn append_create(body: &mut Vec<u8>, address: &Address<'_>) -> ActionLine {
    let line = append_opening(body, ItemAction::Create, address);
    body.extend_from_slice(END);
    line
}

/// Appends the action line that replaces the document at `address` if it still has `version`. The document's own line has to
/// follow.
pub fn append_index(body: &mut Vec<u8>, address: &Address<'_>, version: Version) -> ActionLine {
    append_versioned(body, ItemAction::Index, address, version)
}

/// Appends the action line that deletes the document at `address` if it still has `version`. No other line follows.
pub fn append_delete(body: &mut Vec<u8>, address: &Address<'_>, version: Version) -> ActionLine {
    append_versioned(body, ItemAction::Delete, address, version)
}

fn append_versioned(
    body: &mut Vec<u8>,
    action: ItemAction,
    address: &Address<'_>,
    version: Version,
) -> ActionLine {
    let line = append_opening(body, action, address);
    append_member(body, "if_seq_no", Value::Number(version.seq_no));
    append_member(body, "if_primary_term", Value::Number(version.primary_term));
    body.extend_from_slice(END);
    line
}

fn append_opening(body: &mut Vec<u8>, action: ItemAction, address: &Address<'_>) -> ActionLine {
    let opening = match action {
        ItemAction::Create => CREATE,
        ItemAction::Delete => DELETE,
        ItemAction::Index => INDEX,
    };
    let start = body.len();
    body.extend_from_slice(opening);
    append_json_string(body, &address.index);
    let id = address.id.as_ref().map(|id| {
        body.extend_from_slice(ID);
        let place = body.len() - start;
        append_json_string(body, id);
        place as u32
    });
    ActionLine { action, index: opening.len() as u32, id }
}

const DAY_PLACEHOLDER: &[u8; 10] = b"0000.00.00";

/// Writes the `create` lines of a partition's records as [`append_create`] would, but without an [`Address`] to
/// write from: what the lines have in common is written once, and the day of the index is filled in when the payload
/// is in the body and has been read. Allocates nothing per record.
#[derive(Debug, Default)]
pub(crate) struct PartitionActions {
    /// The line up to the day.
    before_day: Vec<u8>,
    /// The line from behind the day to the offset in the id; to its end where there is no id.
    behind_day: Vec<u8>,
    /// Place of the id, where there is one.
    id: Option<u32>,
}

/// A `create` line without the day of its index.
#[derive(Debug)]
#[must_use = "the index has no day yet"]
pub(crate) struct DaylessAction {
    /// Where the line begins in the body.
    start: usize,
    /// Where the day goes in the body.
    day: usize,
    line: ActionLine,
}

impl PartitionActions {
    /// Prepares the lines of the partition that `record` is from, of indices of `prefix`.
    pub(crate) fn prepare(&mut self, settings: &Settings, prefix: &IndexPrefix, record: &KafkaRecord<'_>) {
        let Self { before_day, behind_day, id } = self;
        before_day.clear();
        before_day.extend_from_slice(CREATE);
        append_json_string(before_day, prefix.as_str());
        before_day.pop();
        before_day.push(b'-');
        behind_day.clear();
        behind_day.push(b'"');
        match settings.document_id {
            DocumentId::Deterministic => {
                behind_day.extend_from_slice(ID);
                *id = Some((before_day.len() + DAY_PLACEHOLDER.len() + behind_day.len()) as u32);
                append_json_string(behind_day, &partition_id(record));
                behind_day.pop();
            }
            DocumentId::Auto => {
                behind_day.extend_from_slice(END);
                *id = None;
            }
        }
    }

    /// Appends the line of `record`, but for the day of its index.
    pub(crate) fn append(&self, body: &mut Vec<u8>, record: &KafkaRecord<'_>) -> DaylessAction {
        let start = body.len();
        body.extend_from_slice(&self.before_day);
        let day = body.len();
        body.extend_from_slice(DAY_PLACEHOLDER);
        body.extend_from_slice(&self.behind_day);
        if self.id.is_some() {
            append_offset_and_time(body, record);
            body.push(b'"');
            body.extend_from_slice(END);
        }
        DaylessAction {
            start,
            day,
            line: ActionLine { action: ItemAction::Create, index: CREATE.len() as u32, id: self.id },
        }
    }
}

impl DaylessAction {
    /// Puts `prefix` in the place of the one that the line was prepared with, and moves what follows it in the body where that has
    /// another length.
    pub(crate) fn with_prefix(mut self, body: &mut Vec<u8>, prefix: &IndexPrefix) -> Self {
        // No prefix has a character that JSON escapes.
        let prefix = prefix.as_str().as_bytes();
        let start = self.start + CREATE.len() + 1;
        let end = self.day - 1;
        let moved = |place: usize| place - (end - start) + prefix.len();
        self.line.id = self.line.id.map(|id| moved(id as usize) as u32);
        self.day = moved(self.day);
        body.splice(start..end, prefix.iter().copied());
        self
    }

    /// Fills in the day of `time`.
    pub(crate) fn fill_in(self, body: &mut [u8], time: Timestamp) -> ActionLine {
        if let Some(slot) = body.get_mut(self.day..self.day + DAY_PLACEHOLDER.len()) {
            slot.copy_from_slice(&time.day());
        }
        self.line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::read_batch;

    fn address(index: &'static str, id: Option<&'static str>) -> Address<'static> {
        Address { index: index.into(), id: id.map(Cow::from) }
    }

    #[test]
    fn an_action_line_keeps_the_address_that_it_was_written_from() {
        for expected in
            [address("a-2026.03.01", Some("t-0-1-2")), address("a", Some("\"\\é\n")), address("a", None)]
        {
            for write in [append_create, |body: &mut Vec<u8>, address: &Address<'_>| {
                append_delete(body, address, Version { seq_no: 1, primary_term: 2 })
            }] {
                let mut body = b"an earlier line\n".to_vec();
                let start = body.len();
                let line = write(&mut body, &expected);
                body.extend_from_slice(b"{\"_index\":\"other\"}\n");
                assert_eq!(line.read_address(&body[start..]), Some(expected.clone()));
            }
        }
    }

    #[test]
    fn a_replacement_and_a_deletion_name_the_version_that_they_change() {
        let mut body = Vec::new();
        append_index(&mut body, &address("a", Some("i")), Version { seq_no: 8, primary_term: 1 });
        append_delete(&mut body, &address("a", Some("i")), Version { seq_no: 7, primary_term: 1 });
        assert_eq!(
            String::from_utf8(body).unwrap(),
            "{\"index\":{\"_index\":\"a\",\"_id\":\"i\",\"if_seq_no\":8,\"if_primary_term\":1}}\n\
             {\"delete\":{\"_index\":\"a\",\"_id\":\"i\",\"if_seq_no\":7,\"if_primary_term\":1}}\n"
        );
    }

    #[test]
    fn the_prepared_line_is_the_one_that_the_address_gives() {
        let batch = read_batch(br#"{"records":{"t-3":[{"offset":5,"timestamp":9},{"offset":6}]}}"#).unwrap();
        for document_id in [DocumentId::Deterministic, DocumentId::Auto] {
            let settings = Settings { document_id, ..Settings::default() };
            let mut actions = PartitionActions::default();
            for item in &batch {
                let record = item.record.as_ref().unwrap();
                let prepared = IndexPrefix::parse("prepared").unwrap();
                actions.prepare(&settings, &prepared, record);
                for prefix in
                    ["prepared", "b", "a-longer-prefix"].map(|text| IndexPrefix::parse(text).unwrap())
                {
                    let mut body = b"an earlier line\n".to_vec();
                    let start = body.len();
                    let action = actions.append(&mut body, record);
                    body.extend_from_slice(b"{}\n");
                    let line = action.with_prefix(&mut body, &prefix).fill_in(&mut body, Timestamp::EPOCH);
                    let expected = Address::of_document(&settings, &prefix, record, Timestamp::EPOCH);
                    let mut expected_body = Vec::new();
                    assert_eq!(line, append_create(&mut expected_body, &expected));
                    expected_body.extend_from_slice(b"{}\n");
                    let body = body.split_off(start);
                    assert_eq!(String::from_utf8(body.clone()), String::from_utf8(expected_body));
                    assert_eq!(line.read_address(&body), Some(expected));
                }
            }
        }
    }
}
