//! Scans a whole JSON object: validates it, finds some of its members and refuses duplicate keys.

use std::ops::Range;

use crate::exact_field::{hides_words, may_be_exact};
use crate::json::{JsonError, Scanner};
use crate::json_string::RawString;
use crate::name_table::NameTable;
use crate::object_key::{ObjectKey, hash_key};
use crate::unsearched_field::is_unsearched;

/// A top-level member of an object whose name is in the table of the scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Number of the name in the table.
    pub name: usize,
    /// Range of the key, with its quotes.
    pub key: Range<usize>,
    /// Range of the value.
    pub value: Range<usize>,
}

/// What [`ObjectScanner::scan`] finds out about an object besides its members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectShape {
    /// Position of the opening brace.
    pub open: usize,
    /// Position of the closing brace.
    pub close: usize,
    /// Whether there are line ends in the white space between tokens, which a bulk body can't hold.
    pub newlines: bool,
}

/// Scans whole objects, keeping its buffers from one to the next. Only an object key with escapes allocates. For each key of
/// the objects that are open, 12 bytes are kept: 6 MB hold more than a million keys.
#[derive(Debug, Default)]
pub struct ObjectScanner {
    /// The objects and arrays around the open one.
    levels: Vec<Level>,
    /// The keys of all open objects.
    keys: Vec<ObjectKey>,
    members: Vec<Member>,
    exact_texts: Vec<Range<usize>>,
    has_unsearched: bool,
}

/// An object or array that is open.
#[derive(Debug, Clone, Copy)]
struct Level {
    is_object: bool,
    /// Where this object's keys begin in `ObjectScanner::keys`.
    first_key: usize,
    /// One bit for each key's hash: a key whose bit is not set is new.
    seen: u64,
}

/// Levels of a payload that the cluster gets as JSON. Both engines read documents by recursion, and an overflow of the stack
/// ends the node, for each delivery of the record again: of 1 MB of stack, 980 levels overflow Elasticsearch 8.19 with
/// `subobjects: false`, and 700 a `flat_object` of OpenSearch 3.6, which `original` is in indices of older templates. A quarter
/// of that leaves room for frames that are not compiled yet. Jackson, their parser, refuses 1,000.
const MAX_DEPTH: usize = 250;
/// Objects with more keys than this are checked once, by sorting the keys when the object closes.
const CHECK_EACH_KEY: usize = 48;

impl ObjectScanner {
    /// Validates that `text` is one JSON object that the cluster accepts, and finds its top-level members whose names
    /// are in `names`: [`ObjectScanner::members`] has them.
    pub fn scan(&mut self, text: &[u8], names: &NameTable) -> Result<ObjectShape, JsonError> {
        self.clear();
        let mut scanner = Scanner::new(text);
        if scanner.peek()? != b'{' {
            return Err(JsonError::NotAnObject);
        }
        ObjectKey::check_len(text)?;
        let open = scanner.pos;
        self.walk(&mut scanner, names)?;
        let close = scanner.pos - 1;
        scanner.end()?;
        Ok(ObjectShape { open, close, newlines: scanner.newlines })
    }

    /// Validates that `text` is one JSON object, however deep and with whatever keys, and finds the same members as
    /// [`ObjectScanner::scan`]: the last one of each name.
    pub fn scan_members(&mut self, text: &[u8], names: &NameTable) -> Result<(), JsonError> {
        self.clear();
        let mut scanner = Scanner::new(text);
        scanner.expect(b'{')?;
        let mut is_open = !scanner.take(b'}')?;
        while is_open {
            scanner.peek()?;
            let start = scanner.pos;
            let name = names.find(&scanner.string()?.unescape());
            let key = start..scanner.pos;
            scanner.expect(b':')?;
            let value = scanner.value()?;
            if let Some(name) = name {
                self.members.retain(|member| member.name != name);
                self.members.push(Member { name, key, value });
            }
            is_open = scanner.take(b',')?;
            if !is_open {
                scanner.expect(b'}')?;
            }
        }
        scanner.end()
    }

