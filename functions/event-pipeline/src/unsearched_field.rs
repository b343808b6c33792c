//! Finds the texts of fields that a search without a field name leaves out.
//!
//! OpenSearch and Elasticsearch take fields whose name begins with `_` for metadata when they expand a search to all fields,
//! and OpenSearch takes those that begin with `*` for patterns. Under their own names both are found. Their texts go to
//! `event_text` as well, so that free text finds every word of `__typename`, `_links` or `*note`.

use std::ops::Range;

use crate::json::{JsonError, Scanner};

/// Whether free text leaves out the field whose dotted name begins with `name`.
#[inline(always)]
pub(crate) fn is_unsearched(name: &[u8]) -> bool {
    matches!(name, [b'_' | b'*', ..])
}

/// Appends the ranges of the strings, with their quotes, and of the numbers at any depth of those members of the object `payload` that free text
/// leaves out, unless `is_moved` says that the member is elsewhere in the document. `payload` was validated.
#[cold]
pub(crate) fn append_unsearched_texts(
    payload: &[u8],
    is_moved: impl Fn(&[u8]) -> bool,
    out: &mut Vec<Range<usize>>,
) {
    let walked = Scanner::new(payload).object(|scanner, name| {
        let name = name.unescape();
        if is_unsearched(&name) && !is_moved(&name) {
            append_texts(scanner, out)
        } else {
            scanner.value().map(drop)
        }
    });
    debug_assert_eq!(walked, Ok::<(), JsonError>(()), "the payload was validated");
}

/// Reads a value and appends the ranges of its numbers and of its strings that are not empty. No recursion: it can be deeper than the stack.
fn append_texts(scanner: &mut Scanner<'_>, out: &mut Vec<Range<usize>>) -> Result<(), JsonError> {
    let mut depth = 0_usize;
    loop {
        match scanner.peek()? {
            b'{' | b'[' => {
                scanner.seek(scanner.position() + 1);
                depth += 1;
            }
            b'}' | b']' => {
                scanner.seek(scanner.position() + 1);
                depth = depth.saturating_sub(1);
            }
            b',' | b':' => {
                scanner.seek(scanner.position() + 1);
                continue;
            }
            b'"' => {
                let start = scanner.position();
                scanner.string()?;
                let text = start..scanner.position();
                let is_key = depth > 0 && scanner.peek()? == b':';
                if !is_key && text.len() > 2 {
                    out.push(text);
                }
            }
            first => {
                let value = scanner.value()?;
                // A number is found by free text too, and by that alone where the field is text.
                out.extend((!first.is_ascii_alphabetic()).then_some(value));
            }
        }
        if depth == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_at_any_depth_of_the_members_that_free_text_leaves_out_are_found() {
        let text = r#" {"_links" : {"self":["a b",{"href":"c"},""], "n":1}, "name":"no","\u002aage":"d\n","**":"","o":{"_x":"no"},
            "_id":"moved", "_e":{}, "*":[[]],"_n":-1.5,"_t":true , "_last":"e"} "#;
        let mut found = Vec::new();
        append_unsearched_texts(text.as_bytes(), |name| name == b"_id", &mut found);
        let found: Vec<_> = found.into_iter().map(|range| text.get(range).unwrap()).collect();
        assert_eq!(found, [r#""a b""#, r#""c""#, "1", r#""d\n""#, "-1.5", r#""e""#]);
    }

    #[test]
    fn any_depth_is_walked() {
        let text = format!("{{\"_a\":{}\"x\"{}}}", "[".repeat(100_000), "]".repeat(100_000));
        let mut found = Vec::new();
        append_unsearched_texts(text.as_bytes(), |_| false, &mut found);
        assert_eq!(found.len(), 1);
    }
}
