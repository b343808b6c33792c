//! Reads a record's payload: what it is, its members, and the time of its event.

use crate::members::{Members, name_table};
use crate::name_table::NameTable;
use crate::object::{ObjectScanner, ObjectShape};
use crate::settings::Settings;
use crate::timestamp::Timestamp;

/// What a payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Payload {
    /// A JSON object that the cluster can take.
    Object(ObjectShape),
    /// Any other text, JSON that the cluster would refuse among it.
    Text,
    /// Bytes that are not UTF-8.
    Binary,
    /// A null value.
    Tombstone,
}

impl Payload {
    /// The tag of documents with such a payload.
    pub(crate) fn tag(&self) -> Option<&'static str> {
        match self {
            Self::Object(_) => None,
            Self::Text | Self::Binary => Some("_jsonparsefailure"),
            Self::Tombstone => Some("_tombstone"),
        }
    }
}

/// The time of a document, and the tag that says why it is not the event's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DocumentTime {
    pub(crate) time: Timestamp,
    pub(crate) tag: Option<&'static str>,
}

/// Reads payloads, keeping its buffers from one to the next.
#[derive(Debug)]
pub(crate) struct PayloadReader {
    names: NameTable,
    /// Numbers of the configured timestamp fields in `names`, in their order.
    timestamp_names: Vec<usize>,
    max_past_ms: i64,
    max_future_ms: i64,
    scanner: ObjectScanner,
}

impl PayloadReader {
    pub(crate) fn new(settings: &Settings) -> Self {
        let names = name_table(settings.timestamp_fields.iter().map(String::as_str));
        let timestamp_names =
            settings.timestamp_fields.iter().filter_map(|name| names.find(name.as_bytes())).collect();
        Self {
            names,
            timestamp_names,
            max_past_ms: settings.max_past_ms,
            max_future_ms: settings.max_future_ms,
            scanner: ObjectScanner::default(),
        }
    }

    /// Reads the payload of a null value.
    pub(crate) fn read_null(&mut self) -> Payload {
        self.scanner.clear();
        Payload::Tombstone
    }

    /// Reads the payload `text`. Its members are those of [`PayloadReader::members`] until the next one is read.
    pub(crate) fn read(&mut self, text: &[u8]) -> Payload {
        self.scanner.clear();
        // Most payloads are ASCII, and that is faster to check than UTF-8.
        if !text.is_ascii() && std::str::from_utf8(text).is_err() {
            return Payload::Binary;
        }
        match self.scanner.scan(text, &self.names) {
            Ok(shape) => Payload::Object(shape),
            Err(_) => {
                self.scanner.clear();
                Payload::Text
            }
        }
    }

    /// The members of the payload that was read last, which `text` is.
    pub(crate) fn members<'a>(&'a self, text: &'a [u8]) -> Members<'a> {
        Members { scanner: &self.scanner, text }
    }

    /// Chooses the time of a document: the event's own if it is near the Kafka record's, else the record's.
    pub(crate) fn time(&self, members: &Members<'_>, record_ms: Option<i64>) -> DocumentTime {
        let event_time =
            self.timestamp_names.iter().find_map(|name| Timestamp::from_json(members.value(*name)?));
        let record_time = record_ms.and_then(Timestamp::from_kafka);
        let (time, tag) = match (event_time, record_time) {
            (Some(event_time), Some(record_time)) => {
                let later_ms = event_time.millis() - record_time.millis();
                if later_ms <= self.max_future_ms && -later_ms <= self.max_past_ms {
                    (event_time, None)
                } else {
                    (record_time, Some("_timestampoutofrange"))
                }
            }
            (Some(event_time), None) => (event_time, None),
            (None, Some(record_time)) => (record_time, None),
            (None, None) => (Timestamp::EPOCH, Some("_timestampmissing")),
        };
        DocumentTime { time, tag }
    }
}
