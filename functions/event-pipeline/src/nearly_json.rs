//! Makes JSON of what is nearly JSON: a byte order mark before it, a key twice, `NaN` and `Infinity`.

use std::collections::HashMap;
use std::ops::Range;

use crate::json::{JsonError, Scanner};

/// Tag of a payload that had a key twice.
pub(crate) const DUPLICATE_KEY: &str = "_duplicatekey";
/// Tag of a payload that had `NaN` or `Infinity`.
pub(crate) const NONFINITE: &str = "_nonfinite";

/// An object made sound, and what was wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaired {
    /// JSON text of one object.
    pub text: Vec<u8>,
    /// Whether an object had a key twice: the last one was kept, as most parsers do.
    pub had_duplicate_key: bool,
    /// Whether a number was `NaN`, `Infinity` or `-Infinity`: it is `null` now.
    pub had_nonfinite: bool,
}

/// UTF-8's byte order mark, which some Windows programs write first.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Repairs `text`; `None` if it is no object even then.
pub fn repair(text: &[u8]) -> Option<Repaired> {
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let mut scanner = Scanner::new(text);
    if scanner.peek() != Ok(b'{') {
        return None;
    }
    let mut edits = Edits::default();
    edits.find(&mut scanner).ok()?;
    scanner.end().ok()?;
    Some(Repaired {
        had_duplicate_key: !edits.superseded.is_empty(),
        had_nonfinite: !edits.nonfinite.is_empty(),
        text: edits.applied_to(text),
    })
}

/// What has to change in a text.
#[derive(Debug, Default)]
struct Edits {
    /// Members that a later one of the same key replaces, each up to the next member's key.
    superseded: Vec<Range<usize>>,
    /// Numbers that JSON does not have.
    nonfinite: Vec<Range<usize>>,
}

/// An object or array that is open.
enum Level {
    Array,
    Object {
        /// Where the member of each key begins and the next one does; the end is unknown for the last member.
        members: HashMap<Vec<u8>, Range<usize>>,
        /// Key and place of the member that is being read.
        current: Option<(Vec<u8>, usize)>,
    },
}

impl Edits {
    /// Walks the object that comes next. No recursion: a payload can be deeper than the stack.
    fn find(&mut self, scanner: &mut Scanner<'_>) -> Result<(), JsonError> {
        let mut levels: Vec<Level> = Vec::new();
        loop {
            match scanner.peek()? {
                b'{' => {
                    scanner.take(b'{')?;
                    levels.push(Level::Object { members: HashMap::new(), current: None });
                    if scanner.peek()? != b'}' {
                        self.key(scanner, &mut levels)?;
                        continue;
                    }
                }
                b'[' => {
                    scanner.take(b'[')?;
                    levels.push(Level::Array);
                    if scanner.peek()? != b']' {
                        continue;
                    }
                }
                _ => self.scalar(scanner)?,
            }
            loop {
                match levels.last() {
                    None => return Ok(()),
                    Some(Level::Object { .. }) if scanner.take(b',')? => {
                        self.key(scanner, &mut levels)?;
                        break;
                    }
                    Some(Level::Array) if scanner.take(b',')? => break,
                    Some(Level::Object { .. }) => scanner.expect(b'}')?,
                    Some(Level::Array) => scanner.expect(b']')?,
                }
                levels.pop();
            }
        }
    }

    fn key(&mut self, scanner: &mut Scanner<'_>, levels: &mut [Level]) -> Result<(), JsonError> {
        scanner.peek()?;
        let start = scanner.position();
        let key = scanner.string()?.unescape().into_owned();
        scanner.expect(b':')?;
        let Some(Level::Object { members, current }) = levels.last_mut() else { return Ok(()) };
        if let Some((previous, place)) = current.take() {
            members.insert(previous, place..start);
        }
        if let Some(earlier) = members.remove(&key) {
            self.superseded.push(earlier);
        }
        *current = Some((key, start));
        Ok(())
    }

    fn scalar(&mut self, scanner: &mut Scanner<'_>) -> Result<(), JsonError> {
        let start = scanner.position();
        match nonfinite_len(scanner.rest()) {
            Some(len) => {
                scanner.seek(start + len);
                self.nonfinite.push(start..start + len);
                Ok(())
            }
            None => scanner.value().map(drop),
        }
    }

