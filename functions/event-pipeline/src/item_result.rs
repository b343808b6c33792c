//! What the cluster's response to one bulk operation means: the one table of statuses and error types.

use serde::Deserialize;

use crate::write_error::{ErrorKind, WriteError};

/// Result of one bulk operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemResult {
    /// `create` or `index` wrote the document: 200 or 201.
    Indexed,
    /// `create` found the document already there: 409.
    Duplicate,
    /// `delete` removed the document: 200.
    Deleted,
    /// `delete` found no document: 404. An earlier request whose response was lost may have removed it.
    NotFound,
    /// `delete` or `index` found another version of the document, or none, and left it: 409.
    Changed,
    /// The cluster rejects the document, however often it is sent.
    Rejected(WriteError),
    /// The document is not written, and is not to blame.
    Failed(WriteError),
}

/// Operation that is sent, and that an item names with its only member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ItemAction {
    /// `delete`, which removes a document.
    Delete,
    /// `index`, which replaces a document of a known version.
    Index,
    /// `create`, which writes a document that is not there yet.
    Create,
}

/// How sending a failed item again can succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// The cluster is too busy now, or its response can't be read: send the item again later.
    Retry,
    /// The cluster failed, or the document makes it fail: send the item again a few times.
    RetryBriefly,
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

impl ItemResult {
    /// Reads an item's status and error.
    ///
    /// Statuses are those of <https://docs.opensearch.org/latest/api-reference/document-apis/bulk/#response>:
    /// 429 means "later", 400 means "never", 409 on `create` means "already there".
    pub fn of(action: ItemAction, status: u16, error_type: &str, reason: &str) -> Self {
        let error = || WriteError {
            kind: ErrorKind::cluster(error_type),
            status: Some(status),
            reason: reason.to_owned(),
        };
        match (action, status) {
            (ItemAction::Create | ItemAction::Index, 200 | 201) => Self::Indexed,
            (ItemAction::Create, 409) => Self::Duplicate,
            (ItemAction::Delete, 200 | 201) => Self::Deleted,
            (ItemAction::Delete, 404) => Self::NotFound,
            (ItemAction::Delete | ItemAction::Index, 409) => Self::Changed,
            (_, 400) if !blames_setup(error_type, reason) => Self::Rejected(error()),
            _ => Self::Failed(error()),
        }
    }

    /// What would get the item written; `None` where it is written or nothing helps.
    pub fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::Failed(WriteError { status: Some(429 | 502 | 503 | 504), .. })
            | Self::Failed(WriteError { kind: ErrorKind::BadResponse, .. }) => Some(Remedy::Retry),
            Self::Failed(error) if error.is_slow_mapping() => Some(Remedy::Retry),
            Self::Failed(error) if error.may_be_the_documents() => Some(Remedy::RetryBriefly),
            _ => None,
        }
    }
}

fn blames_setup(error_type: &str, reason: &str) -> bool {
    SETUP_ERRORS.contains(&error_type)
        || error_type == "illegal_argument_exception"
            && SETUP_REASONS.iter().any(|start| reason.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn created(status: u16, error_type: &str, reason: &str) -> ItemResult {
        ItemResult::of(ItemAction::Create, status, error_type, reason)
    }

    #[test]
    fn documents_are_blamed_only_for_their_own_faults() {
        for (status, error_type, reason) in [
            (400, "mapper_parsing_exception", "failed to parse field [total] of type [double]"),
            (400, "document_parsing_exception", "[1:2] failed to parse"),
            (400, "strict_dynamic_mapping_exception", "mapping set to strict"),
            (400, "illegal_argument_exception", "Document contains at least one immense term in field=\"x\""),
            (400, "illegal_argument_exception", "Limit of total fields [1000] has been exceeded"),
        ] {
            let result = created(status, error_type, reason);
            assert!(matches!(result, ItemResult::Rejected(_)), "{error_type} {reason}");
            assert_eq!(result.remedy(), None, "{error_type} {reason}");
        }
        for (status, error_type, reason) in [
            (401, "security_exception", "missing authentication"),
            (403, "cluster_block_exception", "index [x] blocked by: [FORBIDDEN/8/index write (api)];"),
            (404, "index_not_found_exception", "no such index"),
            (400, "illegal_argument_exception", "pipeline with id [x] does not exist"),
            (400, "validation_exception", "this action would add [2] shards"),
        ] {
            let result = created(status, error_type, reason);
            assert!(matches!(result, ItemResult::Failed(_)), "{error_type} {reason}");
            assert_eq!(result.remedy(), None, "{error_type} {reason}");
        }
        assert_eq!(created(500, "stream_constraints_exception", "y").remedy(), Some(Remedy::RetryBriefly));
        let slow = created(500, "mapper_exception", "timed out while waiting for a dynamic mapping update");
        assert_eq!(slow.remedy(), Some(Remedy::Retry), "the manager is busy; the document is sound");
        for status in [429, 502, 503, 504] {
            assert_eq!(created(status, "x", "y").remedy(), Some(Remedy::Retry), "{status}");
        }
        assert_eq!(created(201, "", ""), ItemResult::Indexed);
        assert_eq!(created(409, "version_conflict_engine_exception", ""), ItemResult::Duplicate);
    }

    #[test]
    fn a_replacement_is_a_write_or_finds_another_version() {
        let replaced = |status| ItemResult::of(ItemAction::Index, status, "x", "");
        assert_eq!([replaced(200), replaced(409)], [ItemResult::Indexed, ItemResult::Changed]);
        assert!(matches!(replaced(400), ItemResult::Rejected(_)));
        assert!(matches!(replaced(404), ItemResult::Failed(_)));
    }

    #[test]
    fn a_delete_is_not_reported_as_a_write() {
        let deleted = |status| ItemResult::of(ItemAction::Delete, status, "", "");
        assert_eq!(
            [deleted(200), deleted(404), deleted(409)],
            [ItemResult::Deleted, ItemResult::NotFound, ItemResult::Changed]
        );
        assert_eq!(deleted(503).remedy(), Some(Remedy::Retry));
    }
}
