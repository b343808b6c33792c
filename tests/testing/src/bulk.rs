//! Responses to bulk requests: <https://docs.opensearch.org/latest/api-reference/document-apis/bulk/>.

use serde_json::{Value, json};

/// The response with these items of `create` operations, each a status or a whole item.
#[must_use]
pub fn response(items: impl IntoIterator<Item = Value>) -> Value {
    let items = items.into_iter().map(|item| if item.is_number() { json!({"status": item}) } else { item });
    let items: Vec<Value> = items.map(|item| json!({"create": item})).collect();
    let has_errors = items.iter().any(|item| item["create"].get("error").is_some());
    json!({"errors": has_errors, "items": items})
}

/// An item with an error.
#[must_use]
pub fn failed(status: u16, error_type: &str, reason: &str) -> Value {
    json!({"status": status, "error": {"type": error_type, "reason": reason}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_statuses_or_whole() {
        assert_eq!(response([json!(201)]), json!({"errors": false, "items": [{"create": {"status": 201}}]}));
        let error = json!({"status": 400, "error": {"type": "t", "reason": "r"}});
        assert_eq!(response([failed(400, "t", "r")]), json!({"errors": true, "items": [{"create": error}]}));
    }
}
