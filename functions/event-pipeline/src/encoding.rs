//! What encoding a record is asked for, and what it gives.

use crate::address::ActionLine;

/// What [`crate::encoder::Encoder::append`] made of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Appended {
    /// Its action line and its document line.
    Document(ActionLine),
    /// Nothing: the rules of its topic drop it.
    Dropped,
}

impl Appended {
    /// The action line of the document; `None` where the record is dropped.
    pub fn document(self) -> Option<ActionLine> {
        match self {
            Self::Document(line) => Some(line),
            Self::Dropped => None,
        }
    }
}

/// Which index the document of a record goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Routing {
    /// The one that the record gives.
    Own,
    /// The one that stands in for too many: each part of the route has its fallback, and the document a tag.
    Fallback,
}
