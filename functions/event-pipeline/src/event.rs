//! Reads the event of a Kafka event source mapping, borrowing from the invocation's payload.
//!
//! The shape is that of <https://docs.aws.amazon.com/lambda/latest/dg/with-kafka-process.html>. `KafkaEvent` of
//! `aws_lambda_events` refuses a whole event for one odd record (no headers, a header byte over 127, timestamp -1)
//! and rounds timestamps through a float. Here an odd record does not affect the others.

use std::borrow::Cow;

use thiserror::Error;

use crate::json::{JsonError, Scanner};
use crate::json_string::RawString;

/// Says why none of the records in a payload can be read.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum EventError {
    /// The payload is not JSON.
    #[error("payload of the invocation is not a JSON object: {0}")]
    Json(#[from] JsonError),
    /// The payload is JSON but not an event of a Kafka event source mapping.
    #[error(
        "payload has no object `records`: this function reads events of a Kafka event source mapping \
         (eventSource `aws:kafka` or `SelfManagedKafka`)"
    )]
    NoRecords,
    /// The payload has more records than any event source mapping delivers at once.
    #[error(
        "payload has more than {MAX_RECORDS} records, and none of them was written: an event source mapping delivers at \
         most 10,000 at once (its `BatchSize`), and a caller of its own has to send fewer at once too"
    )]
    TooManyRecords,
}

/// Records that are read of one payload: twice Lambda's largest batch,
/// <https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html#lambda-CreateEventSourceMapping-request-BatchSize>.
/// 6 MB hold two million empty ones, which would take 280 MB of memory.
pub const MAX_RECORDS: usize = 20_000;
/// Longest name of a topic, <https://github.com/apache/kafka/blob/trunk/clients/src/main/java/org/apache/kafka/common/internals/Topic.java>.
const MAX_TOPIC: usize = 249;
/// Longest key of a list of `records`: a topic, a dash and a partition.
const MAX_PARTITION_KEY: usize = MAX_TOPIC + 1 + 20;

/// Says why a record can't be read as a Kafka record. Delivering it again does not help.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum RecordError {
    /// The record is JSON but not an object.
    #[error("record is not a JSON object")]
    NotAnObject,
    /// Neither the record nor the key of its list names a topic and a partition.
    #[error("record has no topic and partition")]
    NoPartition,
    /// The topic's name is longer than Kafka allows. Documents repeat it six times.
    #[error("topic of the record is longer than Kafka's {MAX_TOPIC} characters")]
    LongTopic,
    /// The record has no offset, or one that is not a whole number.
    #[error("record has no offset")]
    NoOffset,
    /// The value is not a base64 string or null.
    #[error("value of the record is not base64")]
    Value,
    /// The schema of the key or the value is not known yet: [`crate::encoder::Encoder::missing_schemas`] names it.
    #[error("schema of the record is not known")]
    MissingSchema,
    /// The key or the value can't be decoded, and such records are not to be indexed:
    /// [`crate::encoder::Encoder::schema_failure`] says why.
    #[error("record can't be decoded by its schema")]
    SchemaFailure,
    /// The record can't be redacted or transformed as its topic's rules say, and such records are not to be indexed:
    /// [`crate::encoder::Encoder::transform_failure`] says why.
    #[error("record can't be redacted or transformed")]
    TransformFailure,
    /// The headers are not JSON, which [`read_batch`] leaves to who reads them.
    #[error("headers of the record are not JSON")]
    Headers,
}

/// A Kafka record as the event source mapping delivers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaRecord<'a> {
    /// Name of the topic.
    pub topic: &'a str,
    /// Number of the partition.
    pub partition: i64,
    /// Offset in the partition.
    pub offset: i64,
    /// Milliseconds since the epoch; `None` where the record has none. Kafka's "no timestamp", -1, is kept.
    pub timestamp_ms: Option<i64>,
    /// Base64 of the key; `None` for a null key.
    pub key: Option<RawString<'a>>,
    /// Base64 of the value; `None` for a null value, a tombstone.
    pub value: Option<RawString<'a>>,
    /// JSON text of the headers, `[{"name": [bytes]}]`; `None` where there are none.
    pub headers: Option<&'a [u8]>,
    /// JSON text of `keySchemaMetadata`, which [`SchemaMetadata::read`] reads; `None` if the mapping validates no keys.
    pub key_schema: Option<&'a [u8]>,
    /// JSON text of `valueSchemaMetadata`, which [`SchemaMetadata::read`] reads; `None` if the mapping validates no values.
    pub value_schema: Option<&'a [u8]>,
}

