//! Reads a record's payload: what it is, its members, and the time of its event.

use crate::event_time;
use crate::json::JsonError;
use crate::members::{Members, name_table};
use crate::name_table::NameTable;
use crate::nearly_json::{DUPLICATE_KEY, NONFINITE, repair};
use crate::object::{ObjectScanner, ObjectShape};
use crate::settings::Settings;
use crate::timestamp::Timestamp;

/// Tag of a payload that is not a JSON object.
pub(crate) const NOT_JSON: &str = "_jsonparsefailure";
/// Tag of a record whose key or value can't be decoded by its schema.
pub(crate) const SCHEMA_FAILURE: &str = "_schemafailure";
/// Tag of a value with fields that its schema does not have, which are left out.
pub(crate) const UNKNOWN_FIELDS: &str = "_unknownfields";
/// Tag of a null value.
pub(crate) const TOMBSTONE: &str = "_tombstone";

/// What a payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Payload {
    /// A JSON object that the cluster can read.
    Object(ObjectShape),
    /// A JSON object that is nested deeper than any cluster reads.
    DeepObject,
    /// Any other text.
    Text,
    /// Bytes that are not UTF-8.
    Binary,
    /// Text that is not read, because its topic says so.
    PlainText,
    /// Bytes that their schema can't read.
    Undecoded,
    /// A null value.
    Tombstone,
}

impl Payload {
    fn tag(self) -> Option<&'static str> {
        match self {
            Self::Object(_) | Self::DeepObject | Self::PlainText => None,
            Self::Undecoded => Some(SCHEMA_FAILURE),
            Self::Text | Self::Binary => Some(NOT_JSON),
            Self::Tombstone => Some(TOMBSTONE),
        }
    }
}

/// Times of the event that are not in its payload, as JSON text.
#[derive(Debug, Default)]
pub(crate) struct TimesAround<'a> {
    pub(crate) before: Option<&'a [u8]>,
    pub(crate) behind: Option<String>,
}

/// Reads payloads, keeping its buffers from one to the next.
#[derive(Debug)]
pub(crate) struct PayloadReader {
    names: NameTable,
    /// Numbers of the configured timestamp fields in `names`, in their order.
    timestamp_names: Vec<usize>,
    scanner: ObjectScanner,
}

impl PayloadReader {
    /// Makes a reader that finds the members that `settings` names, and those of the names `more`.
    pub(crate) fn new<'n>(settings: &'n Settings, more: impl Iterator<Item = &'n str>) -> Self {
        let names = name_table(settings.timestamp_fields.iter().map(String::as_str).chain(more));
        let timestamp_names =
            settings.timestamp_fields.iter().filter_map(|name| names.find(name.as_bytes())).collect();
        Self { names, timestamp_names, scanner: ObjectScanner::default() }
    }

    /// Reads the payload of a null value.
    pub(crate) fn read_null(&mut self, tags: &mut Vec<&'static str>) -> Payload {
        self.scanner.clear();
        tags.extend(Payload::Tombstone.tag());
        Payload::Tombstone
    }

    /// Notes that the payload is bytes that can't be read, or text that is not.
    pub(crate) fn read_none(&mut self, payload: Payload, tags: &mut Vec<&'static str>) -> Payload {
        self.scanner.clear();
        tags.extend(payload.tag());
        payload
    }

    /// Reads the payload again after a part of it took the place of the whole.
    pub(crate) fn read_again(&mut self, text: &[u8]) -> Payload {
        self.scan(text)
    }

    /// Reads the payload that stands in `body` from `start` on, and appends its tags. What is nearly JSON is repaired where
    /// it stands. The members are those of [`PayloadReader::members`] until the next payload is read.
    pub(crate) fn read(&mut self, body: &mut Vec<u8>, start: usize, tags: &mut Vec<&'static str>) -> Payload {
        let text = body.get(start..).unwrap_or_default();
        let mut payload = self.scan(text);
        if payload == Payload::Text
            && let Some(repaired) = repair(text)
        {
            body.truncate(start);
            body.extend_from_slice(&repaired.text);
            payload = self.scan(&repaired.text);
            tags.extend(repaired.had_duplicate_key.then_some(DUPLICATE_KEY));
            tags.extend(repaired.had_nonfinite.then_some(NONFINITE));
        }
        tags.extend(payload.tag());
        payload
    }

    fn scan(&mut self, text: &[u8]) -> Payload {
        self.scanner.clear();
        // Most payloads are ASCII, and that is faster to check than UTF-8.
        if !text.is_ascii() && std::str::from_utf8(text).is_err() {
            return Payload::Binary;
        }
        let payload = match self.scanner.scan(text, &self.names) {
            Ok(shape) => return Payload::Object(shape),
            Err(JsonError::TooDeep(_)) if self.scanner.scan_members(text, &self.names).is_ok() => {
                return Payload::DeepObject;
            }
            Err(_) => Payload::Text,
        };
        self.scanner.clear();
        payload
    }

    /// The members of the payload that was read last, which `text` is.
    pub(crate) fn members<'a>(&'a self, text: &'a [u8]) -> Members<'a> {
        Members { scanner: &self.scanner, text }
    }

    /// Chooses the time of a document, and appends to `tags` why it is not the event's own. The time of a change event counts
    /// before the fields of its row, that of a CloudEvents event in binary mode behind those of its data.
    pub(crate) fn time(
        &self,
        settings: &Settings,
        members: &Members<'_>,
        around: &TimesAround<'_>,
        record_ms: Option<i64>,
        tags: &mut Vec<&'static str>,
    ) -> Timestamp {
        let own = self.timestamp_names.iter().filter_map(|name| members.value(*name));
        let own =
            around.before.into_iter().chain(own).chain(around.behind.iter().map(|text| text.as_bytes()));
        event_time::choose(settings, record_ms, own, tags)
    }
}
