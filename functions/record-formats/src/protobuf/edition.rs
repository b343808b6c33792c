//! Editions: what a file says of its fields' presence and encoding by features, where proto2 and proto3 have a syntax
//! (<https://protobuf.dev/editions/features/>).
//!
//! The libraries that compile schemas know proto2 and proto3 alone. So a file of an edition is compiled as one of proto2, and what
//! its features say otherwise is kept here. Of the features, these two change how bytes become JSON. The others don't: both encodings
//! of lists are always read, a number that an enum doesn't have is written as a number, and a string must be UTF-8.

use std::collections::HashSet;

use crate::schema_error::SchemaError;

/// The syntax of a file of an edition in descriptors.
pub(crate) const SYNTAX: &str = "editions";

/// The editions that can be read. Their defaults are the same.
const KNOWN: [&str; 2] = ["2023", "2024"];

/// Checks that an edition can be read.
pub(crate) fn check(edition: &str) -> Result<(), SchemaError> {
    if KNOWN.contains(&edition) { Ok(()) } else { Err(SchemaError::Edition(edition.to_owned())) }
}

/// The fields of files of editions that are otherwise than in proto2, by their full names.
#[derive(Debug, Default)]
pub(crate) struct Features {
    implicit: HashSet<String>,
    delimited: HashSet<String>,
}

/// The features of a file, a message or a field, as far as they matter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FeatureSet {
    pub(crate) presence: Presence,
    pub(crate) encoding: Encoding,
}

/// Whether a field knows that it was set to its default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Presence {
    #[default]
    Explicit,
    Implicit,
}

/// How a message in a message is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Encoding {
    #[default]
    LengthPrefixed,
    Delimited,
}

impl Features {
    /// Keeps what the features of a field say, whose full name is `name`.
    pub(crate) fn add(&mut self, name: String, features: FeatureSet) {
        if features.encoding == Encoding::Delimited {
            self.delimited.insert(name.clone());
        }
        if features.presence == Presence::Implicit {
            self.implicit.insert(name);
        }
    }

    /// Whether a field that may occur once, and is no message, in no oneof and no extension, is as good as none with its default.
    pub(crate) fn is_implicit(&self, name: &str) -> bool {
        self.implicit.contains(name)
    }

    /// Whether a message in this field ends with a tag. The entries of maps and the messages in them never do.
    pub(crate) fn is_delimited(&self, name: &str) -> bool {
        self.delimited.contains(name)
    }
}

/// The full name of what is in `scope`, a package or message, which may be empty.
pub(crate) fn full_name(scope: &str, name: &str) -> String {
    if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") }
}
