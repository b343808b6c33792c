//! Paths that name fields of payloads.

use std::fmt;

use thiserror::Error;

/// A field of payloads, named as an index names it: `a.b` is the member `b` of `a`, and the member named `a.b`. It goes
/// through arrays: `items.id` is the `id` of each element of `items`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldPath(String);

/// Why a text names no field.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum FieldPathError {
    /// There is nothing in it.
    #[error("the path is empty: name a field, such as `card.cvv`")]
    Empty,
    /// It has an empty part, as no field has.
    #[error("the path `{0}` has an empty part: write the names of fields with one `.` between them")]
    EmptyPart(String),
    /// It has the index or the star of another language's paths.
    #[error("the path `{path}` has `{character}`, and a path goes through arrays by itself: write `{fixed}`")]
    Brackets {
        /// What was given.
        path: String,
        /// What is not part of paths.
        character: char,
        /// The path without it.
        fixed: String,
    },
}

impl FieldPath {
    /// Reads a path, such as `card.cvv`.
    ///
    /// # Errors
    /// [`FieldPathError`]
    pub fn parse(text: &str) -> Result<Self, FieldPathError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(FieldPathError::Empty);
        }
        if let Some(character) = text.chars().find(|character| matches!(character, '[' | ']' | '*')) {
            let mut fixed = String::new();
            let mut is_inside = false;
            for character in text.chars() {
                match character {
                    '[' => is_inside = true,
                    ']' => is_inside = false,
                    '*' => {}
                    _ if !is_inside => fixed.push(character),
                    _ => {}
                }
            }
            let parts: Vec<_> = fixed.split('.').filter(|part| !part.is_empty()).collect();
            let fixed = parts.join(".");
            return Err(FieldPathError::Brackets { path: text.to_owned(), character, fixed });
        }
        if text.split('.').any(|part| part.trim().is_empty()) {
            return Err(FieldPathError::EmptyPart(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }

    /// Whether this names what is below the field `other`.
    pub(crate) fn is_below(&self, other: &Self) -> bool {
        self.0.strip_prefix(other.as_str()).is_some_and(|rest| rest.starts_with('.'))
    }

    /// The path as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_other_languages_are_refused_with_the_path_to_write() {
        for (text, fixed) in
            [("items[0].id", "items.id"), ("items.*.id", "items.id"), ("items[*].id", "items.id")]
        {
            let error = FieldPath::parse(text).unwrap_err().to_string();
            assert!(error.ends_with(&format!("write `{fixed}`")), "{error}");
        }
        for text in ["", " ", ".a", "a.", "a..b"] {
            assert!(FieldPath::parse(text).is_err(), "{text}");
        }
        assert_eq!(FieldPath::parse(" a.b c ").unwrap().as_str(), "a.b c");
    }
}
