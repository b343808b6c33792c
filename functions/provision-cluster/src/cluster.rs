//! Requests to the cluster: their retries, and what a refusal means.

use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::HeaderMap;
use search_client::auth::Auth;
use search_client::backoff::Backoff;
use search_client::client::{Reply, RequestBody, SearchClient, SendError};
use serde_json::Value;
use thiserror::Error;
use tokio::time::Instant;

/// One attempt gets so long: a template waits for the cluster's manager up to 30 s.
const ATTEMPT: Duration = Duration::from_secs(30);
/// A request gets so long with all its attempts, so that CloudFormation hears of an unreachable cluster in a minute.
const PATIENCE: Duration = Duration::from_secs(40);
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

/// Whether a request may be sent again when its answer is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeat {
    /// A second time does nothing more.
    Always,
    /// It makes something each time.
    IfItNeverArrived,
}

/// The cluster, or its Dashboards, until a deadline.
pub struct Cluster {
    client: SearchClient,
    until: Instant,
    backoff: Backoff,
}

impl Cluster {
    /// Takes a client, to be used until `until`.
    pub fn new(client: SearchClient, until: Instant) -> Self {
        Self { client, until, backoff: Backoff::default() }
    }

    /// The same cluster, asked by another.
    pub fn as_other(&self, auth: Auth) -> Self {
        Self { client: self.client.with_auth(auth), until: self.until, backoff: self.backoff }
    }

    /// The client.
    pub fn client(&self) -> &SearchClient {
        &self.client
    }

    /// Until when it may be used.
    pub fn until(&self) -> Instant {
        self.until
    }

    /// Reads something; `None` where there is no such thing.
    ///
    /// # Errors
    /// [`CallError`]
    pub async fn get(&self, path: &str) -> Result<Option<Value>, CallError> {
        match self.exchange(&Method::GET, path, None, Repeat::Always).await? {
            Reply { status: 404, .. } => Ok(None),
            reply => read(&Method::GET, path, &reply).map(Some),
        }
    }

    /// Searches, or asks something else with a body; `None` where there is no such thing.
    ///
    /// # Errors
    /// [`CallError`]
    pub async fn ask(&self, path: &str, body: &Value) -> Result<Option<Value>, CallError> {
        match self.exchange(&Method::POST, path, Some(body), Repeat::Always).await? {
            Reply { status: 404, .. } => Ok(None),
            reply => read(&Method::POST, path, &reply).map(Some),
        }
    }

    /// Puts something under its name.
    ///
    /// # Errors
    /// [`CallError`]
    pub async fn put(&self, path: &str, body: &Value) -> Result<Value, CallError> {
        self.change(&Method::PUT, path, Some(body), Repeat::Always).await
    }

    /// Asks for a change that is the same when it is made twice.
    ///
    /// # Errors
    /// [`CallError`]
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, CallError> {
        self.change(&Method::POST, path, Some(body), Repeat::Always).await
    }

    /// Makes something whose name the cluster gives.
    ///
    /// # Errors
    /// [`CallError`]
    pub async fn create(&self, path: &str, body: &Value) -> Result<Value, CallError> {
        self.change(&Method::POST, path, Some(body), Repeat::IfItNeverArrived).await
    }

    /// Deletes something; whether it was there.
    ///
    /// # Errors
    /// [`CallError`]
    pub async fn delete(&self, path: &str) -> Result<bool, CallError> {
        self.delete_by(path, None).await.map(|answer| answer.is_some())
    }

    /// Deletes what the body describes, and returns the answer; `None` where there is no such thing.
    ///
    /// # Errors
    /// [`CallError`]
    pub async fn delete_by(&self, path: &str, body: Option<&Value>) -> Result<Option<Value>, CallError> {
        match self.exchange(&Method::DELETE, path, body, Repeat::Always).await? {
            Reply { status: 404, .. } => Ok(None),
            reply => read(&Method::DELETE, path, &reply).map(Some),
        }
    }

    /// Sends a body with headers of its own, and again when the answer is lost.
    ///
    /// # Errors
    /// [`CallError`]
    pub async fn post_with(&self, path: &str, headers: &HeaderMap, body: Bytes) -> Result<Value, CallError> {
        let send =
            |timeout| self.client.request_with(Method::POST, path, headers.clone(), body.clone(), timeout);
        let reply = self.retried(&format!("POST /{path}"), Repeat::Always, send).await?;
        read(&Method::POST, path, &self.judged(&Method::POST, path, reply)?)
    }

