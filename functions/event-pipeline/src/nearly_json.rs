//! Makes JSON of what is nearly JSON: a byte order mark before it, a key twice, `NaN` and `Infinity`.

use crate::bit_stack::BitStack;
use crate::json::{JsonError, Scanner};
use crate::object_key::{ObjectKey, hash_key};

/// Tag of a payload that had a key twice.
pub(crate) const DUPLICATE_KEY: &str = "_duplicatekey";
/// Tag of a payload that had `NaN` or `Infinity`.
pub(crate) const NONFINITE: &str = "_nonfinite";

/// A value made sound, and what was wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaired {
    /// JSON text of one value.
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
    let object = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    if Scanner::new(object).peek() != Ok(b'{') {
        return None;
    }
    repair_value(text)
}

/// Repairs `text`, which can be any JSON value; `None` if it is none even then.
pub(crate) fn repair_value(text: &[u8]) -> Option<Repaired> {
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    ObjectKey::check_len(text).ok()?;
    let mut scanner = Scanner::new(text);
    let mut edits = Edits::default();
    edits.find(&mut scanner).ok()?;
    scanner.end().ok()?;
    Some(edits.applied_to(text))
}

/// What has to change in a text: numbers that JSON does not have, and members that a later one of the same key replaces,
/// each up to the next member's key.
#[derive(Debug, Default)]
struct Edits {
    ranges: Vec<(u32, u32)>,
    /// Whether each level is an object.
    levels: BitStack,
    /// The members of the objects that are open, and before those of each object one that stands for the object around it.
    members: Vec<Member>,
    /// Where the innermost object's begin.
    first: usize,
}

/// A member of an object that is open. There can be a million.
#[derive(Debug, Clone, Copy)]
struct Member {
    key: ObjectKey,
    /// Where the next member begins, once it is known.
    end: u32,
}

impl Edits {
    /// Walks the value that comes next. No recursion: a payload can be deeper than the stack.
    fn find(&mut self, scanner: &mut Scanner<'_>) -> Result<(), JsonError> {
        loop {
            match scanner.peek()? {
                b'{' => {
                    scanner.take(b'{')?;
                    if !scanner.take(b'}')? {
                        self.open_object();
                        self.key(scanner)?;
                        continue;
                    }
                }
                b'[' => {
                    scanner.take(b'[')?;
                    if !scanner.take(b']')? {
                        self.levels.push(false);
                        continue;
                    }
                }
                _ => self.scalar(scanner)?,
            }
            loop {
                match self.levels.top() {
                    None => return Ok(()),
                    Some(is_object) if scanner.take(b',')? => {
                        if is_object {
                            self.key(scanner)?;
                        }
                        break;
                    }
                    Some(true) => {
                        scanner.expect(b'}')?;
                        self.close_object(scanner);
                    }
                    Some(false) => scanner.expect(b']')?,
                }
                self.levels.pop();
            }
        }
    }

    fn open_object(&mut self) {
        self.levels.push(true);
        self.members.push(Member { key: ObjectKey::new(0, 0, 0), end: self.first as u32 });
        self.first = self.members.len();
    }

    /// Takes the members of the innermost object off, and notes which of them later ones replace.
    fn close_object(&mut self, scanner: &Scanner<'_>) {
        let text = scanner.text;
        let members = self.members.get_mut(self.first..).unwrap_or_default();
        members.sort_unstable_by(|member, other| member.key.cmp(&other.key, text));
        let pairs = members.array_windows().filter(|[member, next]| member.key.is(&next.key, text));
        self.ranges.extend(pairs.map(|[member, _]| (member.key.start() as u32 - 1, member.end)));
        let outer = self.members.get(self.first - 1).map_or(0, |outer| outer.end as usize);
        self.members.truncate(self.first - 1);
        self.first = outer;
    }

    fn key(&mut self, scanner: &mut Scanner<'_>) -> Result<(), JsonError> {
        scanner.peek()?;
        let start = scanner.position();
        let hash = hash_key(&scanner.string()?.unescape());
        let key = ObjectKey::new(hash, start + 1, scanner.position() - 1);
        scanner.expect(b':')?;
        if let Some(previous) = self.members.get_mut(self.first..).and_then(<[_]>::last_mut) {
            previous.end = start as u32;
        }
        self.members.push(Member { key, end: 0 });
        Ok(())
    }

    fn scalar(&mut self, scanner: &mut Scanner<'_>) -> Result<(), JsonError> {
        let start = scanner.position();
        match nonfinite_len(scanner.rest()) {
            Some(len) => {
                scanner.seek(start + len);
                self.ranges.push((start as u32, (start + len) as u32));
                Ok(())
            }
            None => scanner.value().map(drop),
        }
    }

    fn applied_to(mut self, text: &[u8]) -> Repaired {
        self.members = Vec::new();
        self.ranges.sort_unstable();
        let (mut had_duplicate_key, mut had_nonfinite) = (false, false);
        let mut out = Vec::with_capacity(text.len() + self.ranges.len());
        let mut end = 0;
        for (range_start, range_end) in self.ranges {
            let (range_start, range_end) = (range_start as usize, range_end as usize);
            let is_member = text.get(range_start) == Some(&b'"');
            had_duplicate_key |= is_member;
            had_nonfinite |= !is_member;
            // What stands inside of something removed goes with it.
            if range_start < end {
                continue;
            }
            out.extend_from_slice(text.get(end..range_start).unwrap_or_default());
            out.extend_from_slice(if is_member { b"" } else { b"null" });
            end = range_end;
        }
        out.extend_from_slice(text.get(end..).unwrap_or_default());
        Repaired { text: out, had_duplicate_key, had_nonfinite }
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
