//! Errors of calls to the cluster: who is at fault, the cluster's message, and whether the cluster has the API at all.

use search_client::client::Response;
use serde_json::Value;
use thiserror::Error;

use crate::text::truncated;

/// Most that is kept of the cluster's message.
const MAX_MESSAGE_BYTES: usize = 500;

/// Why a call to the cluster failed.
#[derive(Debug, Error)]
pub enum CallError {
    /// The cluster did not respond.
    #[error(
        "{endpoint} did not respond to {request}: {reason}; check SEARCH_ENDPOINT or SEARCH_DOMAIN, SEARCH_CA_CERT, and that \
         its network lets this function or machine in"
    )]
    Unreachable {
        /// The cluster's URL.
        endpoint: String,
        /// Method and path.
        request: String,
        /// Why the last attempt failed.
        reason: String,
    },
    /// 401: the credential is wrong.
    #[error(
        "{endpoint} rejects the administrator's credential ({request} returned 401: {message}); check SEARCH_AUTH and \
         the credential that it uses"
    )]
    Unauthenticated {
        /// The cluster's URL.
        endpoint: String,
        /// Method and path.
        request: String,
        /// The cluster's message.
        message: String,
    },
    /// 403: the credential lacks rights.
    #[error(
        "the administrator's credential lacks the rights for {request} (403: {message}); give it those that \
         functions/provision-cluster/README.md lists"
    )]
    Forbidden {
        /// Method and path.
        request: String,
        /// The cluster's message.
        message: String,
    },
    /// The cluster lacks the API: a plugin, module or licence is missing.
    #[error("the cluster has no such API: {message}")]
    MissingApi {
        /// The cluster's message.
        message: String,
    },
    /// The cluster rejects the request.
    #[error("{request} returned {status}: {message}")]
    Refused {
        /// Method and path.
        request: String,
        /// HTTP status.
        status: u16,
        /// The cluster's message.
        message: String,
    },
    /// The response is not what the API documents.
    #[error("the response to {request} is not as documented: {what}")]
    UnexpectedResponse {
        /// Method and path.
        request: String,
        /// What is wrong with it.
        what: String,
    },
}

impl CallError {
    /// Whether further calls would fail too.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Unauthenticated { .. })
    }

    /// The cluster's message, if it rejected the request.
    pub fn refusal(&self) -> Option<&str> {
        match self {
            Self::Refused { message, .. } => Some(message),
            _ => None,
        }
    }
}

/// Whether an error means that the cluster lacks the API: a plugin, a module or a licence is missing.
pub(crate) fn is_missing_api(status: u16, message: &str, path: &str) -> bool {
    let lower = message.to_ascii_lowercase();
    let api = path.split(['/', '?']).next().unwrap_or_default();
    let mentions = |words: &str| lower.contains(words);
    // A cluster without the API takes a path such as `_ilm/policy/x` for the name of an index.
    let taken_for_index = api.starts_with('_')
        && lower.contains(&format!("[{api}]"))
        && (mentions("invalid index name") || mentions("no such index"));
    let unlicensed = mentions("license is non-compliant");
    let turned_off = mentions("security must be explicitly enabled")
        || mentions("security is not enabled")
        || mentions("api keys are not enabled")
        || mentions("is disabled")
        || mentions("not available when running in serverless mode");
    // Elasticsearch without its module of analyzers can't create the index that holds roles and users.
    let incomplete = mentions("unknown filter type");
    // Amazon OpenSearch Service on APIs that it does not offer.
    let not_offered = mentions("your request:") && mentions("not allowed");
    status == 405
        || mentions("no handler found for uri")
        || taken_for_index
        || unlicensed
        || incomplete
        || (status != 401 && turned_off)
        || not_offered
}

