//! Builders for the tests of several modules.

use std::ops::Range;
use std::time::Instant;

use crate::event::EventShape;
use crate::mapping::Mapping;
use crate::record::{Assignment, EncodedRecord, PartitionRecords};

/// A mapping of `order.events` with Lambda's defaults.
pub(crate) fn mapping() -> Mapping {
    let configuration = serde_json::json!({
        "UUID": "uuid", "FunctionArn": "arn:aws:lambda:us-east-1:000000000000:function:f",
        "Topics": ["order.events"], "SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["a:9092"]}}
    });
    Mapping::parse(&serde_json::from_value(configuration).unwrap()).unwrap().unwrap()
}

/// The shape of that mapping's events.
pub(crate) fn shape() -> EventShape {
    EventShape::new(&mapping(), "a:9092")
}

/// Makes records with these offsets, each with its offset as timestamp.
pub(crate) fn records(partition: i32, offsets: Range<i64>) -> PartitionRecords {
    let received = Instant::now();
    let record = |offset: i64| EncodedRecord {
        offset,
        timestamp_ms: offset,
        received,
        json: b"{}".to_vec().into(),
        rejected: None,
    };
    PartitionRecords {
        assignment: Assignment { partition, generation: 1 },
        records: offsets.map(record).collect(),
    }
}
