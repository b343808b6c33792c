//! Turns responses, and requests without a response, into write errors.

use event_pipeline::write_error::{ErrorKind, WriteError, shortened};
use search_client::client::{Response, SendError};

/// The error of a whole request, with the beginning of the response's text as the reason.
pub(crate) fn response_error(kind: ErrorKind, response: &Response) -> WriteError {
    let text = String::from_utf8_lossy(&response.body);
    WriteError { kind, status: Some(response.status), reason: shortened(&text).to_owned() }
}

/// The error of a request that got no response.
pub(crate) fn send_error(error: &SendError) -> WriteError {
    let kind = match error {
        SendError::Connection(_) => ErrorKind::Connection,
        SendError::Timeout(_) => ErrorKind::Timeout,
        SendError::Signing(_) => ErrorKind::Signing,
    };
    WriteError { kind, status: None, reason: error.to_string() }
}