/// The schema by which a mapping with a schema registry has validated a key or a value,
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-consume-kafka-events.html>.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SchemaMetadata<'a> {
    /// `dataFormat`: `AVRO`, `PROTOBUF` or `JSON`; `None` where it is missing or no text.
    pub data_format: Option<Cow<'a, str>>,
    /// `schemaId`: a number in a registry with Confluent's API, a UUID in a Glue registry; `None` where it is missing,
    /// or neither a text nor a whole number.
    pub schema_id: Option<Cow<'a, str>>,
}

impl<'a> SchemaMetadata<'a> {
    /// Reads the JSON text of [`KafkaRecord::key_schema`] or [`KafkaRecord::value_schema`].
    ///
    /// What is missing, null or of another type is `None`, members of other names are skipped, and of a member that is there
    /// twice the last one counts. Texts are borrowed unless they have escapes.
    pub fn read(json: &'a [u8]) -> Self {
        let mut metadata = Self::default();
        let mut scanner = Scanner::new(json);
        // The text was read as a JSON object with its record, so nothing of it can be left unread here.
        let _: Result<(), JsonError> = scanner.object(|scanner, name| {
            match &*name.unescape() {
                b"dataFormat" => metadata.data_format = text_or_number(scanner)?,
                b"schemaId" => metadata.schema_id = text_or_number(scanner)?,
                _ => {
                    scanner.value()?;
                }
            }
            Ok(())
        });
        metadata
    }
}

/// One item of a batch: a record, or why it can't be read as one, and where it is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchItem<'a> {
    /// Key of the record's list in `records`: `topic-partition`.
    pub partition_key: &'a str,
    /// JSON text of the record.
    pub json: &'a [u8],
    /// The record's offset, which even an item that is no readable record can have.
    pub offset: Option<i64>,
    /// The record, or why the item can't be read as one.
    pub record: Result<KafkaRecord<'a>, RecordError>,
}

/// Reads the batch in `payload`. Keeps the order of the records.
///
/// # Errors
/// [`EventError`] when the payload is not an event of a Kafka event source mapping.
pub fn read_batch(payload: &[u8]) -> Result<Vec<BatchItem<'_>>, EventError> {
    let mut scanner = Scanner::new(payload);
    let mut batch = Vec::new();
    let mut has_records = false;
    scanner.object(|scanner, key| {
        if member_name(key) != b"records" {
            scanner.value()?;
            return Ok(());
        }
        has_records = true;
        match scanner.peek()? {
            b'{' => {}
            b'n' => return Ok(scanner.value().map(drop)?),
            _ => return Err(EventError::NoRecords),
        }
        scanner.object(|scanner, partition_key| {
            let is_possible = |text: &&str| text.len() <= MAX_PARTITION_KEY;
            let partition_key = borrowed_text(partition_key).filter(is_possible).unwrap_or_default();
            if scanner.peek()? == b'n' {
                return Ok(scanner.value().map(drop)?);
            }
            scanner.array(|scanner| {
                if batch.len() == MAX_RECORDS {
                    return Err(EventError::TooManyRecords);
                }
                batch.push(read_record(scanner, partition_key)?);
                Ok::<_, EventError>(())
            })
        })
    })?;
    scanner.end()?;
    if has_records { Ok(batch) } else { Err(EventError::NoRecords) }
}

/// Reads the topic and the partition in the key of a list of `records`.
pub fn parse_partition_key(partition_key: &str) -> Option<(&str, i64)> {
    let (topic, partition) = partition_key.rsplit_once('-')?;
    Some((topic, partition.parse().ok()?))
}

