//! Makes the Kafka record of a dead letter again, as the event source mapping had it, so that the pipeline gives the
//! same document, id and index.

use base64_simd::STANDARD;
use event_pipeline::event::{EventError, read_batch};
use serde::Deserialize;
use serde_json::value::RawValue;
use thiserror::Error;

/// A dead letter's fields, those that a replay needs.
#[derive(Debug, Deserialize)]
pub struct Letter<'a> {
    service_name: Option<String>,
    kafka_topic: Option<String>,
    kafka_partition: Option<i64>,
    kafka_offset: Option<i64>,
    kafka_timestamp: Option<i64>,
    kafka_key: Option<String>,
    kafka_key_base64: Option<String>,
    #[serde(borrow)]
    kafka_headers_raw: Option<&'a RawValue>,
    payload: Option<String>,
    payload_base64: Option<String>,
    error: Option<LetterError>,
}

#[derive(Debug, Deserialize)]
struct LetterError {
    #[serde(rename = "type")]
    kind: Option<String>,
    reason: Option<String>,
}

/// Says why no record can be made of a dead letter.
#[derive(Debug, Error)]
pub enum LetterFault {
    /// A field has not the type that the pipeline writes.
    #[error("it has not the form of a dead letter: {0}")]
    Form(#[from] serde_json::Error),
    /// Topic, partition or offset is missing.
    #[error("it has no kafka_topic, kafka_partition and kafka_offset")]
    NoPlace,
    /// A record that could not be read is kept in `payload`.
    #[error("it has no payload, which should hold the record that could not be read")]
    NoRecord,
    /// The record that was made of it is not one.
    #[error("no record can be made of it: {0}")]
    Record(#[from] EventError),
    /// Its fields give another number of records than one.
    #[error("it gives {0} records, not one")]
    NotOne(usize),
}

/// A record as it stands in an event: its list's key, and its JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordText {
    partition_key: String,
    json: String,
}

/// What the pipeline says of a record that it can't read.
const UNREADABLE: &str = "unreadable_record";
const UNREADABLE_SUFFIX: &str = "-unreadable";

impl<'a> Letter<'a> {
    /// Reads the `_source` of a dead letter.
    ///
    /// # Errors
    /// [`LetterFault::Form`] when it is none.
    pub fn parse(source: &'a str) -> Result<Self, LetterFault> {
        Ok(serde_json::from_str(source)?)
    }

    /// The service that the record came from.
    pub fn service(&self) -> Option<&str> {
        self.service_name.as_deref()
    }

    /// The type of the error that made it a dead letter.
    pub fn error_type(&self) -> Option<&str> {
        self.error.as_ref()?.kind.as_deref()
    }

    /// The error in the cluster's words.
    pub fn reason(&self) -> Option<&str> {
        self.error.as_ref()?.reason.as_deref()
    }

    /// Makes the record of the dead letter with this `_id`.
    ///
    /// # Errors
    /// [`LetterFault`] when its fields do not give one.
    pub fn record(&self, id: &str) -> Result<RecordText, LetterFault> {
        let record = match self.unreadable_partition_key(id) {
            Some(partition_key) => {
                RecordText { partition_key, json: self.payload.clone().ok_or(LetterFault::NoRecord)? }
            }
            None => self.readable(id)?,
        };
        // One dead letter must stay one record, whatever its text holds.
        let event = event([&record]);
        match read_batch(event.as_bytes())?.len() {
            1 => Ok(record),
            n_records => Err(LetterFault::NotOne(n_records)),
        }
    }

    fn readable(&self, id: &str) -> Result<RecordText, LetterFault> {
        let (Some(topic), Some(partition), Some(offset)) =
            (&self.kafka_topic, self.kafka_partition, self.kafka_offset)
        else {
            return Err(LetterFault::NoPlace);
        };
        let partition_key = format!("{topic}-{partition}");
        // A timestamp that is none is not among the fields, but it is in the id.
        let in_id = id.strip_prefix(&format!("{partition_key}-{offset}-")).and_then(|text| text.parse().ok());
        let timestamp: i64 = in_id.or(self.kafka_timestamp).unwrap_or(-1);
        let mut json = format!(
            r#"{{"topic":{},"partition":{partition},"offset":{offset},"timestamp":{timestamp}"#,
            quoted(topic)
        );
        let key = match (&self.kafka_key, &self.kafka_key_base64) {
            (Some(text), _) => Some(STANDARD.encode_to_string(text)),
            (None, base64) => base64.clone(),
        };
        let value = match (&self.payload, &self.payload_base64) {
            // What should have been base64 and was not is kept as it stood.
            (Some(text), _) if self.error_type() == Some(UNREADABLE) => Some(text.clone()),
            (Some(text), _) => Some(STANDARD.encode_to_string(text)),
            (None, base64) => base64.clone(),
        };
        for (name, text) in [("key", key), ("value", value)] {
            if let Some(text) = text {
                json.push_str(&format!(r#","{name}":{}"#, quoted(&text)));
            }
        }
        if let Some(headers) = self.kafka_headers_raw {
            // Headers that are not JSON are kept as text.
            let text = serde_json::from_str::<String>(headers.get());
            json.push_str(r#","headers":"#);
            json.push_str(text.as_deref().unwrap_or(headers.get()));
        }
        json.push('}');
        Ok(RecordText { partition_key, json })
    }

    /// The key of the list that a record stood in which could not be read; `None` for a record that could.
    fn unreadable_partition_key(&self, id: &str) -> Option<String> {
        if self.error_type() != Some(UNREADABLE) {
            return None;
        }
        let without_hash = id.rsplit_once('-').and_then(|(rest, hash)| {
            (hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit()))
                .then_some(rest)?
                .strip_suffix(UNREADABLE_SUFFIX)
        });
        let without_offset = id
            .strip_suffix(UNREADABLE_SUFFIX)
            .and_then(|rest| rest.strip_suffix(&format!("-{}", self.kafka_offset?)));
        without_hash.or(without_offset).map(str::to_owned)
    }
}

/// The event of a Kafka event source mapping that holds `records` in their order.
pub fn event<'r>(records: impl IntoIterator<Item = &'r RecordText>) -> String {
    let mut event = String::from(r#"{"eventSource":"SelfManagedKafka","records":{"#);
    for (i, RecordText { partition_key, json }) in records.into_iter().enumerate() {
        if i > 0 {
            event.push(',');
        }
        // The same key again and again: it keeps the order, and the pipeline's reader takes each list as it comes.
        event.push_str(&quoted(partition_key));
        event.push_str(":[");
        event.push_str(json);
        event.push(']');
    }
    event.push_str("}}");
    event
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
