//! A function's own `bootstrap`, as a process with the Lambda Runtime API:
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>.

use std::collections::VecDeque;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::Response;
use serde_json::Value;
use thiserror::Error;
use tokio::process::Command;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::http_server::{HttpServer, ReceivedRequest, json_response, silence};

/// Region of the function.
pub const REGION: &str = "eu-central-1";
/// Access key of the function's role.
const ACCESS_KEY_ID: &str = "AKIDOFTHEROLE";
/// How long an invocation may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Why a function's process did not respond to each event.
#[derive(Debug, Error)]
pub enum ProcessError {
    /// The program can't be started, or there is no free port.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// It ended by itself.
    #[error("the function's process ended by itself: {0}")]
    Ended(ExitStatus),
    /// It is not done.
    #[error("the function did not respond within {TIMEOUT:?}")]
    Timeout,
}

/// Runs the program with these variables and no others, besides those that Lambda sets, and invokes it with each event, one
/// after the other. Returns what it responded: a response, or the error with its `errorType`.
///
/// # Errors
/// [`ProcessError`]
pub async fn invoke_all<'v>(
    program: &str,
    variables: impl IntoIterator<Item = (&'v str, &'v str)>,
    events: impl IntoIterator<Item = Value>,
) -> Result<Vec<Value>, ProcessError> {
    let events: VecDeque<Value> = events.into_iter().collect();
    let n_events = events.len();
    let (respond, mut responses) = unbounded_channel();
    let runtime_api = RuntimeApi { events: Mutex::new(events), respond };
    let runtime_api = Arc::new(runtime_api);
    let server = HttpServer::start(move |request| {
        let runtime_api = Arc::clone(&runtime_api);
        async move { runtime_api.serve(&request).await }
    });
    let server = server.await?;
    let mut process = Command::new(program)
        .env_clear()
        .envs([
            ("AWS_LAMBDA_RUNTIME_API", server.address().to_string().as_str()),
            ("AWS_LAMBDA_FUNCTION_NAME", "function"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_LOG_GROUP_NAME", "logs"),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "stream"),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_SESSION_TOKEN", "token"),
            ("AWS_REGION", REGION),
        ])
        .envs(variables)
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let mut received = Vec::new();
    while received.len() < n_events {
        tokio::select! {
            Some(response) = responses.recv() => received.push(response),
            status = process.wait() => return Err(ProcessError::Ended(status?)),
            () = tokio::time::sleep(TIMEOUT) => return Err(ProcessError::Timeout),
        }
    }
    Ok(received)
}

struct RuntimeApi {
    events: Mutex<VecDeque<Value>>,
    respond: UnboundedSender<Value>,
}

impl RuntimeApi {
    async fn serve(&self, request: &ReceivedRequest) -> Response<Bytes> {
        if !request.path().ends_with("/invocation/next") {
            // The response or the error of an invocation, or of the start.
            let _ = self.respond.send(request.json());
            return json_response(202, &Value::Null);
        }
        let event = self.events.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(event) = event else { return silence().await };
        let deadline = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + TIMEOUT;
        let mut response = json_response(200, &event);
        for (name, value) in [
            ("lambda-runtime-aws-request-id", "00000000-0000-0000-0000-000000000000".to_owned()),
            ("lambda-runtime-deadline-ms", deadline.as_millis().to_string()),
            (
                "lambda-runtime-invoked-function-arn",
                format!("arn:aws:lambda:{REGION}:123456789012:function:function"),
            ),
        ] {
            response.headers_mut().insert(name, value.parse().expect("an id or a number is a header"));
        }
        response
    }
}
