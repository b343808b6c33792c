//! The JSON event that the function is invoked with, member by member.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The event of an invocation.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReplayEvent {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) service: Option<OneOrMany>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error_type: Option<OneOrMany>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) to: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ids: Option<OneOrMany>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) all: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) s3: Option<S3Member>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) conflicts: Option<ConflictAction>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) field: Option<OneOrMany>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) index: Option<OneOrMany>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) dry_run: bool,
    /// Position of an earlier response's `next`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<Value>,
}

/// The event's member `s3`.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct S3Member {
    pub(crate) bucket: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) prefix: Option<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) delete: bool,
}

/// What to do with the documents that were written in another form because the cluster rejected them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ConflictAction {
    /// Count them, with the mapping that would end each conflict.
    List,
    /// Restore their usual form, where the mapping takes it.
    Fix,
}

/// A string or a list of strings.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(untagged, expecting = "expected a string or a list of strings")]
pub(crate) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    /// The strings as a list.
    pub(crate) fn list(&self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text.clone()],
            Self::Many(texts) => texts.clone(),
        }
    }
}

impl ReplayEvent {
    /// Names of the members that restrict which dead letters are replayed.
    pub(crate) fn conditions(&self) -> Vec<&'static str> {
        [
            ("service", self.service.is_some()),
            ("error_type", self.error_type.is_some()),
            ("from", self.from.is_some()),
            ("to", self.to.is_some()),
            ("ids", self.ids.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, is_given)| is_given.then_some(name))
        .collect()
    }

    /// Names of the members that restrict which conflicts are listed or fixed, in addition to those.
    pub(crate) fn conflict_conditions(&self) -> Vec<&'static str> {
        let given = [("field", self.field.is_some()), ("index", self.index.is_some())];
        given.into_iter().filter_map(|(name, is_given)| is_given.then_some(name)).collect()
    }
}

fn is_false(flag: &bool) -> bool {
    !flag
}
