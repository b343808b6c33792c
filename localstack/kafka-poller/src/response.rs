//! Reads a function's partial batch response.
//!
//! The form is that of <https://docs.aws.amazon.com/lambda/latest/dg/kafka-retry-configurations.html>:
//! `{"batchItemFailures":[{"itemIdentifier":{"partition":"topic-0","offset":42}}]}`. The documentation has also named
//! the first field `topic-partition`; both are read.

use serde::Deserialize;

use crate::record::PartitionRecords;

/// Why an answer fails its whole batch.
#[derive(Debug, thiserror::Error)]
pub enum ResponseError {
    /// It is not in the documented form.
    #[error("the function's answer is not a partial batch response")]
    Malformed(#[from] serde_json::Error),
    /// It names a record that was not in the event.
    #[error("the function's answer names {partition} offset {offset}, which was not in its event")]
    Unknown {
        /// The partition as named.
        partition: String,
        /// The offset as named.
        offset: i64,
    },
}

#[derive(Deserialize)]
struct Answer {
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

/// Gives the failed records as partition and offset; none is success.
///
/// # Errors
/// When the whole batch counts as failed.
pub fn failures(
    answer: &[u8],
    topic: &str,
    parts: &[PartitionRecords],
) -> Result<Vec<(i32, i64)>, ResponseError> {
    if answer.trim_ascii().is_empty() {
        return Ok(Vec::new());
    }
    let answer: Option<Answer> = serde_json::from_slice(answer)?;
    let named = answer.and_then(|answer| answer.failures).unwrap_or_default();
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

    fn read(answer: &str) -> Result<Vec<(i32, i64)>, String> {
        let parts = [records(0, 40..45), records(2, 7..8)];
        failures(answer.as_bytes(), "order.events", &parts).map_err(|error| error.to_string())
    }

    #[test]
    fn empty_and_null_answers_are_success() {
        for answer in
            ["", " \n", "null", "{}", r#"{"batchItemFailures":null}"#, r#"{"batchItemFailures":[]}"#]
        {
            assert_eq!(read(answer), Ok(vec![]), "{answer}");
        }
    }

    #[test]
    fn failed_records_are_named_by_partition_and_offset() {
        let answer = r#"{"batchItemFailures":[
            {"itemIdentifier":{"partition":"order.events-0","offset":42}},
            {"itemIdentifier":{"topic-partition":"order.events-2","offset":7}}]}"#;
        assert_eq!(read(answer), Ok(vec![(0, 42), (2, 7)]));
    }

    #[test]
    fn what_was_not_in_the_event_fails_the_batch() {
        for (partition, offset) in
            [("order.events-1", 42), ("order.events-0", 45), ("other-0", 42), ("order.events-", 42)]
        {
            let item = format!(r#"{{"partition":"{partition}","offset":{offset}}}"#);
            let answer = format!(r#"{{"batchItemFailures":[{{"itemIdentifier":{item}}}]}}"#);
            let expected = format!(
                "the function's answer names {partition} offset {offset}, which was not in its event"
            );
            assert_eq!(read(&answer), Err(expected));
        }
    }

    #[test]
    fn malformed_answers_fail_the_batch() {
        for answer in [
            "x",
            "\"ok\"",
            "[]1",
            r#"{"batchItemFailures":{}}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":"order.events-0"}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":{"partition":"order.events-0","offset":""}}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":{"partition":"order.events-0","offset":null}}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":{"offset":42}}]}"#,
        ] {
            assert_eq!(
                read(answer),
                Err("the function's answer is not a partial batch response".to_owned()),
                "{answer}"
            );
        }
    }
}
