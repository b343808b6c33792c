//! Takes in what the consumer thread reads: decodes it, filters it and encodes it for the event.
//!
//! A record whose schema is not known yet waits, and with it the partition's records after it. The thread itself never waits for
//! the registry.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use rdkafka::message::{BorrowedMessage, Headers, Message, OwnedMessage};
use tokio::sync::mpsc::UnboundedSender;
use tracing::warn;

use crate::decoder::{Decoded, Decoder, Lookup};
use crate::event::{PartSchema, RecordParts, encode_record};
use crate::filter::Filter;
use crate::record::{EncodedRecord, Rejection};

/// What the thread's records go through.
#[derive(Debug)]
pub struct Intake {
    filter: Filter,
    schemas: Option<Schemas>,
    waiting: BTreeMap<i32, VecDeque<OwnedMessage>>,
}

/// The schemas of a mapping with a registry.
#[derive(Debug)]
pub struct Schemas {
    decoder: Decoder,
    /// Takes the ids of schemas to fetch.
    requests: UnboundedSender<u32>,
    requested: BTreeSet<u32>,
}

/// What became of a record.
#[derive(Debug)]
pub enum TakenIn {
    /// It is for the function, or for the destination.
    Kept(EncodedRecord),
    /// The filter dropped it.
    Dropped,
    /// It is rejected.
    Rejected {
        /// For the destination.
        record: EncodedRecord,
        /// Why.
        reason: String,
    },
}

impl Schemas {
    /// Makes schemas that are fetched by whom `requests` reaches.
    #[must_use]
    pub fn new(decoder: Decoder, requests: UnboundedSender<u32>) -> Self {
        Self { decoder, requests, requested: BTreeSet::new() }
    }
}

impl Intake {
    /// Makes an intake. Without schemas, records are passed on as they are.
    #[must_use]
    pub fn new(filter: Filter, schemas: Option<Schemas>) -> Self {
        Self { filter, schemas, waiting: BTreeMap::new() }
    }

    /// Whether a record of the partition waits for its schema, so that no more are to be read.
    #[must_use]
    pub fn waits(&self, partition: i32) -> bool {
        self.waiting.contains_key(&partition)
    }

    /// Takes in a record that was read; `None` if it waits.
    pub fn take(&mut self, message: &BorrowedMessage<'_>) -> Option<TakenIn> {
        if let Some(waiting) = self.waiting.get_mut(&message.partition()) {
            waiting.push_back(message.detach());
            return None;
        }
        let taken = self.read(message);
        if taken.is_none() {
            self.waiting.entry(message.partition()).or_default().push_back(message.detach());
        }
        taken
    }

    /// Takes what the registry says of a schema. Returns what became of records that waited, by partition and offset.
    pub fn learn(&mut self, id: u32, lookup: Lookup) -> Vec<(i32, i64, TakenIn)> {
        let Some(schemas) = &mut self.schemas else { return Vec::new() };
        schemas.requested.remove(&id);
        schemas.decoder.learn(id, lookup);
        let mut all = Vec::new();
        for (partition, mut waiting) in std::mem::take(&mut self.waiting) {
            while let Some(message) = waiting.front() {
                let Some(taken) = self.read(message) else { break };
                all.push((partition, message.offset(), taken));
                waiting.pop_front();
            }
            if !waiting.is_empty() {
                self.waiting.insert(partition, waiting);
            }
        }
        if let Some(schemas) = &mut self.schemas {
            schemas.decoder.forget_unknown(id);
        }
        all
    }

    /// Drops the records of partitions that wait: the partitions are no longer ours, or are read anew.
    pub fn forget(&mut self, partitions: impl IntoIterator<Item = i32>) {
        for partition in partitions {
            self.waiting.remove(&partition);
        }
    }

