//! Reads the response to a bulk request, item by item, in the request's order.

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, de};
use thiserror::Error;

use crate::item_result::{ItemAction, ItemResult};
use crate::write_error::shortened;

/// Query of a bulk request. It asks for only the parts of the response that are needed, with their positions kept.
pub const FILTER_PATH: &str = "filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason,\
                               items.*.error.caused_by.type,items.*.error.caused_by.reason";

/// Why a response can't be trusted. Nothing of the request counts as written then.
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

/// Reads `body`, the response to a request of `n_operations`, into the result of each operation.
///
/// # Errors
/// [`BulkResponseError`] when the response is not JSON, or not one item an operation.
pub fn read_bulk_response(body: &[u8], n_operations: usize) -> Result<Vec<ItemResult>, BulkResponseError> {
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
struct Item(ItemResult);

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ItemVisitor;
        impl<'de> Visitor<'de> for ItemVisitor {
            type Value = Item;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an item with one operation")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Item, A::Error> {
                let Some((action, status)) = map.next_entry::<ItemAction, ItemStatus>()? else {
                    return Err(de::Error::custom("an item names no operation"));
                };
                if map.next_key::<IgnoredAny>()?.is_some() {
                    return Err(de::Error::custom("an item names two operations"));
                }
                Ok(Item(status.result(action)))
            }
        }
        deserializer.deserialize_map(ItemVisitor)
    }
}

#[derive(Deserialize)]
struct ItemStatus {
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

impl ItemStatus {
    fn result(self, action: ItemAction) -> ItemResult {
        let Some(error) = self.error else { return ItemResult::of(action, self.status, "", "") };
        let mut reason = error.reason.unwrap_or_default();
        // The outer reason often says only "failed to parse". The cause names the field and what is wrong with it.
        if let Some(cause) = error.caused_by
            && let Some(cause_reason) = cause.reason
        {
            reason = format!("{reason}: {}: {cause_reason}", cause.kind);
        }
        ItemResult::of(action, self.status, &error.kind, shortened(&reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write_error::{ErrorKind, WriteError};

    #[test]
    fn item_results_keep_the_order_of_the_operations() {
        let body =
            br#"{"errors":true,"items":[{"create":{"status":201}},{"create":{"status":409,"error":{"type":
            "version_conflict_engine_exception","reason":"exists"}}},{"create":{"status":400,"error":{"type":
            "mapper_parsing_exception","reason":"failed to parse field [a]","caused_by":{"type":
            "number_format_exception","reason":"For input string: \"x\""}}}}]}"#;
        let rejected = ItemResult::Rejected(WriteError {
            kind: ErrorKind::cluster("mapper_parsing_exception"),
            status: Some(400),
            reason: "failed to parse field [a]: number_format_exception: For input string: \"x\"".into(),
        });
        assert_eq!(
            read_bulk_response(body, 3).unwrap(),
            [ItemResult::Indexed, ItemResult::Duplicate, rejected]
        );
    }

    #[test]
    fn a_deleted_document_is_not_an_indexed_one() {
        let body =
            br#"{"items":[{"delete":{"status":200}},{"create":{"status":201}},{"index":{"status":201}}]}"#;
        assert_eq!(
            read_bulk_response(body, 3).unwrap(),
            [ItemResult::Deleted, ItemResult::Indexed, ItemResult::Indexed]
        );
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
