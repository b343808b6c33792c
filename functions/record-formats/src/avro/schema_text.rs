//! Reads the text of an Avro schema as JSON.
//!
//! Java's library takes comments in it, and registries other than Confluent's keep the text as it was registered.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Deserializer, Value};

use crate::schema_error::SchemaError;

/// The most levels of braces and brackets. A record of 100 levels, the most that is read, has up to five for each: a record's
/// brace, its fields, a field, a union and an array. The reader calls itself for each.
const MAX_LEVELS: usize = 512;

/// Reads the text of a schema, or of the reference that is named.
pub(crate) fn read(text: &str, reference: Option<&str>) -> Result<Value, SchemaError> {
    let text = without_comments(text.strip_prefix('\u{feff}').unwrap_or(text));
    if n_levels(&text) > MAX_LEVELS {
        return Err(SchemaError::TooLarge { limit: MAX_LEVELS, unit: "levels" });
    }
    let mut reader = Deserializer::from_str(&text);
    reader.disable_recursion_limit();
    Value::deserialize(&mut reader)
        .and_then(|json| reader.end().map(|()| json))
        .map_err(|source| SchemaError::Json { reference: reference.map(str::to_owned), source })
}

/// The text with spaces in the place of comments, so that places in errors stay.
fn without_comments(text: &str) -> Cow<'_, str> {
    let mut blanked = Vec::new();
    for (start, end) in comments(text.as_bytes()) {
        if blanked.is_empty() {
            blanked = text.as_bytes().to_vec();
        }
        for byte in blanked.get_mut(start..end).unwrap_or_default() {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
    }
    if blanked.is_empty() {
        return Cow::Borrowed(text);
    }
    // Whole characters have become spaces, one for each byte.
    String::from_utf8(blanked).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// Where the comments begin and end: `//` to the end of the line, and `/* … */`.
fn comments(text: &[u8]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let end = |window: &[u8]| rest.windows(window.len()).skip(2).position(|it| it == window);
        at += match rest {
            [b'"', ..] => string_len(rest),
            [b'/', b'/', ..] => {
                let len = end(b"\n").map_or(rest.len(), |it| it + 2);
                found.push((at, at + len));
                len
            }
            [b'/', b'*', ..] => {
                let len = end(b"*/").map_or(rest.len(), |it| it + 4);
                found.push((at, at + len));
                len
            }
            _ => 1,
        };
    }
    found
}

/// How deep braces and brackets are within each other.
fn n_levels(text: &str) -> usize {
    let (mut level, mut most, mut at) = (0_usize, 0, 0);
    while let Some(rest @ [byte, ..]) = text.as_bytes().get(at..) {
        match byte {
            b'{' | b'[' => level += 1,
            b'}' | b']' => level = level.saturating_sub(1),
            _ => {}
        }
        most = most.max(level);
        at += if *byte == b'"' { string_len(rest) } else { 1 };
    }
    most
}

/// The bytes of the string that is first, with its quotes.
fn string_len(text: &[u8]) -> usize {
    let mut is_escaped = false;
    let end = text.iter().skip(1).position(|byte| {
        let ends = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        ends
    });
    end.map_or(text.len(), |it| it + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_spaces_and_strings_stay() {
        let text = "[1, // é\n \"a//\\\"/*\", /* x\n*/ 2]//";
        assert_eq!(without_comments(text), "[1,      \n \"a//\\\"/*\",     \n   2]  ");
        assert_eq!(without_comments("\"a\" /* open"), "\"a\"        ");
        assert_eq!(without_comments("/*/ 1"), "     ");
        assert!(matches!(without_comments("[\"\\\\\"]"), Cow::Borrowed(_)));
    }

    #[test]
    fn levels_are_those_of_the_text_and_are_bounded() {
        assert_eq!(n_levels("{\"[[[\\\"[\": [1, {}], \"a\": []}"), 3);
        let nested = |n: usize| format!("{}1{}", "[".repeat(n), "]".repeat(n));
        assert!(read(&nested(MAX_LEVELS), None).is_ok());
        let error = read(&nested(MAX_LEVELS + 1), None).unwrap_err();
        assert_eq!(error.to_string(), "schema has more than 512 levels");
        assert!(read("1 2", None).is_err(), "two values");
    }
}
