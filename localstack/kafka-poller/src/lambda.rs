//! The two calls to the Lambda API: which mappings there are, and an invocation.

use bytes::Bytes;
use http::{Method, StatusCode};
use serde::Deserialize;

use crate::aws::{Aws, Call, CallError};
use crate::mapping::Configuration;

const SERVICE: &str = "lambda";

/// How an invocation was answered.
#[derive(Debug)]
pub struct Invocation {
    /// What the function gave back; for an error, its description.
    pub payload: Bytes,
    /// `Handled` or `Unhandled` if the function failed.
    pub function_error: Option<String>,
    /// The HTTP status.
    pub status: StatusCode,
    /// The version that ran.
    pub executed_version: String,
    /// The invocation's id.
    pub request_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    event_source_mappings: Vec<serde_json::Value>,
    next_marker: Option<String>,
}

/// Gives all event source mappings. One that can't be read is given as the error with its text, and hides no other.
///
/// # Errors
/// When the API does not answer as it should.
pub async fn list_mappings(aws: &Aws) -> Result<Vec<Result<Configuration, CallError>>, CallError> {
    let unreadable = |source| CallError::Unreadable { service: SERVICE.to_owned(), source };
    let mut mappings = Vec::new();
    let mut marker: Option<String> = None;
    loop {
        let path = match &marker {
            None => "/2015-03-31/event-source-mappings/?MaxItems=100".to_owned(),
            Some(marker) => {
                format!("/2015-03-31/event-source-mappings/?MaxItems=100&Marker={}", escape(marker))
            }
        };
        let call = Call { path: &path, ..get() };
        let page: Page = serde_json::from_slice(&aws.call(call).await?.body).map_err(unreadable)?;
        mappings.extend(
            page.event_source_mappings.into_iter().map(|it| serde_json::from_value(it).map_err(unreadable)),
        );
        match page.next_marker {
            Some(next) if !next.is_empty() && marker.as_ref() != Some(&next) => marker = Some(next),
            _ => return Ok(mappings),
        }
    }
}

/// Invokes a function and waits for its answer.
///
/// # Errors
/// When the function was not invoked: throttled, refused, or the API not reached.
pub async fn invoke(aws: &Aws, function_arn: &str, event: Bytes) -> Result<Invocation, CallError> {
    let path = format!("/2015-03-31/functions/{}/invocations", escape(function_arn));
    let headers = [("content-type", "application/json"), ("x-amz-invocation-type", "RequestResponse")];
    let region = function_arn.split(':').nth(3);
    let call =
        Call { service: SERVICE, region, method: Method::POST, path: &path, headers: &headers, body: event };
    let answer = aws.call(call).await?;
    Ok(Invocation {
        function_error: answer.header("x-amz-function-error").map(str::to_owned),
        status: answer.status,
        executed_version: answer.header("x-amz-executed-version").unwrap_or("$LATEST").to_owned(),
        request_id: answer.header("x-amzn-requestid").unwrap_or_default().to_owned(),
        payload: answer.body,
    })
}

fn get<'a>() -> Call<'a> {
    Call { service: SERVICE, region: None, method: Method::GET, path: "/", headers: &[], body: Bytes::new() }
}

/// Escapes all but what may stand in a path segment or a query value.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                escaped.push(char::from(byte))
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}
