//! The on-failure record of an event source mapping: a batch that it discarded, and the condition for that.

use event_pipeline::event::EventError;
use serde::Deserialize;
use serde_json::value::RawValue;
use thiserror::Error;

use crate::response::NONE;

/// Why an object holds no batch.
#[derive(Debug, Error)]
pub(crate) enum ObjectError {
    /// It is not what an event source mapping writes.
    #[error("it is not an on-failure record of an event source mapping: {0}")]
    Form(#[from] serde_json::Error),
    /// It was written for another kind of destination.
    #[error(
        "it has no `payload`: only mappings with an S3 destination keep the batch; read the records of \
         `KafkaBatchInfo` from Kafka again"
    )]
    NoPayload,
    /// The batch is not one of Kafka records.
    #[error("its `payload` is not a batch of Kafka records: {0}")]
    Batch(#[from] EventError),
}

/// A batch that a mapping discarded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DiscardedBatch {
    /// The event that the function was invoked with.
    pub(crate) event: String,
    /// Why the mapping discarded it: `RetryAttemptsExhausted`, `RecordAgeExceeded` …
    pub(crate) condition: String,
}

impl DiscardedBatch {
    /// Parses an object. The event in its `payload` is text, or the JSON itself.
    ///
    /// # Errors
    /// [`ObjectError`] when it holds no event.
    pub(crate) fn parse(object: &[u8]) -> Result<Self, ObjectError> {
        let record: OnFailureRecord<'_> = serde_json::from_slice(object)?;
        let payload = record.payload.ok_or(ObjectError::NoPayload)?.get();
        let event =
            if payload.starts_with('"') { serde_json::from_str(payload)? } else { payload.to_owned() };
        let condition = record.request_context.and_then(|context| context.condition);
        Ok(Self { event, condition: condition.unwrap_or_else(|| NONE.to_owned()) })
    }
}

/// <https://docs.aws.amazon.com/lambda/latest/dg/kafka-on-failure.html>
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OnFailureRecord<'a> {
    request_context: Option<RequestContext>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct RequestContext {
    condition: Option<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const EVENT: &str = r#"{"records":{"t-0":[{"offset":1,"value":"e30="}]}}"#;

    #[test]
    fn the_event_is_text_or_the_json_itself() {
        let text = json!({"requestContext": {"condition": "RetryAttemptsExhausted"}, "payload": EVENT});
        let json =
            format!(r#"{{"requestContext":{{"condition":"RetryAttemptsExhausted"}},"payload":{EVENT}}}"#);
        for object in [text.to_string(), json] {
            let batch = DiscardedBatch::parse(object.as_bytes()).unwrap();
            let expected = DiscardedBatch { event: EVENT.into(), condition: "RetryAttemptsExhausted".into() };
            assert_eq!(batch, expected);
        }
    }

    #[test]
    fn an_object_without_a_batch_is_refused_with_a_way_out() {
        let refused = |object: &str| DiscardedBatch::parse(object.as_bytes()).unwrap_err().to_string();
        assert!(refused(r#"{"requestContext":{},"KafkaBatchInfo":{}}"#).contains("from Kafka again"));
        assert!(refused("<html>").contains("not an on-failure record"));
    }
}