/// Returns the message of an error response, truncated.
pub(crate) fn message_of(response: &Response) -> String {
    let text = match serde_json::from_slice::<Value>(&response.body) {
        Ok(body) => reason(&body).unwrap_or_else(|| body.to_string()),
        Err(_) => String::from_utf8_lossy(&response.body).trim().to_owned(),
    };
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.is_empty() { "no text".to_owned() } else { truncated(&text, MAX_MESSAGE_BYTES) }
}

/// Reads the error of either product with its causes, or the message of the security plugin.
fn reason(body: &Value) -> Option<String> {
    let error = body.get("error").unwrap_or(body);
    if let Some(text) = error.as_str() {
        return Some(text.to_owned());
    }
    let mut parts: Vec<String> = Vec::new();
    let mut cause = Some(error);
    while let Some(error) = cause {
        let text = error.get("reason").or_else(|| error.get("message")).or_else(|| error.get("Message"));
        if let Some(text) = text.and_then(Value::as_str)
            && !parts.iter().any(|part| part.contains(text))
        {
            parts.push(text.to_owned());
        }
        cause = error.get("caused_by");
    }
    if parts.is_empty() {
        return None;
    }
    let invalid = body.get("invalid_keys").map(|keys| format!(" {keys}")).unwrap_or_default();
    Some(format!("{}{invalid}", parts.join(": ")))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;

    use super::*;

    fn response(status: u16, body: &str) -> Response {
        Response { status, body: Bytes::copy_from_slice(body.as_bytes()) }
    }

    #[test]
    fn the_message_of_an_error_names_its_causes() {
        let body = json!({"error": {"type": "illegal_argument_exception", "reason": "outer", "root_cause": [],
            "caused_by": {"type": "x", "reason": "inner", "caused_by": {"reason": "inner"}}}, "status": 400});
        assert_eq!(message_of(&response(400, &body.to_string())), "outer: inner");
        assert_eq!(message_of(&response(400, r#"{"error":"no handler found"}"#)), "no handler found");
        assert_eq!(
            message_of(&response(
                400,
                r#"{"status":"error","reason":"Invalid configuration","invalid_keys":{"keys":"a"}}"#
            )),
            r#"Invalid configuration {"keys":"a"}"#
        );
        assert_eq!(
            message_of(&response(403, r#"{"status":"FORBIDDEN","message":"No permission"}"#)),
            "No permission"
        );
        assert_eq!(message_of(&response(401, "Unauthorized\n")), "Unauthorized");
        assert_eq!(message_of(&response(500, "")), "no text");
        assert!(message_of(&response(500, &"é".repeat(1_000))).len() <= MAX_MESSAGE_BYTES);
    }

    #[test]
    fn a_missing_api_is_distinguished_from_a_rejected_request() {
        for (status, text, path) in [
            (
                400,
                "no handler found for uri [/_plugins/_ism/policies/a] and method [GET]",
                "_plugins/_ism/policies/a",
            ),
            (
                405,
                "Incorrect HTTP method for uri [/_plugins/_alerting/monitors]",
                "_plugins/_alerting/monitors",
            ),
            (400, "Invalid index name [_ilm], must not start with '_'.", "_ilm/policy/a"),
            (404, "no such index [_ilm]", "_ilm/policy/a?x"),
            (403, "current license is non-compliant for [watcher]", "_watcher/watch/a"),
            (500, "Security must be explicitly enabled when using a [basic] license.", "_security/role/a"),
            (
                410,
                "Request for uri [/_ilm] exists but is not available when running in serverless mode",
                "_ilm/policy/a",
            ),
        ] {
            assert!(is_missing_api(status, text, path), "{text}");
        }
        for (status, text, path) in [
            (403, "no permissions for [cluster:admin/ism] and User [name=a]", "_plugins/_ism/policies/a"),
            (401, "Unauthorized", "_security/role/a"),
            (400, "unknown setting [index.codex]", "_component_template/a"),
            (404, "no such index [microservices-2026.11.24]", "microservices-2026.11.24/_settings"),
        ] {
            assert!(!is_missing_api(status, text, path), "{text}");
        }
    }
}
