//! Parses a function's partial batch response.
//!
//! The form is that of <https://docs.aws.amazon.com/lambda/latest/dg/kafka-retry-configurations.html>:
//! `{"batchItemFailures":[{"itemIdentifier":{"partition":"topic-0","offset":42}}]}`. The documentation has also called
//! the first field `topic-partition`; both are accepted.

use serde::Deserialize;

use crate::record::PartitionRecords;

/// Why a response fails the whole batch.
#[derive(Debug, thiserror::Error)]
pub enum ResponseError {
    /// It is not in the documented form.
    #[error("the function's response is not a partial batch response")]
    Malformed(#[from] serde_json::Error),
    /// It names a record that was not in the event.
    #[error("the function's response names {partition} offset {offset}, which was not in its event")]
    Unknown {
        /// The partition as named.
        partition: String,
        /// The offset as named.
        offset: i64,
    },
}

#[derive(Deserialize)]
struct BatchResponse {
    #[serde(rename = "batchItemFailures")]
    failures: Option<Vec<Failure>>,
}

#[derive(Deserialize)]
struct Failure {
    #[serde(rename = "itemIdentifier")]
    item: Item,
}

#[derive(Deserialize)]
struct Item {
    #[serde(alias = "topic-partition")]
    partition: String,
    offset: i64,
}

/// Returns the failed records as partition and offset. None means success.
///
/// # Errors
/// When the whole batch counts as failed.
pub fn failures(
    response: &[u8],
    topic: &str,
    parts: &[PartitionRecords],
) -> Result<Vec<(i32, i64)>, ResponseError> {
    if response.trim_ascii().is_empty() {
        return Ok(Vec::new());
    }
    let response: Option<BatchResponse> = serde_json::from_slice(response)?;
    let named = response.and_then(|response| response.failures).unwrap_or_default();
    let mut failures = Vec::with_capacity(named.len());
    for Failure { item } in named {
        let partition =
            item.partition.strip_prefix(topic).and_then(|rest| rest.strip_prefix('-')?.parse().ok());
        let known = partition.filter(|partition| {
            parts
                .iter()
                .filter(|part| part.partition() == *partition)
                .any(|part| part.records.binary_search_by_key(&item.offset, |record| record.offset).is_ok())
        });
        match known {
            Some(partition) => failures.push((partition, item.offset)),
            None => return Err(ResponseError::Unknown { partition: item.partition, offset: item.offset }),
        }
    }
    Ok(failures)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::records;

    fn read(response: &str) -> Result<Vec<(i32, i64)>, ResponseError> {
        let parts = [records(0, 40..45), records(2, 7..8)];
        failures(response.as_bytes(), "order.events", &parts)
    }

    fn error(response: &str) -> String {
        read(response).unwrap_err().to_string()
    }

    #[test]
    fn empty_and_null_responses_are_success() {
        for response in
            ["", " \n", "null", "{}", r#"{"batchItemFailures":null}"#, r#"{"batchItemFailures":[]}"#]
        {
            assert_eq!(read(response).unwrap(), [], "{response}");
        }
    }

    #[test]
    fn failed_records_are_named_by_partition_and_offset() {
        let response = r#"{"batchItemFailures":[
            {"itemIdentifier":{"partition":"order.events-0","offset":42}},
            {"itemIdentifier":{"topic-partition":"order.events-2","offset":7}}]}"#;
        assert_eq!(read(response).unwrap(), [(0, 42), (2, 7)]);
    }

    #[test]
    fn a_record_that_was_not_in_the_event_fails_the_batch() {
        for (partition, offset) in
            [("order.events-1", 42), ("order.events-0", 45), ("other-0", 42), ("order.events-", 42)]
        {
            let item = format!(r#"{{"partition":"{partition}","offset":{offset}}}"#);
            let response = format!(r#"{{"batchItemFailures":[{{"itemIdentifier":{item}}}]}}"#);
            let expected = format!(
                "the function's response names {partition} offset {offset}, which was not in its event"
            );
            assert_eq!(error(&response), expected);
        }
    }

    #[test]
    fn malformed_responses_fail_the_batch() {
        for response in [
            "x",
            "\"ok\"",
            "[]1",
            r#"{"batchItemFailures":{}}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":"order.events-0"}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":{"partition":"order.events-0","offset":""}}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":{"partition":"order.events-0","offset":null}}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":{"offset":42}}]}"#,
        ] {
            let expected = "the function's response is not a partial batch response";
            assert_eq!(error(response), expected, "{response}");
        }
    }
}