fn read_record<'a>(scanner: &mut Scanner<'a>, partition_key: &'a str) -> Result<BatchItem<'a>, JsonError> {
    scanner.peek()?;
    let start = scanner.position();
    let (offset, record) = match Fields::read(scanner) {
        Ok(fields) => (fields.offset, fields.into_record(partition_key)),
        Err(_) => {
            // It is not an object. It is read again as any JSON value to find its end. If it is not JSON at all, the
            // whole payload isn't.
            scanner.seek(start);
            scanner.value()?;
            (None, Err(RecordError::NotAnObject))
        }
    };
    let json = scanner.slice(start..scanner.position());
    Ok(BatchItem { partition_key, json, offset, record })
}

/// The members of a record, each `None` where it is missing, null or of another type.
#[derive(Default)]
struct Fields<'a> {
    /// `Some(None)` is a string that is no topic.
    topic: Option<Option<&'a str>>,
    partition: Option<i64>,
    offset: Option<i64>,
    timestamp_ms: Option<i64>,
    key: Option<RawString<'a>>,
    value: Value<'a>,
    headers: Option<&'a [u8]>,
    key_schema: Option<&'a [u8]>,
    value_schema: Option<&'a [u8]>,
}

#[derive(Default)]
enum Value<'a> {
    #[default]
    Null,
    Base64(RawString<'a>),
    Other,
}

impl<'a> Fields<'a> {
    fn read(scanner: &mut Scanner<'a>) -> Result<Self, JsonError> {
        let mut fields = Self::default();
        scanner.object(|scanner, name| {
            match member_name(name) {
                b"topic" if scanner.peek()? == b'"' => fields.topic = Some(borrowed_text(scanner.string()?)),
                b"partition" => fields.partition = scanner.whole_number()?,
                b"offset" => fields.offset = scanner.whole_number()?,
                b"timestamp" => fields.timestamp_ms = scanner.whole_number()?,
                b"key" if scanner.peek()? == b'"' => fields.key = Some(scanner.long_string()?),
                b"value" => {
                    fields.value = match scanner.peek()? {
                        b'"' => Value::Base64(scanner.long_string()?),
                        b'n' => {
                            scanner.value()?;
                            Value::Null
                        }
                        _ => {
                            scanner.value()?;
                            Value::Other
                        }
                    }
                }
                b"headers" if scanner.peek()? == b'[' => {
                    let text = scanner.unvalidated_array()?;
                    fields.headers = Some(scanner.slice(text)).filter(|text| text.len() > 2);
                }
                b"keySchemaMetadata" => fields.key_schema = object_text(scanner)?,
                b"valueSchemaMetadata" => fields.value_schema = object_text(scanner)?,
                _ => {
                    scanner.value()?;
                }
            }
            Ok::<_, JsonError>(())
        })?;
        Ok(fields)
    }

    fn into_record(self, partition_key: &'a str) -> Result<KafkaRecord<'a>, RecordError> {
        let topic = self.topic.map(|topic| topic.ok_or(RecordError::NoPartition)).transpose()?;
        let (topic, partition) = match (topic, self.partition) {
            (Some(topic), Some(partition)) => (topic, partition),
            (topic, partition) => {
                let (key_topic, key_partition) =
                    parse_partition_key(partition_key).ok_or(RecordError::NoPartition)?;
                (topic.unwrap_or(key_topic), partition.unwrap_or(key_partition))
            }
        };
        if topic.len() > MAX_TOPIC {
            return Err(RecordError::LongTopic);
        }
        let value = match self.value {
            Value::Null => None,
            Value::Base64(text) => Some(text),
            Value::Other => return Err(RecordError::Value),
        };
        Ok(KafkaRecord {
            topic,
            partition,
            offset: self.offset.ok_or(RecordError::NoOffset)?,
            timestamp_ms: self.timestamp_ms,
            key: self.key,
            value,
            headers: self.headers,
            key_schema: self.key_schema,
            value_schema: self.value_schema,
        })
    }
}

/// The text of the value that follows, if it is an object.
#[cold]
fn object_text<'a>(scanner: &mut Scanner<'a>) -> Result<Option<&'a [u8]>, JsonError> {
    let is_object = scanner.peek()? == b'{';
    let text = scanner.value()?;
    Ok(is_object.then(|| scanner.slice(text)))
}

