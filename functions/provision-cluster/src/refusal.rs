//! What an answer means that is no success: who is at fault, what the cluster said, and whether it lacks the API as a whole.

use search_client::client::Response;
use serde_json::Value;
use thiserror::Error;

/// Most that is told of what the cluster said.
const MAX_SAID: usize = 500;

/// Says why the cluster did not do as it was asked.
#[derive(Debug, Error)]
pub enum CallError {
    /// There is no answer.
    #[error(
        "{endpoint} did not answer {request}: {reason}; check SEARCH_ENDPOINT or SEARCH_DOMAIN, SEARCH_CA_CERT, and that \
         its network lets this function or machine in"
    )]
    Unreachable {
        /// The cluster's URL.
        endpoint: String,
        /// Method and path.
        request: String,
        /// What happened last.
        reason: String,
    },
    /// 401.
    #[error(
        "{endpoint} refuses the administrator's credential ({request} was answered 401: {said}); check SEARCH_AUTH and \
         what it logs in with"
    )]
    Unauthenticated {
        /// The cluster's URL.
        endpoint: String,
        /// Method and path.
        request: String,
        /// What the cluster said.
        said: String,
    },
    /// 403.
    #[error(
        "the administrator's credential may not do {request} (403: {said}); give it the rights that \
         functions/provision-cluster/README.md lists"
    )]
    Forbidden {
        /// Method and path.
        request: String,
        /// What the cluster said.
        said: String,
    },
    /// The cluster has no such API: a plugin, module or licence is missing.
    #[error("the cluster has no such API: {said}")]
    Lacking {
        /// What the cluster said.
        said: String,
    },
    /// It refuses what was sent.
    #[error("{request} was answered {status}: {said}")]
    Refused {
        /// Method and path.
        request: String,
        /// HTTP status.
        status: u16,
        /// What the cluster said.
        said: String,
    },
    /// An answer is not what the API documents.
    #[error("the answer to {request} is not understood: {what}")]
    NotUnderstood {
        /// Method and path.
        request: String,
        /// What is wrong with it.
        what: String,
    },
}

impl CallError {
    /// Whether there is no use in going on.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Unauthenticated { .. })
    }

    /// What the cluster said, where it refused what was sent.
    pub fn refusal(&self) -> Option<&str> {
        match self {
            Self::Refused { said, .. } => Some(said),
            _ => None,
        }
    }
}

/// Whether an answer means that the cluster has no such API, as a plugin, a module or a licence is missing.
pub(crate) fn is_lacking(status: u16, said: &str, path: &str) -> bool {
    let lower = said.to_ascii_lowercase();
    let api = path.split(['/', '?']).next().unwrap_or_default();
    let speaks_of = |word: &str| lower.contains(word);
    // Without a handler of its own, a path such as `_ilm/policy/x` is taken for an index of that name.
    let taken_for_index = api.starts_with('_')
        && lower.contains(&format!("[{api}]"))
        && (speaks_of("invalid index name") || speaks_of("no such index"));
    let unlicensed = speaks_of("license is non-compliant");
    let turned_off = speaks_of("security must be explicitly enabled")
        || speaks_of("security is not enabled")
        || speaks_of("api keys are not enabled")
        || speaks_of("is disabled")
        || speaks_of("not available when running in serverless mode");
    // Without its module of analyzers an Elasticsearch can't make the index that it keeps roles and users in.
    let incomplete = speaks_of("unknown filter type");
    // Amazon OpenSearch Service on APIs that it keeps from its users.
    let kept_away = speaks_of("your request:") && speaks_of("not allowed");
    status == 405
        || speaks_of("no handler found for uri")
        || taken_for_index
        || unlicensed
        || incomplete
        || (status != 401 && turned_off)
        || kept_away
}

/// What an answer says went wrong, short.
pub(crate) fn said(reply: &Response) -> String {
    let text = match serde_json::from_slice::<Value>(&reply.body) {
        Ok(body) => reason(&body).unwrap_or_else(|| body.to_string()),
        Err(_) => String::from_utf8_lossy(&reply.body).trim().to_owned(),
    };
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.is_empty() { "no text".to_owned() } else { shortened(&text, MAX_SAID) }
}

/// Cuts a text to so many bytes, at most, with a mark that it was.
pub fn shortened(text: &str, max_bytes: usize) -> String {
    if text.len() <= max_bytes {
        return text.to_owned();
    }
    let mark = "…";
    let mut end = max_bytes.saturating_sub(mark.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{mark}", text.get(..end).unwrap_or_default())
}

/// The error of either product, its causes, and the messages of the security plugin.
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

    fn reply(status: u16, body: &str) -> Response {
        Response { status, body: Bytes::copy_from_slice(body.as_bytes()) }
    }

    #[test]
    fn what_the_cluster_said_is_told_with_its_causes() {
        let body = json!({"error": {"type": "illegal_argument_exception", "reason": "outer", "root_cause": [],
            "caused_by": {"type": "x", "reason": "inner", "caused_by": {"reason": "inner"}}}, "status": 400});
        assert_eq!(said(&reply(400, &body.to_string())), "outer: inner");
        assert_eq!(said(&reply(400, r#"{"error":"no handler found"}"#)), "no handler found");
        assert_eq!(
            said(&reply(
                400,
                r#"{"status":"error","reason":"Invalid configuration","invalid_keys":{"keys":"a"}}"#
            )),
            r#"Invalid configuration {"keys":"a"}"#
        );
        assert_eq!(said(&reply(403, r#"{"status":"FORBIDDEN","message":"No permission"}"#)), "No permission");
        assert_eq!(said(&reply(401, "Unauthorized\n")), "Unauthorized");
        assert_eq!(said(&reply(500, "")), "no text");
        assert!(said(&reply(500, &"é".repeat(1_000))).len() <= MAX_SAID);
    }

    #[test]
    fn an_api_that_is_not_there_is_told_from_a_refusal() {
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
            assert!(is_lacking(status, text, path), "{text}");
        }
        for (status, text, path) in [
            (403, "no permissions for [cluster:admin/ism] and User [name=a]", "_plugins/_ism/policies/a"),
            (401, "Unauthorized", "_security/role/a"),
            (400, "unknown setting [index.codex]", "_component_template/a"),
            (404, "no such index [microservices-2026.11.24]", "microservices-2026.11.24/_settings"),
        ] {
            assert!(!is_lacking(status, text, path), "{text}");
        }
    }

    #[test]
    fn a_shortened_text_is_cut_between_characters() {
        assert_eq!(shortened("abc", 3), "abc");
        assert_eq!(shortened("ééé", 5), "é…");
    }
}