    /// Deletes with headers of the caller's own; whether it was there.
    ///
    /// # Errors
    /// [`CallError`]
    pub async fn delete_with(&self, path: &str, headers: &HeaderMap) -> Result<bool, CallError> {
        let send =
            |timeout| self.client.request_with(Method::DELETE, path, headers.clone(), Bytes::new(), timeout);
        let reply = self.retried(&format!("DELETE /{path}"), Repeat::Always, send).await?;
        match self.judged(&Method::DELETE, path, reply)? {
            Reply { status: 404, .. } => Ok(false),
            reply => read(&Method::DELETE, path, &reply).map(|_| true),
        }
    }

    async fn change(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        repeat: Repeat,
    ) -> Result<Value, CallError> {
        let reply = self.exchange(method, path, body, repeat).await?;
        if reply.status == 404 {
            // What is put needs nothing to be there: so the API is missing.
            return Err(CallError::Lacking { said: format!("404: {}", said(&reply)) });
        }
        read(method, path, &reply)
    }

    /// Sends a request until it is answered; an answer that refuses the credential or the API is an error.
    async fn exchange(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        repeat: Repeat,
    ) -> Result<Reply, CallError> {
        let body = body.map(|body| Bytes::from(body.to_string()));
        let send = |timeout| {
            let body = body.clone().map_or(RequestBody::None, RequestBody::Json);
            self.client.request(method.clone(), path, body, timeout)
        };
        let reply = self.retried(&format!("{method} /{path}"), repeat, send).await?;
        self.judged(method, path, reply)
    }

    async fn retried<S>(
        &self,
        request: &str,
        repeat: Repeat,
        send: impl Fn(Duration) -> S,
    ) -> Result<Reply, CallError>
    where
        S: Future<Output = Result<Reply, SendError>>,
    {
        let give_up = self.until.min(Instant::now() + PATIENCE);
        let mut n_failures = 0;
        loop {
            let left = give_up.saturating_duration_since(Instant::now());
            let (reason, may_repeat) = match send(left.min(ATTEMPT)).await {
                Ok(reply) if matches!(reply.status, 429 | 502 | 503 | 504) => {
                    (format!("it answers {}: {}", reply.status, said(&reply)), true)
                }
                Ok(reply) => return Ok(reply),
                Err(error) => {
                    let may_repeat = repeat == Repeat::Always || error.never_arrived();
                    (error.to_string(), may_repeat)
                }
            };
            n_failures += 1;
            let delay = self.backoff.delay(n_failures);
            if !may_repeat || Instant::now() + delay >= give_up {
                return Err(CallError::Unreachable {
                    endpoint: self.client.endpoint().as_str().to_owned(),
                    request: request.to_owned(),
                    reason,
                });
            }
            tokio::time::sleep(delay).await;
        }
    }

    /// Turns answers that refuse the credential or the API as a whole into errors.
    fn judged(&self, method: &Method, path: &str, reply: Reply) -> Result<Reply, CallError> {
        if reply.status < 400 {
            return Ok(reply);
        }
        let said = said(&reply);
        let request = format!("{method} /{path}");
        if is_lacking(reply.status, &said, path) {
            return Err(CallError::Lacking { said });
        }
        match reply.status {
            401 => Err(CallError::Unauthenticated {
                endpoint: self.client.endpoint().as_str().to_owned(),
                request,
                said,
            }),
            403 => Err(CallError::Forbidden { request, said }),
            _ => Ok(reply),
        }
    }
}

/// Reads the JSON of a success.
fn read(method: &Method, path: &str, reply: &Reply) -> Result<Value, CallError> {
    let request = format!("{method} /{path}");
    if !(200..300).contains(&reply.status) {
        return Err(CallError::Refused { request, status: reply.status, said: said(reply) });
    }
    if reply.body.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&reply.body)
        .map_err(|error| CallError::NotUnderstood { request, what: format!("it is not JSON: {error}") })
}

/// Whether an answer means that the cluster has no such API, as a plugin, a module or a licence is missing.
fn is_lacking(status: u16, said: &str, path: &str) -> bool {
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
fn said(reply: &Reply) -> String {
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
    use serde_json::json;

    use super::*;

    fn reply(status: u16, body: &str) -> Reply {
        Reply { status, body: Bytes::copy_from_slice(body.as_bytes()) }
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