/// The text of the string that follows, or of the whole number: the ids of Confluent's API are numbers.
fn text_or_number<'a>(scanner: &mut Scanner<'a>) -> Result<Option<Cow<'a, str>>, JsonError> {
    let bytes = if scanner.peek()? == b'"' {
        scanner.string()?.unescape()
    } else {
        let text = scanner.value()?;
        let is_whole = |text: &&[u8]| text.iter().all(u8::is_ascii_digit);
        Cow::Borrowed(Some(scanner.slice(text)).filter(is_whole).unwrap_or_default())
    };
    // An unpaired surrogate is no UTF-8, and no id or format of a schema.
    let text = match bytes {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
        Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
    };
    Ok(text.filter(|text| !text.is_empty()))
}

/// Names of members that are read.
const NAMES: [&[u8]; 10] = [
    b"records",
    b"topic",
    b"partition",
    b"offset",
    b"timestamp",
    b"key",
    b"value",
    b"headers",
    b"keySchemaMetadata",
    b"valueSchemaMetadata",
];

/// The name of a member; of one with escapes, empty if it is none of [`NAMES`].
#[inline(always)]
fn member_name(raw: RawString<'_>) -> &[u8] {
    raw.plain().unwrap_or_else(|| escaped_name(raw))
}

/// No encoder that is known writes one of the names with escapes. Apart from the hot path, which is slower with a text to drop.
#[cold]
fn escaped_name(raw: RawString<'_>) -> &'static [u8] {
    let name = raw.unescape();
    NAMES.into_iter().find(|known| *known == &*name).unwrap_or_default()
}

/// The text of a string, if it has no escapes. Topics have none: Kafka allows only letters, digits, `.`, `_` and `-`.
fn borrowed_text(raw: RawString<'_>) -> Option<&str> {
    std::str::from_utf8(raw.plain()?).ok()
}

#[cfg(test)]
mod tests {
    use aws_lambda_events::event::kafka::KafkaEvent;
    use serde_json::json;

    use super::*;

    fn text(raw: Option<RawString<'_>>) -> Option<String> {
        raw.map(|raw| String::from_utf8(raw.unescape().into_owned()).unwrap())
    }

    fn event(records: serde_json::Value) -> Vec<u8> {
        let event =
            json!({"eventSource": "SelfManagedKafka", "bootstrapServers": "b:9092", "records": records});
        serde_json::to_vec_pretty(&event).unwrap()
    }

    #[test]
    fn records_are_read_as_aws_lambda_events_reads_them() {
        let payload = event(json!({
            "order.events-0": [
                {"topic": "order.events", "partition": 0, "offset": 15, "timestamp": 1_545_084_650_987_i64,
                 "timestampType": "CREATE_TIME", "key": "abcDEFghiJKLmnoPQRstuVWXyz1234==",
                 "value": "SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==", "headers": [{"headerKey": [104, 101, -1]}]},
                {"topic": "order.events", "partition": 0, "offset": 16, "timestamp": 1_545_084_650_988_i64,
                 "key": null, "value": null, "headers": []},
            ],
            "a-b-12": [{"topic": "a-b", "partition": 12, "offset": 7, "timestamp": 5, "headers": []}],
        }));
        let theirs: KafkaEvent = serde_json::from_slice(&payload).unwrap();
        let mut n_records = 0;
        for BatchItem { partition_key, record, .. } in read_batch(&payload).unwrap() {
            let record = record.unwrap();
            let theirs = theirs.records[partition_key].iter().find(|r| r.offset == record.offset).unwrap();
            assert_eq!(Some(record.topic), theirs.topic.as_deref());
            assert_eq!(record.partition, theirs.partition);
            assert_eq!((text(record.key), text(record.value)), (theirs.key.clone(), theirs.value.clone()));
            n_records += 1;
        }
        assert_eq!(n_records, 3);
    }

    #[test]
    fn odd_records_do_not_fail_the_others() {
        let payload = event(json!({"t-3": [
            {"offset": 1, "value": "AA=="},
            {"offset": "2", "timestamp": -1, "headers": null, "key": null, "valueSchemaMetadata": {"id": [1]}},
            {"value": "AA=="},
            17,
            {"offset": 5, "value": {"not": "base64"}},
            {"offset": 6, "headers": [{"a": [255, -128, 0]}]},
        ]}));
        let records = read_batch(&payload).unwrap();
        let summary: Vec<_> = records
            .iter()
            .map(|BatchItem { offset, record, .. }| {
                (*offset, record.as_ref().map(|r| (r.topic, r.partition, r.timestamp_ms)))
            })
            .collect();
        assert_eq!(
            summary,
            [
                (Some(1), Ok(("t", 3, None))),
                (Some(2), Ok(("t", 3, Some(-1)))),
                (None, Err(&RecordError::NoOffset)),
                (None, Err(&RecordError::NotAnObject)),
                (Some(5), Err(&RecordError::Value)),
                (Some(6), Ok(("t", 3, None))),
            ]
        );
    }

    #[test]
    fn the_schema_of_a_validated_key_and_value_is_read() {
        let uuid = "a1b2c3d4-5678-90ab-cdef-EXAMPLE11111";
        let payload = event(json!({"t-0": [
            {"offset": 1, "valueSchemaMetadata": {"dataFormat": "AVRO", "schemaId": uuid}},
            {"offset": 2, "keySchemaMetadata": {"schemaId": 17, "dataFormat": "PROTOBUF", "version": [{"schemaId": 3}]},
             "valueSchemaMetadata": {"schemaId": "17"}},
            {"offset": 3, "keySchemaMetadata": null, "valueSchemaMetadata": "AVRO"},
            {"offset": 4, "valueSchemaMetadata": {"dataFormat": null, "schemaId": 1.5}},
            {"offset": 5, "valueSchemaMetadata": {"dataFormat": "", "schemaId": [1]}},
            {"offset": 6},
        ]}));
        let of = |json: Option<&[u8]>| {
            let metadata = SchemaMetadata::read(json?);
            Some((metadata.data_format.map(Cow::into_owned), metadata.schema_id.map(Cow::into_owned)))
        };
        let both = |format: &str, id: &str| Some((Some(format.to_owned()), Some(id.to_owned())));
        let schemas: Vec<_> = read_batch(&payload)
            .unwrap()
            .into_iter()
            .map(|item| item.record.map(|record| (of(record.key_schema), of(record.value_schema))).unwrap())
            .collect();
        assert_eq!(
            schemas,
            [
                (None, both("AVRO", uuid)),
                (both("PROTOBUF", "17"), Some((None, Some("17".to_owned())))),
                (None, None),
                (None, Some((None, None))),
                (None, Some((None, None))),
                (None, None),
            ]
        );
    }

    #[test]
    fn the_schema_is_borrowed_unless_it_has_escapes() {
        let metadata = SchemaMetadata::read(
            br#"{"schemaId": "1\u0037", "dataFormat": "AVRO", "schema\u0049d": "x\u0037"}"#,
        );
        assert!(matches!(metadata.data_format, Some(Cow::Borrowed("AVRO"))), "{metadata:?}");
        assert_eq!(metadata.schema_id.as_deref(), Some("x7"), "the last member of a name counts");
        assert_eq!(SchemaMetadata::read(br#"{"schemaId": "\ud800"}"#), SchemaMetadata::default());
        assert_eq!(SchemaMetadata::read(b"17"), SchemaMetadata::default());
    }

    #[test]
    fn a_batch_is_empty_only_if_the_event_has_an_empty_list_of_records() {
        assert_eq!(read_batch(br#"{"records":{}}"#).unwrap(), []);
        assert_eq!(read_batch(br#"{"records":null}"#).unwrap(), []);
        assert_eq!(read_batch(br#"{"records":{"t-0":null}}"#).unwrap(), []);
        assert_eq!(read_batch(br#"{"key1":"value1"}"#), Err(EventError::NoRecords));
        assert_eq!(read_batch(br#"{"records":[]}"#), Err(EventError::NoRecords));
    }

    #[test]
    fn a_truncated_payload_is_refused_as_a_whole() {
        let payload = event(json!({"t-0": [{"offset": 1, "value": "AA=="}]}));
        for end in 0..payload.len() {
            assert!(read_batch(&payload[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for record in [
            r#"{"offset":007}"#,
            r#"{"offset":-01}"#,
            "{\"offset\":1,\"value\":\"AA\n==\"}",
            "{\"offset\":1,\"key\":\"\u{1f}\"}",
            "{\"offset\":1,\"topic\":\"\t\"}",
        ] {
            let payload = format!(r#"{{"records":{{"t-0":[{record}]}}}}"#);
            assert!(matches!(read_batch(payload.as_bytes()), Err(EventError::Json(_))), "{record}");
        }
    }

    #[test]
    fn a_topic_longer_than_any_of_kafka_is_none() {
        let record = |topic: &str| format!(r#"{{"topic":"{topic}","partition":0,"offset":1}}"#);
        let (longest, too_long) = ("t".repeat(MAX_TOPIC), "t".repeat(MAX_TOPIC + 1));
        let payload = format!(r#"{{"records":{{"t-0":[{},{}]}}}}"#, record(&longest), record(&too_long));
        let batch = read_batch(payload.as_bytes()).unwrap();
        assert_eq!(batch[0].record.as_ref().map(|record| record.topic), Ok(longest.as_str()));
        assert_eq!(batch[1].record, Err(RecordError::LongTopic));
        let payload = format!(r#"{{"records":{{"{}-0":[{{"offset":1}}]}}}}"#, "t".repeat(MAX_PARTITION_KEY));
        let batch = read_batch(payload.as_bytes()).unwrap();
        assert_eq!((batch[0].partition_key, &batch[0].record), ("", &Err(RecordError::NoPartition)));
    }

    #[test]
    fn a_batch_is_larger_than_any_of_lambda_but_bounded() {
        let payload = |n| format!(r#"{{"records":{{"t-0":[{}]}}}}"#, vec!["{}"; n].join(","));
        assert_eq!(read_batch(payload(MAX_RECORDS).as_bytes()).unwrap().len(), MAX_RECORDS);
        assert_eq!(read_batch(payload(MAX_RECORDS + 1).as_bytes()), Err(EventError::TooManyRecords));
    }

    #[test]
    fn names_with_escapes_are_the_same_names() {
        let record = r#"{"t\u006fpic":"u","p\u0061rtition":3,"\u006fffset":1,"v\u0061lue":"AA=="}"#;
        let payload = format!(r#"{{"r\u0065cords":{{"t-0":[{record}]}}}}"#);
        let batch = read_batch(payload.as_bytes()).unwrap();
        let record = batch[0].record.as_ref().unwrap();
        assert_eq!((record.topic, record.partition, record.offset), ("u", 3, 1));
        assert_eq!(text(record.value).as_deref(), Some("AA=="));
    }

    #[test]
    fn a_topic_with_escapes_is_not_replaced_by_that_of_its_list() {
        let payload = br#"{"records":{"t-0":[{"topic":"\u0075","partition":0,"offset":1}]}}"#;
        assert_eq!(read_batch(payload).unwrap()[0].record, Err(RecordError::NoPartition));
    }

    #[test]
    fn base64_with_escaped_slashes_is_the_same_base64() {
        let payload = br#"{"records":{"t-0":[{"offset":1,"value":"\/\/8="}]}}"#;
        let records = read_batch(payload).unwrap();
        assert_eq!(text(records[0].record.as_ref().unwrap().value).as_deref(), Some("//8="));
    }
}