    fn applied_to(mut self, text: &[u8]) -> Vec<u8> {
        let mut changes: Vec<(Range<usize>, &[u8])> =
            self.superseded.drain(..).map(|range| (range, &b""[..])).collect();
        changes.extend(self.nonfinite.drain(..).map(|range| (range, &b"null"[..])));
        changes.sort_unstable_by_key(|(range, _)| range.start);
        let mut out = Vec::with_capacity(text.len());
        let mut end = 0;
        for (range, replacement) in changes {
            // What stands inside of something removed goes with it.
            if range.start < end {
                continue;
            }
            out.extend_from_slice(text.get(end..range.start).unwrap_or_default());
            out.extend_from_slice(replacement);
            end = range.end;
        }
        out.extend_from_slice(text.get(end..).unwrap_or_default());
        out
    }
}

/// Length of a number that JSON does not have, as Python and JavaScript write it.
fn nonfinite_len(text: &[u8]) -> Option<usize> {
    let word = [&b"NaN"[..], b"Infinity", b"-Infinity"].into_iter().find(|word| text.starts_with(word))?;
    Some(word.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn repaired(text: &str) -> Option<(String, bool, bool)> {
        let repaired = repair(text.as_bytes())?;
        Some((String::from_utf8(repaired.text).unwrap(), repaired.had_duplicate_key, repaired.had_nonfinite))
    }

    #[test]
    fn the_last_of_a_key_that_comes_twice_is_kept_at_every_depth() {
        for (text, expected) in [
            (r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
            (r#"{"a":1, "b":2,"a":3 ,"a":4}"#, r#"{"b":2,"a":4}"#),
            (r#"{"x":[{"b":1,"c":{"b":0},"b":3}]}"#, r#"{"x":[{"c":{"b":0},"b":3}]}"#),
            (r#"{"a":{"b":1,"b":2},"a":{}}"#, r#"{"a":{}}"#),
            (r#"{"a":1,"\u0061":2}"#, r#"{"\u0061":2}"#),
        ] {
            assert_eq!(repaired(text), Some((expected.to_owned(), true, false)), "{text}");
        }
    }

    #[test]
    fn numbers_that_json_does_not_have_are_null() {
        assert_eq!(
            repaired(r#"{"a":NaN,"b":[Infinity,-Infinity],"c":"NaN"}"#),
            Some((r#"{"a":null,"b":[null,null],"c":"NaN"}"#.to_owned(), false, true))
        );
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        assert_eq!(repaired("\u{feff}{\"a\":1}"), Some((r#"{"a":1}"#.to_owned(), false, false)));
    }

    #[test]
    fn what_is_no_object_is_not_repaired() {
        for text in
            ["", "NaN", "[NaN]", r#"{"a":nan}"#, r#"{"a":NaN"#, r#"{"a":NaN}{}"#, r#"{"a":NaNa}"#, "{a:1}"]
        {
            assert_eq!(repaired(text), None, "{text}");
        }
    }

    #[test]
    fn any_depth_is_repaired() {
        let deep = format!("{{\"a\":{}NaN{}}}", "[".repeat(200_000), "]".repeat(200_000));
        assert!(repair(deep.as_bytes()).unwrap().had_nonfinite);
    }

    proptest! {
        #[test]
        fn the_result_is_what_serde_json_makes_of_the_text(
            keys in proptest::collection::vec("[ab\\\\\"]{0,2}", 0..6),
            values in proptest::collection::vec("[1-9][0-9]{0,2}|\"x\"|\\{\"k\":1,\"k\":2\\}|\\[1,\\{\"k\":3\\}\\]", 6),
        ) {
            let members: Vec<_> = keys.iter().zip(&values)
                .map(|(key, value)| format!("{}:{value}", serde_json::to_string(key).unwrap()))
                .collect();
            let text = format!("{{{}}}", members.join(","));
            let repaired = repair(text.as_bytes()).unwrap();
            let (ours, theirs) = (
                serde_json::from_slice::<Value>(&repaired.text).unwrap(),
                serde_json::from_str::<Value>(&text).unwrap(),
            );
            prop_assert_eq!(ours, theirs);
        }

        #[test]
        fn no_text_makes_it_panic(text in proptest::arbitrary::any::<Vec<u8>>()) {
            let _ = repair(&text);
            let _ = repair(&[b"{\"a\":".as_slice(), &text, b"}"].concat());
        }
    }
}
