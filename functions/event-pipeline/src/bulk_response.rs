//! Reads the response to a bulk request, item by item, in the request's order.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use thiserror::Error;

use crate::append::append_json_string;
use crate::item_result::{ItemAction, ItemResult};
use crate::json::Scanner;
use crate::write_error::{ErrorKind, WriteError, shortened};

/// Query of a bulk request. It asks for only the parts of the response that are needed, with their positions kept. Errors are
/// asked for whole, because a filter for their members drops an error of another form.
pub const FILTER_PATH: &str = "filter_path=errors,items.*.status,items.*.error,items.*.failure_store";

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
    /// The response says that some operations failed, but no item has failed.
    #[error("bulk response has `errors: true`, but no item with an error")]
    NoFailedItem,
}

/// Reads `body`, the response to a request of `operations`, into the result of each operation.
///
/// An item that can't be read fails alone. It counts as not written, and is sent again.
///
/// # Errors
/// [`BulkResponseError`] when the response is not JSON, has not one item an operation, or contradicts itself.
pub fn read_bulk_response(
    body: &[u8],
    operations: impl ExactSizeIterator<Item = ItemAction>,
) -> Result<Vec<ItemResult>, BulkResponseError> {
    let Object(response): Object<Response<'_>> = serde_json::from_slice(body)?;
    if response.items.len() != operations.len() {
        return Err(BulkResponseError::Count { items: response.items.len(), operations: operations.len() });
    }
    let results: Vec<_> =
        response.items.iter().zip(operations).map(|(item, sent)| read_item(item.get(), sent)).collect();
    let succeeded =
        |result| matches!(result, &ItemResult::Indexed | &ItemResult::Deleted | &ItemResult::NotFound);
    if response.errors == Some(true) && results.iter().all(succeeded) {
        return Err(BulkResponseError::NoFailedItem);
    }
    Ok(results)
}

#[derive(Deserialize)]
struct Response<'a> {
    errors: Option<bool>,
    #[serde(borrow)]
    items: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct ItemStatus<'a> {
    status: u16,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    failure_store: Option<String>,
}

/// Values of `failure_store` of a document that is not in the failure store.
const NOT_IN_FAILURE_STORE: [&str; 2] = ["not_applicable_or_unknown", "not_enabled"];

fn read_item(text: &str, sent: ItemAction) -> ItemResult {
    let (action, item) = match serde_json::from_str(text) {
        Ok(Item(action, item)) => (action, item),
        Err(error) => return bad_item(None, &format!("an item can't be read: {error}")),
    };
    if action != sent {
        return bad_item(Some(item.status), "an item is of another operation than was sent");
    }
    match (item.error.and_then(ErrorText::read), item.failure_store) {
        (Some(error), _) if matches!(item.status, 200..300) => bad_item(
            Some(item.status),
            &format!("an item has a status of success and an error: {}", error.reason),
        ),
        (Some(error), _) => ItemResult::of(action, item.status, &error.kind, shortened(&error.reason)),
        // https://www.elastic.co/docs/manage-data/data-store/data-streams/failure-store: the index has not got it.
        (None, Some(store))
            if matches!(item.status, 200..300) && !NOT_IN_FAILURE_STORE.contains(&store.as_str()) =>
        {
            ItemResult::Rejected(WriteError {
                kind: ErrorKind::cluster("failure_store"),
                status: Some(item.status),
                reason: shortened(&format!(
                    "the document is in the failure store, not in its index (`failure_store: {store}`)"
                ))
                .to_owned(),
            })
        }
        (None, _) => ItemResult::of(action, item.status, "", ""),
    }
}

fn bad_item(status: Option<u16>, reason: &str) -> ItemResult {
    ItemResult::Failed(WriteError {
        kind: ErrorKind::BadResponse,
        status,
        reason: shortened(reason).to_owned(),
    })
}