    /// Reads a record; `None` if its schema has to be fetched first.
    fn read<M: Message>(&mut self, message: &M) -> Option<TakenIn> {
        let (key, value) = (message.key(), message.payload());
        let Some(schemas) = &mut self.schemas else {
            return Some(if self.filter.passes_value(value) {
                TakenIn::Kept(encode(message, (key, None), (value, None), None))
            } else {
                TakenIn::Dropped
            });
        };
        match schemas.decoder.decode(key, value) {
            Decoded::Needs(id) => {
                if schemas.requested.insert(id) {
                    // The task that fetches ends after this thread.
                    let _ = schemas.requests.send(id);
                }
                None
            }
            Decoded::Rejected { rejection, reason } => {
                let record = encode(message, (key, None), (value, None), Some(rejection));
                Some(TakenIn::Rejected { record, reason })
            }
            Decoded::Passed { value, .. } if !self.filter.passes_value(value.filtered()) => {
                Some(TakenIn::Dropped)
            }
            Decoded::Passed { key, value } => {
                let (of_key, of_value) = (key.schema, value.schema);
                let key = (key.bytes.as_deref(), of_key);
                Some(TakenIn::Kept(encode(message, key, (value.bytes.as_deref(), of_value), None)))
            }
        }
    }
}

type EventPart<'a> = (Option<&'a [u8]>, Option<PartSchema>);

