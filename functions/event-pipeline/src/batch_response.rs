//! The function's response to an event source mapping with `ReportBatchItemFailures`.

use serde::Serialize;

use crate::event::BatchItem;

/// A partial batch response for Kafka,
/// <https://docs.aws.amazon.com/lambda/latest/dg/kafka-retry-configurations.html>:
/// `{"batchItemFailures":[{"itemIdentifier":{"partition":"order.events-0","offset":42}}]}`.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchResponse {
    /// The records that the mapping delivers again, with all that follow them in their partitions.
    pub batch_item_failures: Vec<BatchItemFailure>,
}

/// One failed record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchItemFailure {
    /// Where the record is in Kafka.
    pub item_identifier: ItemIdentifier,
}

/// Where a record is in Kafka.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ItemIdentifier {
    /// `topic-partition`: the key of the record's list in the event.
    pub partition: String,
    /// The record's offset.
    pub offset: i64,
}

impl BatchResponse {
    /// Reports `failed`; `None` when one of them has no offset or partition to report. Only an error for the whole batch is
    /// safe then.
    pub fn of<'e>(failed: impl IntoIterator<Item = &'e BatchItem<'e>>) -> Option<Self> {
        let mut batch_item_failures = Vec::new();
        for item in failed {
            let offset = item.offset?;
            if item.partition_key.is_empty() {
                return None;
            }
            let item_identifier = ItemIdentifier { partition: item.partition_key.to_owned(), offset };
            batch_item_failures.push(BatchItemFailure { item_identifier });
        }
        Some(Self { batch_item_failures })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::read_batch;

    #[test]
    fn every_failed_record_is_reported() {
        let payload = br#"{"records":{"order.events-0":[{"offset":42},{"offset":43}],"b-1":[{}]}}"#;
        let batch = read_batch(payload).unwrap();
        let response = BatchResponse::of(&batch[..2]).unwrap();
        assert_eq!(
            serde_json::to_string(&response).unwrap(),
            r#"{"batchItemFailures":[{"itemIdentifier":{"partition":"order.events-0","offset":42}},{"itemIdentifier":{"partition":"order.events-0","offset":43}}]}"#
        );
        assert_eq!(BatchResponse::of(&batch), None, "a record without an offset can't be reported");
        assert_eq!(serde_json::to_string(&BatchResponse::default()).unwrap(), r#"{"batchItemFailures":[]}"#);
    }
}
