//! The prefix of the index that a record's document goes to, made of the record.

use thiserror::Error;

use crate::field_path::{FieldPath, FieldPathError};

/// A prefix of daily indices with parts of the record in it: `payments-{payload.tenant|unknown}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexRoute {
    /// What the prefix of every record begins with.
    literal: String,
    /// The rest.
    parts: Vec<Part>,
}

/// A part of a route that a record gives, and the text behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    field: RouteField,
    /// What stands there where the record gives nothing.
    fallback: Option<String>,
    behind: String,
}

/// What gives a part of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteField {
    /// The topic.
    Topic,
    /// The topic without the configured suffix.
    Service,
    /// The header of this name; case does not matter, and the last of several counts.
    Header(String),
    /// The field of the payload.
    Payload(FieldPath),
}

/// Why a text is no route.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum IndexRouteError {
    /// A path in it names no field.
    #[error(transparent)]
    Path(#[from] FieldPathError),
}

impl IndexRoute {
    /// Reads a route. Without a `{…}` it is a prefix that all records have.
    ///
    /// # Errors
    /// [`IndexRouteError`]
    pub fn parse(text: &str) -> Result<Self, IndexRouteError> {
        Ok(Self { literal: text.to_owned(), parts: Vec::new() })
    }

    /// The pattern that all indices of the route match: `payments-*`.
    pub fn index_pattern(&self) -> String {
        format!("{}*", self.literal)
    }
}
