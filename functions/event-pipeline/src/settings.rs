//! The settings of the pipeline: how documents are named, timed and enriched.

use crate::formats::Formats;
use crate::index::IndexPrefix;
use crate::rules::Rules;
use crate::time_text::Zone;

/// How a document gets its `_id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentId {
    /// `topic-partition-offset-timestamp`: a record delivered again is the same document.
    Deterministic,
    /// The cluster generates it; for collections that refuse ids (OpenSearch Serverless time series).
    Auto,
}

/// Settings of the pipeline. [`Settings::default`] has the documented defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Events go to `<index_prefix>-YYYY.MM.DD`.
    pub index_prefix: IndexPrefix,
    /// Dead letters go to `<dead_letter_prefix>-YYYY.MM.DD`, of the same day as the document.
    pub dead_letter_prefix: IndexPrefix,
    /// Value of the field `environment`.
    pub environment: String,
    /// Value of the field `platform`.
    pub platform: String,
    /// Removed from the end of the topic to make `service_name`.
    pub topic_suffix: String,
    /// Top-level fields that may hold the event's time, tried in this order.
    pub timestamp_fields: Vec<String>,
    /// Zone of times that name none.
    pub timestamp_zone: Zone,
    /// How far before the record's own timestamp an event's time may lie, in milliseconds.
    pub max_past_ms: i64,
    /// How far after the record's own timestamp an event's time may lie, in milliseconds.
    pub max_future_ms: i64,
    /// Record headers to keep under `kafka_headers`.
    pub header_fields: Vec<String>,
    /// How documents get their `_id`.
    pub document_id: DocumentId,
    /// How keys and values are encoded.
    pub formats: Formats,
    /// What topics have of their own.
    pub rules: Rules,
}

/// Names that loggers and serializers give to an event's time. `createdAt` is not among them: it is when the thing was made
/// that the event is about.
const TIMESTAMP_FIELDS: [&str; 8] =
    ["timestamp", "@timestamp", "eventTime", "occurredAt", "time", "ts", "ts_ms", "timeUnixNano"];
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

impl Default for Settings {
    fn default() -> Self {
        let prefix = |text| IndexPrefix::parse(text).expect("the default prefixes are valid");
        Self {
            index_prefix: prefix("microservices"),
            dead_letter_prefix: prefix("dead-letters-microservices"),
            environment: "kubernetes".into(),
            platform: "demo-micro".into(),
            topic_suffix: ".events".into(),
            timestamp_fields: TIMESTAMP_FIELDS.map(String::from).to_vec(),
            timestamp_zone: Zone::UTC,
            max_past_ms: 30 * DAY_MS,
            max_future_ms: DAY_MS,
            header_fields: Vec::new(),
            document_id: DocumentId::Deterministic,
            formats: Formats::default(),
            rules: Rules::default(),
        }
    }
}
