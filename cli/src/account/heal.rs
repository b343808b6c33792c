//! Gives missing records to the function again, as a mapping would: it publishes and deletes nothing, and the ids make it harmless.

use std::ops::AddAssign;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::aws_api::{Aws, AwsError};
use crate::record::{Record, member};

/// Bytes of an event. Lambda takes 6 MB, <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>.
const EVENT_BYTES: usize = 6 * 1024 * 1024 - 64 * 1024;
/// Records of an event.
const EVENT_RECORDS: usize = 2_000;

/// What was given to the function.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Healed {
    /// Invocations.
    pub invocations: u64,
    /// Records that the function took.
    pub records: u64,
    /// Records that it failed.
    pub failed: u64,
    /// Records that no event has room for.
    pub too_large: u64,
}

impl AddAssign for Healed {
    fn add_assign(&mut self, other: Self) {
        self.invocations += other.invocations;
        self.records += other.records;
        self.failed += other.failed;
        self.too_large += other.too_large;
    }
}

/// Why records can't be given to the function.
#[derive(Debug, Error)]
pub enum HealError {
    /// The function can't be invoked.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// Its response is none of a mapping's.
    #[error("the function's response is not that of a batch: {0}")]
    Response(#[source] serde_json::Error),
}

/// Collects missing records and gives them to the function.
#[derive(Debug)]
pub struct Healer<'a> {
    aws: &'a Aws,
    function_arn: String,
    batch: Batch,
    healed: Healed,
}

/// Records of an event, which all are of one partition.
#[derive(Debug, Default)]
struct Batch {
    key: String,
    members: String,
    n: usize,
}

/// <https://docs.aws.amazon.com/lambda/latest/dg/kafka-retry-configurations.html>: the records that failed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PartialResponse {
    #[serde(default)]
    batch_item_failures: Vec<Value>,
}

impl Batch {
    fn push(&mut self, key: String, member: &str) {
        self.key = key;
        if self.n > 0 {
            self.members.push(',');
        }
        self.members.push_str(member);
        self.n += 1;
    }

    /// Whether another record fits.
    fn has_room(&self, key: &str, member: &str) -> bool {
        self.n == 0
            || (self.key == key
                && self.n < EVENT_RECORDS
                && self.members.len() + member.len() + key.len() + 200 <= EVENT_BYTES)
    }

    fn event(&self) -> Bytes {
        let key = Value::String(self.key.clone());
        format!(r#"{{"eventSource":"SelfManagedKafka","records":{{{key}:[{}]}}}}"#, self.members).into()
    }
}

impl<'a> Healer<'a> {
    /// Gives records to the function with this ARN.
    pub fn new(aws: &'a Aws, function_arn: String) -> Self {
        Self { aws, function_arn, batch: Batch::default(), healed: Healed::default() }
    }

    /// Takes a missing record, and invokes the function when there are enough.
    ///
    /// # Errors
    /// [`HealError`]
    pub async fn add(&mut self, record: &Record) -> Result<(), HealError> {
        let (key, member) = (format!("{}-{}", record.topic, record.partition), member(record).to_string());
        if member.len() + key.len() + 200 > EVENT_BYTES {
            self.healed.too_large += 1;
            return Ok(());
        }
        if !self.batch.has_room(&key, &member) {
            self.flush().await?;
        }
        self.batch.push(key, &member);
        Ok(())
    }

    /// Gives the rest to the function, and returns what was given to it.
    ///
    /// # Errors
    /// [`HealError`]
    pub async fn finish(mut self) -> Result<Healed, HealError> {
        self.flush().await?;
        Ok(self.healed)
    }

    async fn flush(&mut self) -> Result<(), HealError> {
        let batch = std::mem::take(&mut self.batch);
        if batch.n == 0 {
            return Ok(());
        }
        let invocation = self.aws.invoke(&self.function_arn, batch.event()).await?;
        self.healed.invocations += 1;
        let n_failed = match invocation.function_error {
            Some(_) => batch.n,
            None => n_failed(&invocation.payload)?.min(batch.n),
        };
        self.healed.failed += n_failed as u64;
        self.healed.records += (batch.n - n_failed) as u64;
        Ok(())
    }
}

/// How many records a response names as failed. One without a list is that of a batch without failures.
fn n_failed(response: &[u8]) -> Result<usize, HealError> {
    let response: Option<PartialResponse> = serde_json::from_slice(response).map_err(HealError::Response)?;
    Ok(response.map_or(0, |response| response.batch_item_failures.len()))
}

#[cfg(test)]
mod tests {
    use event_pipeline::event::read_batch;

    use super::*;

    fn record(partition: i64, offset: i64, n_bytes: usize) -> Record {
        Record {
            topic: "a.events".into(),
            partition,
            offset,
            timestamp_ms: Some(5),
            key: None,
            value: Some(vec![b'x'; n_bytes]),
            headers: Vec::new(),
        }
    }

    #[test]
    fn an_event_has_the_records_of_one_partition_and_less_than_6_mb() {
        let mut batch = Batch::default();
        let text = |offset| member(&record(1, offset, 1_000_000)).to_string();
        let mut offset = 0;
        while batch.has_room("a.events-1", &text(offset)) {
            batch.push("a.events-1".into(), &text(offset));
            offset += 1;
        }
        assert!(!batch.has_room("a.events-2", "{}"));
        let event = batch.event();
        assert!(event.len() < 6 * 1024 * 1024 && event.len() > 5_000_000, "{}", event.len());
        let items = read_batch(&event).unwrap();
        let offsets: Vec<_> = items.iter().map(|item| item.record.as_ref().unwrap().offset).collect();
        assert_eq!(offsets, [0, 1, 2, 3]);
    }

    #[test]
    fn a_response_names_the_records_that_failed() {
        for (response, expected) in [
            ("null", 0),
            ("{}", 0),
            (r#"{"batchItemFailures":[]}"#, 0),
            (r#"{"batchItemFailures":[{"itemIdentifier":{"partition":"t-0","offset":4}}]}"#, 1),
        ] {
            assert_eq!(n_failed(response.as_bytes()).unwrap(), expected, "{response}");
        }
        assert!(n_failed(b"text").is_err());
    }
}