    /// The members that the last scan found, in the order of the text.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The member with that number in the table, if the last scan found it.
    pub fn member(&self, name: usize) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }

    /// Ranges of the strings, with their quotes, that stand in exact fields at any depth and have words.
    pub fn exact_texts(&self) -> &[Range<usize>] {
        &self.exact_texts
    }

    /// Whether free text leaves out a top-level member that the last [`ObjectScanner::scan`] saw.
    pub fn has_unsearched(&self) -> bool {
        self.has_unsearched
    }

    /// Forgets what the last scan found.
    pub fn clear(&mut self) {
        self.levels.clear();
        self.keys.clear();
        self.members.clear();
        self.exact_texts.clear();
        self.has_unsearched = false;
    }

    // Inlined with its helpers, it keeps the scanner's position and the level in registers, which halves the time.
    #[inline(always)]
    fn walk(&mut self, scanner: &mut Scanner<'_>, names: &NameTable) -> Result<(), JsonError> {
        scanner.pos += 1;
        if scanner.take(b'}')? {
            return Ok(());
        }
        let mut level = Level { is_object: true, first_key: 0, seen: 0 };
        self.key(scanner, names, &mut level)?;
        loop {
            match scanner.peek()? {
                b'{' => {
                    scanner.pos += 1;
                    if !scanner.take(b'}')? {
                        self.open(scanner, level)?;
                        level = Level { is_object: true, first_key: self.keys.len(), seen: 0 };
                        self.key(scanner, names, &mut level)?;
                        continue;
                    }
                }
                b'[' => {
                    scanner.pos += 1;
                    if !scanner.take(b']')? {
                        self.open(scanner, level)?;
                        level = Level { is_object: false, first_key: self.keys.len(), seen: 0 };
                        continue;
                    }
                }
                b'"' => {
                    let start = scanner.pos;
                    scanner.pos += 1;
                    if scanner.words_after_quote()? {
                        self.note_text(scanner.text, start..scanner.pos);
                    }
                }
                first => scanner.scalar(first)?,
            }
            loop {
                // A value has just ended. At the top level it may be that of a member that was found.
                if self.levels.is_empty()
                    && let Some(member) = self.members.last_mut()
                    && member.value.end == 0
                {
                    member.value.end = scanner.pos;
                }
                if scanner.take(b',')? {
                    if level.is_object {
                        self.key(scanner, names, &mut level)?;
                    }
                    break;
                }
                scanner.expect(if level.is_object { b'}' } else { b']' })?;
                self.close(scanner.text, level.first_key)?;
                match self.levels.pop() {
                    Some(outer) => level = outer,
                    None => return Ok(()),
                }
            }
        }
    }

    /// Notes a string that may stand in an exact field and have words, if it does. Its key is the last one of the innermost
    /// open object.
    #[inline(never)]
    fn note_text(&mut self, text: &[u8], value: Range<usize>) {
        let quoted = text.get(value.clone()).unwrap_or_default();
        let Some(key) = self.keys.last() else { return };
        let raw = key.raw_name(text);
        if !may_be_exact(raw) && !raw.contains(&b'\\') {
            return;
        }
        if std::str::from_utf8(&key.name(text)).is_ok_and(|name| hides_words(name, quoted)) {
            self.exact_texts.push(value);
        }
    }

    #[inline(always)]
    fn open(&mut self, scanner: &Scanner<'_>, outer: Level) -> Result<(), JsonError> {
        // The open level and the one that opens are not among them.
        if self.levels.len() + 2 > MAX_DEPTH {
            return Err(JsonError::TooDeep(scanner.pos));
        }
        self.levels.push(outer);
        Ok(())
    }

    #[inline(always)]
    fn key(
        &mut self,
        scanner: &mut Scanner<'_>,
        names: &NameTable,
        level: &mut Level,
    ) -> Result<(), JsonError> {
        scanner.expect(b'"')?;
        let start = scanner.pos;
        let raw = scanner.string_after_quote()?;
        let end = scanner.pos - 1;
        scanner.expect(b':')?;
        let names = self.levels.is_empty().then_some(names);
        let (hash, wanted) = match raw.plain() {
            Some(name) => {
                self.has_unsearched |= names.is_some() && is_unsearched(name);
                (hash_key(name), names.and_then(|names| names.find(name)))
            }
            None => {
                // What the name is without its escapes is seen when the texts are looked for.
                self.has_unsearched |= names.is_some();
                escaped_key(raw, names)
            }
        };
        if let Some(name) = wanted {
            // Large objects are checked when they close, and until then one name could make a million members.
            if names.is_some_and(|names| self.members.len() >= names.len()) {
                return Err(JsonError::DuplicateKey(start));
            }
            scanner.peek()?;
            // The end of the value is not known yet: it is 0 until `walk` gets there.
            self.members.push(Member { name, key: start - 1..end + 1, value: scanner.pos..0 });
        }
        let bit = 1 << (hash & 63);
        let key = ObjectKey::new(hash, start, end);
        if level.seen & bit != 0 && self.is_known(scanner.text, level.first_key, key) {
            return Err(JsonError::DuplicateKey(start));
        }
        level.seen |= bit;
        self.keys.push(key);
        Ok(())
    }

    /// Whether the object whose keys begin at `first_key` has `key` already. Large objects are not checked here but
    /// when they close.
    #[cold]
    fn is_known(&self, text: &[u8], first_key: usize, key: ObjectKey) -> bool {
        let earlier = self.keys.get(first_key..).unwrap_or_default();
        earlier.len() <= CHECK_EACH_KEY && earlier.iter().any(|other| other.is(&key, text))
    }

    #[inline(always)]
    fn close(&mut self, text: &[u8], first_key: usize) -> Result<(), JsonError> {
        if self.keys.len() - first_key > CHECK_EACH_KEY {
            self.check_all_keys(text, first_key)?;
        }
        self.keys.truncate(first_key);
        Ok(())
    }

    /// Sorts the keys, which are not needed any more, so that equal ones are neighbours.
    #[cold]
    fn check_all_keys(&mut self, text: &[u8], first_key: usize) -> Result<(), JsonError> {
        let keys = self.keys.get_mut(first_key..).unwrap_or_default();
        keys.sort_unstable_by(|key, other| key.cmp(other, text));
        let twice = keys.array_windows().find(|[key, next]| key.is(next, text));
        twice.map_or(Ok(()), |[_, next]| Err(JsonError::DuplicateKey(next.start())))
    }
}

