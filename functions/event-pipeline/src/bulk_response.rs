//! Reads the response to a bulk request, item by item, in the request's order.

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, de};
use thiserror::Error;

use crate::outcome::{Verdict, shortened};

/// Query of a bulk request: asks for no more of the response than is needed, positions kept.
pub const FILTER_PATH: &str = "filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason,\
                               items.*.error.caused_by.type,items.*.error.caused_by.reason";

/// Says why a response can't be trusted: nothing of the request counts as written.
#[derive(Debug, Error)]
pub enum BulkResponseError {
    /// The response is not JSON of the documented shape.
    #[error("bulk response is not what was asked for: {0}")]
    Json(#[from] serde_json::Error),
    /// The response has more or fewer items than the request had operations.
    #[error("bulk response has {items} items for {operations} operations")]
    Count {
        /// Items in the response.
        items: usize,
        /// Operations in the request.
        operations: usize,
    },
}

/// Reads `body`, the response to a request of `n_operations`, and judges each item.
///
/// # Errors
/// [`BulkResponseError`] when the response is not JSON, or not one item an operation.
pub fn read_bulk_response(body: &[u8], n_operations: usize) -> Result<Vec<Verdict>, BulkResponseError> {
    let response: Response = serde_json::from_slice(body)?;
    if response.items.len() != n_operations {
        return Err(BulkResponseError::Count { items: response.items.len(), operations: n_operations });
    }
    Ok(response.items.into_iter().map(|item| item.0).collect())
}

#[derive(Deserialize)]
struct Response {
    items: Vec<Item>,
}

/// `{"create": {"status": 201}}`
struct Item(Verdict);

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Operation;
        impl<'de> Visitor<'de> for Operation {
            type Value = Item;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an item with one operation")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Item, A::Error> {
                let Some((IgnoredAny, answer)) = map.next_entry::<IgnoredAny, Answer>()? else {
                    return Err(de::Error::custom("an item names no operation"));
                };
                if map.next_key::<IgnoredAny>()?.is_some() {
                    return Err(de::Error::custom("an item names two operations"));
                }
                Ok(Item(answer.verdict()))
            }
        }
        deserializer.deserialize_map(Operation)
    }
}

#[derive(Deserialize)]
struct Answer {
    status: u16,
    error: Option<Error>,
}

#[derive(Deserialize)]
struct Error {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    reason: Option<String>,
    caused_by: Option<Box<Error>>,
}

impl Answer {
    fn verdict(self) -> Verdict {
        let Some(error) = self.error else { return Verdict::of(self.status, "", "") };
        let mut reason = error.reason.unwrap_or_default();
        // The outer reason often says only "failed to parse": the cause names the field's trouble.
        if let Some(cause) = error.caused_by
            && let Some(cause_reason) = cause.reason
        {
            reason = format!("{reason}: {}: {cause_reason}", cause.kind);
        }
        Verdict::of(self.status, &error.kind, shortened(&reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Fault;

    #[test]
    fn items_are_judged_in_order() {
        let body =
            br#"{"errors":true,"items":[{"create":{"status":201}},{"create":{"status":409,"error":{"type":
            "version_conflict_engine_exception","reason":"exists"}}},{"create":{"status":400,"error":{"type":
            "mapper_parsing_exception","reason":"failed to parse field [a]","caused_by":{"type":
            "number_format_exception","reason":"For input string: \"x\""}}}}]}"#;
        let rejected = Verdict::Rejected(Fault {
            kind: "mapper_parsing_exception".into(),
            reason: "failed to parse field [a]: number_format_exception: For input string: \"x\"".into(),
            status: 400,
        });
        assert_eq!(read_bulk_response(body, 3).unwrap(), [Verdict::Indexed, Verdict::Duplicate, rejected]);
    }

    #[test]
    fn a_response_of_the_wrong_count_is_refused() {
        let body = br#"{"errors":false,"items":[{"create":{"status":201}}]}"#;
        assert!(matches!(
            read_bulk_response(body, 2),
            Err(BulkResponseError::Count { items: 1, operations: 2 })
        ));
    }

    #[test]
    fn a_response_of_another_shape_is_refused() {
        for body in
            ["", "<html>", "{}", r#"{"items":[{}]}"#, r#"{"items":[{"create":{}}]}"#, r#"{"items":[{"create"#]
        {
            assert!(
                matches!(read_bulk_response(body.as_bytes(), 1), Err(BulkResponseError::Json(_))),
                "{body}"
            );
        }
    }
}
