//! The two calls to the Lambda API: listing the mappings and invoking a function.

use bytes::Bytes;
use http::{Method, StatusCode};
use serde::Deserialize;

use crate::aws::{Aws, Call, CallError};
use crate::mapping::Configuration;
use crate::percent::encode;

const SERVICE: &str = "lambda";

/// The response to an invocation.
#[derive(Debug)]
pub struct Invocation {
    /// What the function returned; for an error, its description.
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

/// Lists all event source mappings. One that can't be parsed is an error of its own and hides no other.
///
/// # Errors
/// When the API does not respond as documented.
pub async fn list_mappings(aws: &Aws) -> Result<Vec<Result<Configuration, CallError>>, CallError> {
    let unreadable = |source| CallError::Unreadable { service: SERVICE.to_owned(), source };
    let mut mappings = Vec::new();
    let mut marker: Option<String> = None;
    loop {
        let path = match &marker {
            None => "/2015-03-31/event-source-mappings/?MaxItems=100".to_owned(),
            Some(marker) => {
                format!("/2015-03-31/event-source-mappings/?MaxItems=100&Marker={}", encode(marker))
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

/// Invokes a function and waits for its response.
///
/// # Errors
/// When the function was not invoked: throttled, refused, or the API not reached.
pub async fn invoke(aws: &Aws, function_arn: &str, event: Bytes) -> Result<Invocation, CallError> {
    let path = format!("/2015-03-31/functions/{}/invocations", encode(function_arn));
    let headers = [("content-type", "application/json"), ("x-amz-invocation-type", "RequestResponse")];
    let region = function_arn.split(':').nth(3);
    let call =
        Call { service: SERVICE, region, method: Method::POST, path: &path, headers: &headers, body: event };
    let response = aws.call(call).await?;
    Ok(Invocation {
        function_error: response.header("x-amz-function-error").map(str::to_owned),
        status: response.status,
        executed_version: response.header("x-amz-executed-version").unwrap_or("$LATEST").to_owned(),
        request_id: response.header("x-amzn-requestid").unwrap_or_default().to_owned(),
        payload: response.body,
    })
}

fn get<'a>() -> Call<'a> {
    Call { service: SERVICE, region: None, method: Method::GET, path: "/", headers: &[], body: Bytes::new() }
}