/// The type and the reason of an error in whatever form it comes. Both are empty where the error does not have them. Only the
/// beginning of a reason is kept: it can quote the whole document.
#[derive(Debug, Default)]
struct ErrorText {
    kind: String,
    reason: String,
}

impl ErrorText {
    /// Reads the `error` of an item; `None` where it has none.
    fn read(error: &RawValue) -> Option<Self> {
        let text = with_short_strings(error.get().as_bytes());
        match serde_json::from_slice(&text) {
            Ok(error) => Self::of(Some(&error)),
            Err(error) => Some(Self { reason: error.to_string(), ..Self::default() }),
        }
    }

    fn of(error: Option<&Value>) -> Option<Self> {
        match error? {
            Value::Null => None,
            Value::String(text) => Some(Self { reason: shortened(text).to_owned(), ..Self::default() }),
            error @ Value::Object(members) => {
                let text = |name| members.get(name).and_then(Value::as_str);
                let kind = text("type").unwrap_or_default().to_owned();
                if let Some(reason) = text("reason") {
                    // The outer reason often says only "failed to parse". The cause names the field and what is wrong
                    // with it.
                    let cause = members.get("caused_by");
                    let cause_text = |name| cause?.get(name)?.as_str();
                    let reason = match cause_text("reason") {
                        Some(cause) => {
                            let cause_type = cause_text("type").unwrap_or_default();
                            format!("{}: {}: {}", shortened(reason), shortened(cause_type), shortened(cause))
                        }
                        None => shortened(reason).to_owned(),
                    };
                    return Some(Self { kind, reason });
                }
                let first_cause = || members.get("root_cause")?.as_array()?.first();
                let inner = members.get("error").or_else(|| members.get("caused_by")).or_else(first_cause);
                let Some(inner) = Self::of(inner) else {
                    let reason = if kind.is_empty() { error.to_string() } else { String::new() };
                    return Some(Self { kind, reason });
                };
                Some(Self { kind: if kind.is_empty() { inner.kind } else { kind }, reason: inner.reason })
            }
            other => Some(Self { reason: other.to_string(), ..Self::default() }),
        }
    }
}

/// Bytes of a string in a response that are read, escapes included.
const MAX_STRING: usize = 4096;

/// The JSON text `json`, which was validated, with only the beginning of long strings, and with a sign in the place of
/// unpaired surrogates: an error can quote the whole document, and what of it is wrong.
fn with_short_strings(json: &[u8]) -> Vec<u8> {
    let mut scanner = Scanner::new(json);
    let mut text = Vec::new();
    while let Ok(byte) = scanner.peek() {
        match byte {
            b'"' => {
                let Ok(string) = scanner.string() else { break };
                let beginning = string.beginning(MAX_STRING).unescape();
                append_json_string(&mut text, &String::from_utf8_lossy(&beginning));
            }
            b'{' | b'}' | b'[' | b']' | b':' | b',' => {
                scanner.seek(scanner.position() + 1);
                text.push(byte);
            }
            _ => {
                let Ok(range) = scanner.value() else { break };
                text.extend_from_slice(scanner.slice(range));
            }
        }
    }
    text
}

/// `{"create": {"status": 201}}`
struct Item<'a>(ItemAction, ItemStatus<'a>);

impl<'de> Deserialize<'de> for Item<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ItemVisitor;
        impl<'de> Visitor<'de> for ItemVisitor {
            type Value = Item<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an item with one operation")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Item<'de>, A::Error> {
                let Some((action, Object(status))) = map.next_entry()? else {
                    return Err(de::Error::custom("it names no operation"));
                };
                if map.next_key::<IgnoredAny>()?.is_some() {
                    return Err(de::Error::custom("it names two operations"));
                }
                Ok(Item(action, status))
            }
        }
        deserializer.deserialize_map(ItemVisitor)
    }
}

