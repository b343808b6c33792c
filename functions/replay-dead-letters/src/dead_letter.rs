//! Makes the Kafka record of a dead letter again, as the event source mapping delivered it, so that the pipeline makes the
//! same document, id and index from it.

use base64_simd::STANDARD;
use event_pipeline::event::{EventError, read_batch};
use serde::Deserialize;
use serde_json::value::RawValue;
use thiserror::Error;

/// The fields of a dead letter that a replay needs.
#[derive(Debug, Deserialize)]
pub struct DeadLetter<'a> {
    service_name: Option<String>,
    kafka_topic: Option<String>,
    kafka_partition: Option<i64>,
    kafka_offset: Option<i64>,
    kafka_timestamp: Option<i64>,
    kafka_key: Option<String>,
    kafka_key_base64: Option<String>,
    #[serde(borrow)]
    kafka_headers_raw: Option<&'a RawValue>,
    #[serde(borrow)]
    kafka_key_schema_raw: Option<&'a RawValue>,
    #[serde(borrow)]
    kafka_schema_raw: Option<&'a RawValue>,
    payload: Option<String>,
    payload_base64: Option<String>,
    error: Option<ErrorField>,
}

#[derive(Debug, Deserialize)]
struct ErrorField {
    #[serde(rename = "type")]
    kind: Option<String>,
    reason: Option<String>,
}

/// Why a document gives no record.
#[derive(Debug, Error)]
pub enum DeadLetterError {
    /// A field does not have the type that the pipeline writes.
    #[error("it does not have the form of a dead letter: {0}")]
    Form(#[from] serde_json::Error),
    /// Topic, partition or offset is missing.
    #[error("it has no kafka_topic, kafka_partition and kafka_offset")]
    NoOffset,
    /// The record could not be read, and `payload`, which should hold it, is missing.
    #[error("it has no payload, which should hold the record that could not be read")]
    NoPayload,
    /// Its fields don't form a record.
    #[error("its fields form no record: {0}")]
    Record(#[from] EventError),
    /// Its fields form no record or several.
    #[error("its fields form {0} records, not one")]
    NotOne(usize),
}

/// A record as it stands in an event: the key of its list, and its JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordText {
    partition_key: String,
    json: String,
}

/// Type of the error of a record that the pipeline could not read.
const UNREADABLE: &str = "unreadable_record";
const UNREADABLE_SUFFIX: &str = "-unreadable";

impl<'a> DeadLetter<'a> {
    /// Parses the `_source` of a dead letter.
    ///
    /// # Errors
    /// [`DeadLetterError::Form`] when it is not one.
    pub fn parse(source: &'a str) -> Result<Self, DeadLetterError> {
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

    /// The text of that error.
    pub fn reason(&self) -> Option<&str> {
        self.error.as_ref()?.reason.as_deref()
    }

    /// Makes the record of the dead letter with this `_id`.
    ///
    /// # Errors
    /// [`DeadLetterError`] when its fields don't form one.
    pub fn record(&self, id: &str) -> Result<RecordText, DeadLetterError> {
        let record = match self.unreadable_partition_key(id) {
            Some(partition_key) => {
                RecordText { partition_key, json: self.payload.clone().ok_or(DeadLetterError::NoPayload)? }
            }
            None => self.readable_record(id)?,
        };
        // Whatever text a dead letter holds, it must stay one record.
        let event = event_of([&record]);
        match read_batch(event.as_bytes())?.len() {
            1 => Ok(record),
            n_records => Err(DeadLetterError::NotOne(n_records)),
        }
    }

    fn readable_record(&self, id: &str) -> Result<RecordText, DeadLetterError> {
        let (Some(topic), Some(partition), Some(offset)) =
            (&self.kafka_topic, self.kafka_partition, self.kafka_offset)
        else {
            return Err(DeadLetterError::NoOffset);
        };
        let partition_key = format!("{topic}-{partition}");
        // A timestamp that is not valid is left out of the fields, but it is in the id.
        let time_in_id: Option<i64> =
            id.strip_prefix(&format!("{partition_key}-{offset}-")).and_then(|text| text.parse().ok());
        let timestamp = time_in_id.or(self.kafka_timestamp).unwrap_or(-1);
        let mut json = format!(
            r#"{{"topic":{},"partition":{partition},"offset":{offset},"timestamp":{timestamp}"#,
            quoted(topic)
        );
        let key = match (&self.kafka_key, &self.kafka_key_base64) {
            (Some(text), _) => Some(STANDARD.encode_to_string(text)),
            (None, base64) => base64.clone(),
        };
        let value = match (&self.payload, &self.payload_base64) {
            // A value that should have been base64 and was not is kept as it came.
            (Some(text), _) if self.error_type() == Some(UNREADABLE) => Some(text.clone()),
            (Some(text), _) => Some(STANDARD.encode_to_string(text)),
            (None, base64) => base64.clone(),
        };
        for (name, text) in [("key", key), ("value", value)] {
            if let Some(text) = text {
                json.push_str(&format!(r#","{name}":{}"#, quoted(&text)));
            }
        }
        for (name, metadata) in
            [("keySchemaMetadata", self.kafka_key_schema_raw), ("valueSchemaMetadata", self.kafka_schema_raw)]
        {
            if let Some(metadata) = metadata {
                json.push_str(&format!(r#","{name}":{}"#, metadata.get()));
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

    /// The key of the list that held a record which could not be read; `None` for a record that could be.
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

/// Returns the event of a Kafka event source mapping that holds `records` in their order.
pub fn event_of<'r>(records: impl IntoIterator<Item = &'r RecordText>) -> String {
    let mut event = String::from(r#"{"eventSource":"SelfManagedKafka","records":{"#);
    for (i, RecordText { partition_key, json }) in records.into_iter().enumerate() {
        if i > 0 {
            event.push(',');
        }
        // A key may come several times: that keeps the order, and the pipeline reads each list as it comes.
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