/// The hash of a key with escapes, and its number in `names`.
#[cold]
fn escaped_key(raw: RawString<'_>, names: Option<&NameTable>) -> (u32, Option<usize>) {
    let name = raw.unescape();
    (hash_key(&name), names.and_then(|names| names.find(&name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(text: &str) -> Result<ObjectShape, JsonError> {
        ObjectScanner::default().scan(text.as_bytes(), &NameTable::default())
    }

    #[test]
    fn members_are_found_with_their_ranges() {
        let text = r#" {"a":1, "time" : [1,{"time":2}] ,"b":{"time":3},"service":"x\"y"} "#;
        let mut scanner = ObjectScanner::default();
        let shape = scanner.scan(text.as_bytes(), &NameTable::new(["time", "service"])).unwrap();
        assert_eq!((text.as_bytes()[shape.open], text.as_bytes()[shape.close]), (b'{', b'}'));
        let found: Vec<_> = scanner
            .members()
            .iter()
            .map(|m| (m.name, text.get(m.key.clone()).unwrap(), text.get(m.value.clone()).unwrap()))
            .collect();
        assert_eq!(found, [(0, "\"time\"", "[1,{\"time\":2}]"), (1, "\"service\"", "\"x\\\"y\"")]);
    }

    #[test]
    fn duplicate_keys_are_refused_at_any_depth() {
        assert_eq!(scan(r#"{"a":1,"a":2}"#), Err(JsonError::DuplicateKey(8)));
        assert_eq!(scan(r#"{"a":[{"b":1,"c":2,"b":3}]}"#), Err(JsonError::DuplicateKey(20)));
        assert_eq!(scan(r#"{"a":1,"\u0061":2}"#), Err(JsonError::DuplicateKey(8)));
        assert!(scan(r#"{"a":{"a":{"a":1}},"b":{"a":1}}"#).is_ok());
        assert!(matches!(scan(r#"{"\ud800":1,"\uD800":2}"#), Err(JsonError::DuplicateKey(_))));
        assert!(scan(r#"{"\ud800":1,"\\ud800":2}"#).is_ok());
    }

    #[test]
    fn a_duplicate_key_among_thousands_is_refused() {
        let keys = |n: usize| {
            (0..n).map(|i| format!("\"some-longer-key-{i}-tail\":{i}")).collect::<Vec<_>>().join(",")
        };
        assert!(scan(&format!("{{{}}}", keys(5000))).is_ok());
        let text = format!("{{\"x\":{{{},\"some-longer-key-7-tail\":0}}}}", keys(5000));
        assert!(matches!(scan(&text), Err(JsonError::DuplicateKey(_))));
    }

    #[test]
    fn what_no_cluster_reads_is_too_deep() {
        let nested = |depth| format!("{{\"a\":{}1{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(scan(&nested(MAX_DEPTH - 1)).is_ok());
        assert!(matches!(scan(&nested(MAX_DEPTH)), Err(JsonError::TooDeep(_))));
        assert!(matches!(scan(&nested(200_000)), Err(JsonError::TooDeep(_))));
    }

    #[test]
    fn members_of_an_object_of_any_depth_are_found() {
        let deep = format!("{}1{}", "[".repeat(200_000), "]".repeat(200_000));
        let text = format!("{{ \"time\":1,\"a\":{deep}, \"t\\u0069me\" : 2 }}");
        let mut scanner = ObjectScanner::default();
        scanner.scan_members(text.as_bytes(), &NameTable::new(["time"])).unwrap();
        let values: Vec<_> = scanner.members().iter().map(|m| text.get(m.value.clone()).unwrap()).collect();
        assert_eq!(values, ["2"], "the last one of a name counts");
        for text in ["{}x", "{\"a\"}", "{\"a\":1", "[]", "{\"a\":1,}"] {
            assert!(scanner.scan_members(text.as_bytes(), &NameTable::default()).is_err(), "{text}");
        }
        assert_eq!(scanner.scan_members(b" {} ", &NameTable::default()), Ok(()));
    }

    #[test]
    fn texts_of_exact_fields_are_found_at_any_depth_if_they_have_words() {
        let text = r#"{"id":"customer 42","name":"a b","o":{"lastSeenAt":[["gate 7"],"x"],"userId":"u-1"},
            "order\u0049d":"a\tb","x":{"y":1},"time":"on Monday","at":"c d","dueDate":"2026-03-01 10:00:00"}"#;
        let mut scanner = ObjectScanner::default();
        scanner.scan(text.as_bytes(), &NameTable::default()).unwrap();
        let found: Vec<_> = scanner.exact_texts().iter().map(|it| text.get(it.clone()).unwrap()).collect();
        assert_eq!(
            found,
            [r#""customer 42""#, r#""gate 7""#, r#""a\tb""#, r#""on Monday""#, r#""2026-03-01 10:00:00""#]
        );
        scanner.scan(b"{}", &NameTable::default()).unwrap();
        assert_eq!(scanner.exact_texts(), []);
    }

    #[test]
    fn anything_but_one_object_is_refused() {
        for text in ["[]", "1", "\"a\"", "null", "true"] {
            assert_eq!(scan(text), Err(JsonError::NotAnObject), "{text}");
        }
        assert_eq!(scan(""), Err(JsonError::End(0)));
        assert_eq!(scan("{} x"), Err(JsonError::Trailing(3)));
    }
}
