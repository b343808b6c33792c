//! What becomes of a record, and how the cluster's answer to its operation decides that.

use std::fmt;

/// Why a document can't be indexed, however often it is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Type of the error, as the cluster names it, or `unreadable_record` or `document_too_large`.
    pub kind: String,
    /// The cluster's own words.
    pub reason: String,
    /// HTTP status of the item; 0 where the document was not sent.
    pub status: u16,
}

/// Why a record could not be written although its document may be sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Type of the error, or what stands for one: `timeout`, `connection`, `bad_response` …
    pub kind: String,
    /// What happened, in words.
    pub reason: String,
    /// HTTP status; 0 where there was none.
    pub status: u16,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.kind, self.status, self.reason)
    }
}

/// Longest reason that is kept, in bytes: some of the cluster's reasons quote the whole document, which has no place
/// in a log.
const MAX_REASON: usize = 500;

/// The beginning of a reason that is too long.
pub fn shortened(reason: &str) -> &str {
    let mut end = reason.len().min(MAX_REASON);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason.get(..end).unwrap_or(reason)
}

/// What became of one record. Every record of a batch ends in exactly one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The cluster wrote the document.
    Indexed,
    /// The cluster had the document already.
    Duplicate,
    /// The document is at fault and the dead-letter index has it.
    DeadLettered(Fault),
    /// It is not written: the event source mapping must deliver it again.
    Failed(Failure),
}

/// What the cluster's answer to one operation means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// 200 or 201.
    Indexed,
    /// 409 on `create`.
    Duplicate,
    /// The document is at fault: to the dead letters with it.
    Rejected(Fault),
    /// The document has a new field and its index no room for one: to be written once the index maps no more new fields.
    MappingFull(Fault),
    /// The cluster can't now: try again.
    Retry(Failure),
    /// Neither the document nor the moment is at fault, but the set-up: not now, and no dead letter.
    Failed(Failure),
}

/// Types of a 400 that blame the index or the cluster, not the document.
const SETUP_ERRORS: [&str; 8] = [
    "index_closed_exception",
    "index_not_found_exception",
    "invalid_index_name_exception",
    "invalid_alias_name_exception",
    "action_request_validation_exception",
    "routing_missing_exception",
    // "this action would add [2] shards, but this cluster currently has [1000]/[1000] maximum shards open"
    "validation_exception",
    "illegal_index_shard_state_exception",
];

/// How the reason of an `illegal_argument_exception` begins when it blames the set-up. All its other reasons
/// (immense term, mapping conflict …) blame the document.
const SETUP_REASONS: [&str; 3] =
    ["pipeline with id", "no write index is defined", "only write ops with an op_type of create"];

/// How the reason of an `illegal_argument_exception` begins when the index has as many fields as
/// `index.mapping.total_fields.limit` allows.
const FIELD_LIMIT: &str = "Limit of total fields";

impl Verdict {
    /// Judges an item by its status and error.
    ///
    /// Statuses are those of <https://docs.opensearch.org/latest/api-reference/document-apis/bulk/#response>:
    /// 429 means "later", 400 means "never", 409 on `create` means "already there".
    pub fn of(status: u16, kind: &str, reason: &str) -> Self {
        match status {
            200 | 201 => Self::Indexed,
            409 => Self::Duplicate,
            429 | 502 | 503 | 504 => Self::Retry(failure(status, kind, reason)),
            400 if !blames_setup(kind, reason) => {
                let fault = Fault { kind: kind.into(), reason: reason.into(), status };
                if reason.contains(FIELD_LIMIT) { Self::MappingFull(fault) } else { Self::Rejected(fault) }
            }
            _ => Self::Failed(failure(status, kind, reason)),
        }
    }
}

fn failure(status: u16, kind: &str, reason: &str) -> Failure {
    Failure { kind: kind.into(), reason: reason.into(), status }
}

fn blames_setup(kind: &str, reason: &str) -> bool {
    SETUP_ERRORS.contains(&kind)
        || kind == "illegal_argument_exception" && SETUP_REASONS.iter().any(|start| reason.starts_with(start))
}

/// How many records of a batch ended in which outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records in the batch.
    pub received: usize,
    /// Written now.
    pub indexed: usize,
    /// Written before.
    pub duplicates: usize,
    /// In the dead-letter index.
    pub dead_lettered: usize,
    /// To be delivered again.
    pub failed: usize,
}

impl Counts {
    /// Counts `outcomes`, one a record.
    pub fn of<'o>(outcomes: impl IntoIterator<Item = &'o Outcome>) -> Self {
        let mut counts = Self::default();
        for outcome in outcomes {
            counts.received += 1;
            match outcome {
                Outcome::Indexed => counts.indexed += 1,
                Outcome::Duplicate => counts.duplicates += 1,
                Outcome::DeadLettered(_) => counts.dead_lettered += 1,
                Outcome::Failed(_) => counts.failed += 1,
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_blamed_only_for_what_is_theirs() {
        for (status, kind, reason) in [
            (400, "mapper_parsing_exception", "failed to parse field [total] of type [double]"),
            (400, "document_parsing_exception", "[1:2] failed to parse"),
            (400, "strict_dynamic_mapping_exception", "mapping set to strict"),
            (400, "illegal_argument_exception", "Document contains at least one immense term in field=\"x\""),
        ] {
            assert!(matches!(Verdict::of(status, kind, reason), Verdict::Rejected(_)), "{kind} {reason}");
        }
        for (status, kind, reason) in [
            (401, "security_exception", "missing authentication"),
            (403, "cluster_block_exception", "index [x] blocked by: [FORBIDDEN/8/index write (api)];"),
            (404, "index_not_found_exception", "no such index"),
            (400, "illegal_argument_exception", "pipeline with id [x] does not exist"),
            (400, "validation_exception", "this action would add [2] shards"),
            (500, "exception", "boom"),
        ] {
            assert!(matches!(Verdict::of(status, kind, reason), Verdict::Failed(_)), "{kind} {reason}");
        }
        let reason = "Limit of total fields [1000] has been exceeded";
        for kind in ["illegal_argument_exception", "document_parsing_exception"] {
            assert!(matches!(Verdict::of(400, kind, reason), Verdict::MappingFull(_)), "{kind}");
        }
        for status in [429, 502, 503, 504] {
            assert!(matches!(Verdict::of(status, "x", "y"), Verdict::Retry(_)), "{status}");
        }
        assert_eq!(Verdict::of(201, "", ""), Verdict::Indexed);
        assert_eq!(Verdict::of(409, "version_conflict_engine_exception", ""), Verdict::Duplicate);
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let long = "é".repeat(400);
        assert_eq!((shortened("short"), shortened(&long)), ("short", "é".repeat(250).as_str()));
    }

    #[test]
    fn every_record_is_counted_once() {
        let fault = Fault { kind: String::new(), reason: String::new(), status: 400 };
        let outcomes = [Outcome::Indexed, Outcome::Duplicate, Outcome::DeadLettered(fault), Outcome::Indexed];
        let counts = Counts { received: 4, indexed: 2, duplicates: 1, dead_lettered: 1, failed: 0 };
        assert_eq!(Counts::of(&outcomes), counts);
    }
}