/// A struct that is written as an object. Serde alone takes an array of its members' values too.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item_result::Remedy;

    fn read(items: &str) -> Vec<ItemResult> {
        let body = format!(r#"{{"errors":true,"items":[{items}]}}"#);
        let n_items = serde_json::from_str::<Vec<&RawValue>>(&format!("[{items}]")).unwrap().len();
        read_bulk_response(body.as_bytes(), creates(n_items)).unwrap()
    }

    fn creates(n: usize) -> impl ExactSizeIterator<Item = ItemAction> {
        std::iter::repeat_n(ItemAction::Create, n)
    }

    fn rejected(kind: &str, reason: &str) -> ItemResult {
        ItemResult::Rejected(WriteError {
            kind: ErrorKind::cluster(kind),
            status: Some(400),
            reason: reason.into(),
        })
    }

    #[test]
    fn item_results_keep_the_order_of_the_operations() {
        let items = r#"{"create":{"status":201}},{"create":{"status":409,"error":{"type":
            "version_conflict_engine_exception","reason":"exists"}}},{"create":{"status":400,"error":{"type":
            "mapper_parsing_exception","reason":"failed to parse field [a]","caused_by":{"type":
            "number_format_exception","reason":"For input string: \"x\""}}}}"#;
        let reason = "failed to parse field [a]: number_format_exception: For input string: \"x\"";
        assert_eq!(
            read(items),
            [ItemResult::Indexed, ItemResult::Duplicate, rejected("mapper_parsing_exception", reason)]
        );
    }

    #[test]
    fn a_deleted_document_is_not_an_indexed_one() {
        let body = br#"{"errors":false,"items":[{"delete":{"status":200}},{"create":{"status":201}}]}"#;
        let sent = [ItemAction::Delete, ItemAction::Create];
        assert_eq!(
            read_bulk_response(body, sent.into_iter()).unwrap(),
            [ItemResult::Deleted, ItemResult::Indexed]
        );
    }

    #[test]
    fn an_item_that_cannot_be_read_fails_alone_and_is_sent_again() {
        for item in [
            r#"{"create":{"status":201,"error":{"type":"t","reason":"r"}}}"#,
            r#"{"create":{"status":201,"error":"text"}}"#,
            r#"{"create":{"status":200,"error":{}}}"#,
            r#"{"index":{"status":201}}"#,
            r#"{"delete":{"status":200}}"#,
            r#"{"Create":{"status":201}}"#,
            r#"{"create":[201]}"#,
            r#"{"create":[201,null,null]}"#,
            r#"{"create":{"status":"201"}}"#,
            r#"{"create":{"status":201.0}}"#,
            r#"{"create":{"status":70000}}"#,
            r#"{"create":{"status":201,"status":201}}"#,
            r#"{"create":{"status":201},"delete":{"status":201}}"#,
            r#"{"create":{"status":201,"failure_store":1}}"#,
            r#"{"create":{}}"#,
            r#"{"create":null}"#,
            r#"{}"#,
            "null",
            r#"["create"]"#,
            "201",
        ] {
            let results =
                read(&format!(r#"{{"create":{{"status":201}}}},{item},{{"create":{{"status":409}}}}"#));
            let [ItemResult::Indexed, bad, ItemResult::Duplicate] = &results[..] else {
                panic!("{item}: {results:?}");
            };
            assert!(
                matches!(bad, ItemResult::Failed(WriteError { kind: ErrorKind::BadResponse, .. })),
                "{item}: {bad:?}"
            );
            assert_eq!(bad.remedy(), Some(Remedy::Retry), "{item}");
        }
    }

    #[test]
    fn errors_are_read_in_every_form() {
        for (error, kind, reason) in [
            (r#""text""#, "", "text"),
            (r#"{"reason":"r"}"#, "", "r"),
            (r#"{"type":"t"}"#, "t", ""),
            (r#"{"type":"t","reason":null,"caused_by":{"type":"c","reason":"r"}}"#, "t", "r"),
            (r#"{"type":7,"reason":"r"}"#, "", "r"),
            (r#"{"error":{"type":"t","reason":"r"},"status":400}"#, "t", "r"),
            (r#"{"root_cause":[{"type":"t","reason":"r"}]}"#, "t", "r"),
            (r#"{"type":"t","reason":"r","caused_by":"why"}"#, "t", "r"),
            (
                r#"{"type":"t","reason":"r","caused_by":{"type":"c","reason":"d","caused_by":{"type":"e","reason":"f"}}}"#,
                "t",
                "r: c: d",
            ),
            (r#"{"message":"m"}"#, "", r#"{"message":"m"}"#),
            ("[1]", "", "[1]"),
            ("true", "", "true"),
            ("null", "", ""),
            (r#"{"type":"t","reason":"\ud800 quoted","\ud800":1}"#, "t", "\u{fffd}\u{fffd}\u{fffd} quoted"),
            (r#"{"type" : "t" , "reason":"r", "n":[-1.5e3, {"a":null}]}"#, "t", "r"),
        ] {
            let results = read(&format!(r#"{{"create":{{"status":400,"error":{error}}}}}"#));
            assert_eq!(results, [rejected(kind, reason)], "{error}");
        }
    }

    #[test]
    fn the_beginning_of_an_immense_reason_is_kept() {
        for filler in ["é", r"\n", r"\u00e9", r"\ud83d\ude00"] {
            let reason = format!("failed to parse: {}", filler.repeat(100_000));
            let results =
                read(&format!(r#"{{"create":{{"status":400,"error":{{"type":"t","reason":"{reason}"}}}}}}"#));
            let whole: String = serde_json::from_str(&format!("\"{reason}\"")).unwrap();
            assert_eq!(results, [rejected("t", shortened(&whole))], "{filler}");
        }
    }

    #[test]
    fn a_document_in_the_failure_store_is_not_indexed() {
        let results = read(
            r#"{"create":{"status":201,"failure_store":"used"}},{"create":{"status":201,"failure_store":"not_enabled"}}"#,
        );
        let ItemResult::Rejected(error) = &results[0] else { panic!("{results:?}") };
        assert_eq!((error.kind.as_str(), error.status), ("failure_store", Some(201)));
        assert_eq!(results[1], ItemResult::Indexed);
    }

    #[test]
    fn a_response_that_contradicts_itself_is_refused() {
        for items in ["", r#"{"create":{"status":201}}"#] {
            let body = format!(r#"{{"errors":true,"items":[{items}]}}"#);
            let n_items = usize::from(!items.is_empty());
            let result = read_bulk_response(body.as_bytes(), creates(n_items));
            assert!(matches!(result, Err(BulkResponseError::NoFailedItem)), "{body}");
        }
    }

    #[test]
    fn an_item_counts_as_failed_whatever_the_response_says_as_a_whole() {
        let body = br#"{"errors":false,"items":[{"create":{"status":400,"error":"text"}}]}"#;
        assert_eq!(read_bulk_response(body, creates(1)).unwrap(), [rejected("", "text")]);
    }

    #[test]
    fn a_response_of_the_wrong_count_is_refused() {
        let body = br#"{"errors":false,"items":[{"create":{"status":201}}]}"#;
        assert!(matches!(
            read_bulk_response(body, creates(2)),
            Err(BulkResponseError::Count { items: 1, operations: 2 })
        ));
    }

    #[test]
    fn a_response_of_another_shape_is_refused() {
        for body in [
            "",
            "<html>",
            "{}",
            r#"{"items":{}}"#,
            r#"{"items":[{"create"#,
            r#"{"items":[]}{}"#,
            r#"{"items":[],"items":[]}"#,
            r#"{"errors":"true","items":[{"create":{"status":201}}]}"#,
            r#"[false,[{"create":{"status":201}}]]"#,
        ] {
            assert!(
                matches!(read_bulk_response(body.as_bytes(), creates(1)), Err(BulkResponseError::Json(_))),
                "{body}"
            );
        }
    }
}