/// Encodes a consumed record as it appears in the event, with this key and value.
fn encode<M: Message>(
    message: &M,
    (key, key_schema): EventPart<'_>,
    (value, value_schema): EventPart<'_>,
    rejected: Option<Rejection>,
) -> EncodedRecord {
    let headers = message.headers();
    let n_headers = headers.map_or(0, Headers::count);
    let json = encode_record(RecordParts {
        topic: message.topic(),
        partition: message.partition(),
        offset: message.offset(),
        timestamp: message.timestamp(),
        key,
        value,
        headers: (0..n_headers).filter_map(|place| {
            let headers = headers?;
            // rdkafka 0.39 panics on a header name that is not UTF-8; one such record must not end the consumer.
            let header = catch_unwind(AssertUnwindSafe(|| headers.get(place)));
            if header.is_err() {
                let (partition, offset) = (message.partition(), message.offset());
                warn!(topic = %message.topic(), partition, offset, "a header whose name is not UTF-8 is left out");
            }
            header.ok().map(|header| (header.key, header.value))
        }),
        key_schema,
        value_schema,
    });
    EncodedRecord {
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
        received: Instant::now(),
        json,
        rejected,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rdkafka::Timestamp;
    use record_formats::schema::{SchemaSource, SchemaType};
    use serde_json::{Value, json};
    use tokio::sync::mpsc;

    use super::*;
    use crate::decoder::CompiledSchema;
    use crate::registry_config::{EventRecordFormat, Validated};

    fn intake(filters: &[&str]) -> (Intake, mpsc::UnboundedReceiver<u32>) {
        let (requests, requested) = mpsc::unbounded_channel();
        let filter = Filter::parse(&filters.iter().map(|&text| text.to_owned()).collect::<Vec<_>>()).unwrap();
        let decoder = Decoder::new(EventRecordFormat::Json, Validated::Value);
        (Intake::new(filter, Some(Schemas::new(decoder, requests))), requested)
    }

    fn string_schema() -> Lookup {
        let text =
            r#"{"type": "record", "name": "R", "fields": [{"name": "a", "type": "string"}]}"#.to_owned();
        let source = SchemaSource { schema_type: SchemaType::Avro, text, references: Vec::new() };
        Lookup::Found(Arc::new(CompiledSchema::compile(&source).unwrap()))
    }

    fn message(partition: i32, offset: i64, schema: u8, text: u8) -> OwnedMessage {
        let value = vec![0, 0, 0, 0, schema, 2, text];
        let time = Timestamp::CreateTime(1_700_000_000_000);
        OwnedMessage::new(Some(value), Some(b"k".to_vec()), "t".into(), time, partition, offset, None)
    }

    /// Puts a message where a borrowed one is put that has to wait.
    fn wait(intake: &mut Intake, message: OwnedMessage) {
        if !intake.waits(message.partition()) {
            assert!(intake.read(&message).is_none(), "its schema is unknown");
        }
        intake.waiting.entry(message.partition()).or_default().push_back(message);
    }

    fn kept(taken: &[(i32, i64, TakenIn)]) -> Vec<(i32, i64, Value)> {
        let of = |(partition, offset, taken): &(i32, i64, TakenIn)| match taken {
            TakenIn::Kept(record) => (*partition, *offset, serde_json::from_slice(&record.json).unwrap()),
            TakenIn::Dropped => (*partition, *offset, json!("dropped")),
            TakenIn::Rejected { record, .. } => {
                (*partition, *offset, json!(format!("{:?}", record.rejected.unwrap())))
            }
        };
        taken.iter().map(of).collect()
    }

    #[test]
    fn records_wait_in_order_and_a_schema_is_requested_once() {
        let (mut intake, mut requested) = intake(&[]);
        wait(&mut intake, message(0, 5, 1, b'x'));
        wait(&mut intake, message(0, 6, 2, b'y'));
        wait(&mut intake, message(1, 3, 1, b'z'));
        assert_eq!(requested.try_recv(), Ok(1));
        assert!(requested.try_recv().is_err(), "the second partition's record waits for the same schema");
        let taken = kept(&intake.learn(1, string_schema()));
        let summary: Vec<_> = taken.iter().map(|(partition, offset, _)| (*partition, *offset)).collect();
        assert_eq!(summary, [(0, 5), (1, 3)], "the record behind needs another schema");
        assert_eq!(taken[0].2["value"], "eyJhIjoieCJ9", r#"base64 of {{"a":"x"}}"#);
        assert_eq!(taken[0].2["valueSchemaMetadata"], json!({"dataFormat": "AVRO", "schemaId": "1"}));
        assert_eq!(taken[0].2.get("keySchemaMetadata"), None);
        assert_eq!(taken[0].2["key"], "aw==");
        assert_eq!(requested.try_recv(), Ok(2));
        assert!(intake.waits(0) && !intake.waits(1));
        assert_eq!(intake.learn(2, string_schema()).len(), 1);
        assert!(!intake.waits(0));
    }

    #[test]
    fn a_record_whose_schema_is_not_found_is_rejected_and_the_next_one_asks_again() {
        let (mut intake, mut requested) = intake(&[]);
        wait(&mut intake, message(0, 5, 1, b'x'));
        assert_eq!(requested.try_recv(), Ok(1));
        let taken = kept(&intake.learn(1, Lookup::NotFound("40403".into())));
        assert_eq!(taken, [(0, 5, json!("SchemaNotFound"))]);
        wait(&mut intake, message(0, 6, 1, b'x'));
        assert_eq!(requested.try_recv(), Ok(1), "it may be registered now");
    }

    #[test]
    fn a_rejected_record_is_as_it_was_read() {
        let (mut intake, _requested) = intake(&[r#"{"value":{"a":["x"]}}"#]);
        let taken = intake.read(&OwnedMessage::new(
            Some(b"plain".to_vec()),
            None,
            "t".into(),
            Timestamp::NotAvailable,
            0,
            1,
            None,
        ));
        let Some(TakenIn::Rejected { record, reason }) = taken else { panic!("{taken:?}") };
        let json: Value = serde_json::from_slice(&record.json).unwrap();
        assert_eq!(json["value"], "cGxhaW4=");
        assert_eq!(json.get("valueSchemaMetadata"), None);
        assert!(reason.starts_with("the value does not begin with"), "{reason}");
    }

    #[test]
    fn filters_see_the_decoded_value() {
        let (mut intake, _requested) = intake(&[r#"{"value":{"a":["x"]}}"#]);
        wait(&mut intake, message(0, 5, 1, b'x'));
        wait(&mut intake, message(0, 6, 1, b'y'));
        let taken = kept(&intake.learn(1, string_schema()));
        assert_eq!(taken[0].2["value"], "eyJhIjoieCJ9");
        assert_eq!(taken[1], (0, 6, json!("dropped")));
    }

    #[test]
    fn what_waits_of_a_partition_that_is_given_back_is_dropped() {
        let (mut intake, _requested) = intake(&[]);
        wait(&mut intake, message(0, 5, 1, b'x'));
        wait(&mut intake, message(1, 5, 1, b'x'));
        intake.forget([0]);
        let partitions: Vec<i32> = intake.learn(1, string_schema()).iter().map(|taken| taken.0).collect();
        assert_eq!(partitions, [1]);
    }
}
