//! Why a record was not written.

use std::fmt;

/// Why a record was not written: the document is at fault, or the cluster, the network or the set-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteError {
    /// Type of the error.
    pub kind: ErrorKind,
    /// HTTP status of the item or the response; `None` where nothing was sent or no response came.
    pub status: Option<u16>,
    /// The cluster's reason, or ours.
    pub reason: String,
}

/// Type of an error: the cluster's own, or one of ours. Its text is stored in dead letters and logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErrorKind {
    /// A type that the cluster names, such as `mapper_parsing_exception`.
    Cluster(Box<str>),
    /// No response came in time.
    Timeout,
    /// There was no connection, or it broke.
    Connection,
    /// The request could not be signed.
    Signing,
    /// The response was cut short, was not JSON, or had the wrong items.
    BadResponse,
    /// The cluster is overloaded or unreachable behind a gateway: 429, 502, 503, 504.
    Unavailable,
    /// The cluster refused the credentials: 401, 403.
    Unauthorized,
    /// The cluster refused the whole request with another status.
    Refused,
    /// The cluster refused a request for its size: 413.
    RequestTooLarge,
    /// The cluster refused a single document for its size.
    DocumentTooLarge,
    /// The invocation's time ran out before the request was sent.
    Deadline,
    /// The task that sent the request ended early, without a result.
    NoResult,
    /// The record is not a Kafka record, or its value is not base64.
    UnreadableRecord,
    /// The schema of the record is unknown or can't be used, or the record does not fit it.
    SchemaFailure,
    /// The record can't be redacted or transformed as its topic's rules say.
    TransformFailure,
    /// The record waited for those of its batch that have failed.
    HeldBack,
    /// The schema registry could not be asked.
    SchemaRegistry,
    /// The cluster refused the dead letter too.
    DeadLetterRefused,
    /// A page of dead letters gave no batch, or one of another size.
    Page,
}

impl ErrorKind {
    /// Takes the type of an error as the cluster names it.
    pub fn cluster(name: &str) -> Self {
        Self::Cluster(name.into())
    }

    /// The type as dead letters and logs hold it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Cluster(name) => name,
            Self::Timeout => "timeout",
            Self::Connection => "connection",
            Self::Signing => "signing",
            Self::BadResponse => "bad_response",
            Self::Unavailable => "unavailable",
            Self::Unauthorized => "unauthorized",
            Self::Refused => "refused",
            Self::RequestTooLarge => "request_too_large",
            Self::DocumentTooLarge => "document_too_large",
            Self::Deadline => "deadline",
            Self::NoResult => "no_result",
            Self::UnreadableRecord => "unreadable_record",
            Self::SchemaFailure => "schema_failure",
            Self::TransformFailure => "transform_failure",
            Self::HeldBack => "held_back",
            Self::SchemaRegistry => "schema_registry",
            Self::DeadLetterRefused => "dead_letter_refused",
            Self::Page => "page",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl WriteError {
    /// Whether the document can be what makes the cluster fail: a server error of one item, other than those of a busy or
    /// unreachable cluster. OpenSearch reports a key of 500 dotted parts so.
    pub fn may_be_the_documents(&self) -> bool {
        matches!((&self.kind, self.status), (ErrorKind::Cluster(_), Some(500 | 501 | 505..=599)))
            && !self.is_slow_mapping()
    }

    /// Whether the cluster's manager was too slow to add the document's new fields to the mapping: a 500, but of a busy cluster.
    /// <https://github.com/opensearch-project/OpenSearch/blob/3.6.0/server/src/main/java/org/opensearch/action/bulk/TransportShardBulkAction.java>
    pub fn is_slow_mapping(&self) -> bool {
        matches!(&self.kind, ErrorKind::Cluster(name) if **name == *"mapper_exception")
            && self.reason.starts_with("timed out while waiting for a dynamic mapping update")
    }

    /// The HTTP status as a number, 0 where there is none: the form that dead letters and logs use.
    pub fn status_number(&self) -> u16 {
        self.status.unwrap_or_default()
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.kind, self.status_number(), self.reason)
    }
}

impl std::error::Error for WriteError {}

/// Longest reason that is kept, in bytes. Some of the cluster's reasons quote the whole document, which must not get
/// into a log.
const MAX_REASON: usize = 500;

/// The beginning of a reason that is too long.
pub fn shortened(reason: &str) -> &str {
    let mut end = reason.len().min(MAX_REASON);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason.get(..end).unwrap_or(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let long = "é".repeat(400);
        assert_eq!((shortened("short"), shortened(&long)), ("short", "é".repeat(250).as_str()));
    }

    #[test]
    fn an_error_without_a_status_shows_zero() {
        let error = WriteError { kind: ErrorKind::Timeout, status: None, reason: "slow".into() };
        assert_eq!(error.to_string(), "timeout (0): slow");
    }
}
