//! Scans a whole JSON object: validates it, finds some of its members and refuses a key that comes twice.

use std::ops::Range;

use crate::json::{JsonError, Scanner};

/// A top-level member of an object that [`ObjectScanner`] was asked to find.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Number of the name in the table that the scan was given.
    pub name: usize,
    /// Where the key stands, with its quotes.
    pub key: Range<usize>,
    /// Where the value stands.
    pub value: Range<usize>,
}

/// What [`ObjectScanner::scan`] learned of an object besides its members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectShape {
    /// Position of the opening brace.
    pub open: usize,
    /// Position of the closing brace.
    pub close: usize,
    /// Whether white space between the tokens holds line ends, which a bulk body can't.
    pub newlines: bool,
}

/// Scans whole objects, keeping its buffers from one to the next so that a steady stream allocates nothing.
#[derive(Debug, Default)]
pub struct ObjectScanner {
    levels: Vec<Level>,
    /// Hashes of the keys of all open objects, and where those keys stand.
    hashes: Vec<u64>,
    keys: Vec<Key>,
    unescaped: Vec<Vec<u8>>,
    members: Vec<Member>,
}

/// An object or array that is open.
#[derive(Debug, Clone, Copy)]
struct Level {
    is_object: bool,
    /// Where this object's keys begin in `ObjectScanner::keys`.
    first_key: usize,
    /// A bit for each key's hash: a key whose bit is free is new.
    seen: u128,
}

#[derive(Debug, Clone, Copy)]
struct Key {
    start: usize,
    len: usize,
    /// Number in `ObjectScanner::unescaped` when the key as written has escapes.
    unescaped: Option<usize>,
}

/// Objects with more keys than this are checked once, when they close, by sorting their keys.
const CHECK_EACH_KEY: usize = 48;

/// Mixes a key's length, first and last eight bytes; equal hashes are told apart by the bytes.
#[inline(always)]
fn hash_key(key: &[u8]) -> u64 {
    const K: u64 = 0x9e37_79b9_7f4a_7c15;
    let (head, tail) = match (key.first_chunk::<8>(), key.last_chunk::<8>()) {
        (Some(head), Some(tail)) => (u64::from_le_bytes(*head), u64::from_le_bytes(*tail)),
        _ => match (key.first_chunk::<4>(), key.last_chunk::<4>()) {
            (Some(head), Some(tail)) => (u32::from_le_bytes(*head).into(), u32::from_le_bytes(*tail).into()),
            _ => (key.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)), 0),
        },
    };
    let mixed = (head ^ key.len() as u64).wrapping_mul(K) ^ tail.wrapping_mul(K.rotate_left(32));
    mixed ^ mixed >> 29
}

impl ObjectScanner {
    /// Validates that `text` is one JSON object that the cluster can take, and finds its top-level members that
    /// are in `names`. See [`ObjectScanner::members`] for those.
    pub fn scan(&mut self, text: &[u8], names: &NameTable) -> Result<ObjectShape, JsonError> {
        self.clear();
        let mut scanner = Scanner::new(text);
        if scanner.peek()? != b'{' {
            return Err(JsonError::NotAnObject);
        }
        let open = scanner.pos;
        self.walk(&mut scanner, names)?;
        let close = scanner.pos - 1;
        scanner.end()?;
        Ok(ObjectShape { open, close, newlines: scanner.newlines })
    }

    /// The members that the last scan found, in the order of the text.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The member with that number in the table, if the last scan found it.
    pub fn member(&self, name: usize) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }

    /// Forgets what the last scan found.
    pub fn clear(&mut self) {
        self.levels.clear();
        self.hashes.clear();
        self.keys.clear();
        self.unescaped.clear();
        self.members.clear();
    }

    fn walk(&mut self, scanner: &mut Scanner<'_>, names: &NameTable) -> Result<(), JsonError> {
        loop {
            match scanner.peek()? {
                b'{' => {
                    scanner.pos += 1;
                    if !scanner.take(b'}')? {
                        self.levels.push(Level { is_object: true, first_key: self.keys.len(), seen: 0 });
                        self.key(scanner, names)?;
                        continue;
                    }
                }
                b'[' => {
                    scanner.pos += 1;
                    if !scanner.take(b']')? {
                        self.levels.push(Level { is_object: false, first_key: self.keys.len(), seen: 0 });
                        continue;
                    }
                }
                first => scanner.scalar(first)?,
            }
            loop {
                let Some(level) = self.levels.last().copied() else { return Ok(()) };
                // A value has just ended: at the top level it may be one that was asked for.
                if self.levels.len() == 1
                    && let Some(member) = self.members.last_mut()
                    && member.value.end == 0
                {
                    member.value.end = scanner.pos;
                }
                if scanner.take(b',')? {
                    if level.is_object {
                        self.key(scanner, names)?;
                    }
                    break;
                }
                scanner.expect(if level.is_object { b'}' } else { b']' })?;
                self.close(scanner.text, level)?;
            }
        }
    }

    #[inline(always)]
    fn key(&mut self, scanner: &mut Scanner<'_>, names: &NameTable) -> Result<(), JsonError> {
        scanner.expect(b'"')?;
        let start = scanner.pos;
        let raw = scanner.string_after_quote()?;
        let end = scanner.pos;
        scanner.expect(b':')?;
        let unescaped = match raw.plain() {
            Some(_) => None,
            None => {
                self.unescaped.push(raw.unescape().into_owned());
                Some(self.unescaped.len() - 1)
            }
        };
        let key = Key { start, len: raw.bytes.len(), unescaped };
        let name = self.key_bytes(scanner.text, &key);
        let hash = hash_key(name);
        if self.levels.len() == 1
            && let Some(name) = names.find(name)
        {
            scanner.peek()?;
            // The end of the value is not known yet: 0 until `walk` comes to it.
            self.members.push(Member { name, key: start - 1..end, value: scanner.pos..0 });
        }
        let bit = 1 << (hash & 127);
        let level = self.levels.last_mut().expect("a key is read inside an object");
        let first_key = level.first_key;
        let may_be_known = level.seen & bit != 0;
        level.seen |= bit;
        if may_be_known && self.is_known(scanner.text, first_key, hash, &key) {
            return Err(JsonError::DuplicateKey(start));
        }
        self.hashes.push(hash);
        self.keys.push(key);
        Ok(())
    }

    /// Whether the object whose keys begin at `first_key` has `key` already. Large objects are looked at when they
    /// close.
    #[cold]
    fn is_known(&self, text: &[u8], first_key: usize, hash: u64, key: &Key) -> bool {
        let earlier = self.hashes.get(first_key..).unwrap_or_default();
        earlier.len() <= CHECK_EACH_KEY
            && earlier.iter().zip(self.keys.get(first_key..).unwrap_or_default()).any(
                |(other_hash, other)| {
                    *other_hash == hash && self.key_bytes(text, other) == self.key_bytes(text, key)
                },
            )
    }

    fn close(&mut self, text: &[u8], level: Level) -> Result<(), JsonError> {
        self.levels.pop();
        let keys = self.keys.get(level.first_key..).unwrap_or_default();
        if keys.len() > CHECK_EACH_KEY {
            let hashes = self.hashes.get(level.first_key..).unwrap_or_default();
            let mut sorted: Vec<_> =
                hashes.iter().zip(keys).map(|(h, key)| (h, self.key_bytes(text, key), key.start)).collect();
            sorted.sort_unstable();
            for ((hash, name, start), (next_hash, next_name, next_start)) in
                sorted.iter().zip(sorted.iter().skip(1))
            {
                if hash == next_hash && name == next_name {
                    return Err(JsonError::DuplicateKey(*start.max(next_start)));
                }
            }
        }
        self.hashes.truncate(level.first_key);
        self.keys.truncate(level.first_key);
        Ok(())
    }

    fn key_bytes<'t>(&'t self, text: &'t [u8], key: &Key) -> &'t [u8] {
        match key.unescaped {
            Some(number) => self.unescaped.get(number).map(Vec::as_slice).unwrap_or_default(),
            None => text.get(key.start..key.start + key.len).unwrap_or_default(),
        }
    }
}

/// Names to be found among an object's keys; most keys are turned away by their first byte and length alone.
#[derive(Debug, Clone)]
pub struct NameTable {
    names: Vec<String>,
    /// For each first byte, which names begin with it.
    by_first: Vec<NamesOfAByte>,
}

#[derive(Debug, Clone, Default)]
struct NamesOfAByte {
    /// A bit for each length that a name has; the last bit is for all longer ones.
    lengths: u64,
    numbers: Vec<usize>,
}

impl Default for NameTable {
    fn default() -> Self {
        Self { names: Vec::new(), by_first: vec![NamesOfAByte::default(); 256] }
    }
}

impl NameTable {
    /// Makes a table; names are numbered in their order, one that comes again is left out.
    pub fn new<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let mut table = Self::default();
        for name in names {
            if table.find(name.as_bytes()).is_some() {
                continue;
            }
            let first = name.as_bytes().first().copied().unwrap_or_default();
            if let Some(of_first) = table.by_first.get_mut(usize::from(first)) {
                of_first.lengths |= 1 << name.len().min(63);
                of_first.numbers.push(table.names.len());
            }
            table.names.push(name.to_owned());
        }
        table
    }

    /// Number of `key`, if it is in the table.
    #[inline]
    pub fn find(&self, key: &[u8]) -> Option<usize> {
        let first = key.first().copied().unwrap_or_default();
        let of_first = self.by_first.get(usize::from(first))?;
        if of_first.lengths >> key.len().min(63) & 1 == 0 {
            return None;
        }
        let is_key = |number: &usize| self.names.get(*number).is_some_and(|name| name.as_bytes() == key);
        of_first.numbers.iter().copied().find(is_key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(text: &str) -> Result<ObjectShape, JsonError> {
        ObjectScanner::default().scan(text.as_bytes(), &NameTable::default())
    }

    #[test]
    fn members_are_found_with_their_places() {
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
    fn a_key_twice_is_refused_at_every_depth() {
        assert_eq!(scan(r#"{"a":1,"a":2}"#), Err(JsonError::DuplicateKey(8)));
        assert_eq!(scan(r#"{"a":[{"b":1,"c":2,"b":3}]}"#), Err(JsonError::DuplicateKey(20)));
        assert_eq!(scan(r#"{"a":1,"\u0061":2}"#), Err(JsonError::DuplicateKey(8)));
        assert!(scan(r#"{"a":{"a":{"a":1}},"b":{"a":1}}"#).is_ok());
    }

    #[test]
    fn a_key_twice_among_thousands_is_refused() {
        let keys = |n: usize| {
            (0..n).map(|i| format!("\"some-longer-key-{i}-tail\":{i}")).collect::<Vec<_>>().join(",")
        };
        assert!(scan(&format!("{{{}}}", keys(5000))).is_ok());
        let text = format!("{{\"x\":{{{},\"some-longer-key-7-tail\":0}}}}", keys(5000));
        assert!(matches!(scan(&text), Err(JsonError::DuplicateKey(_))));
    }

    #[test]
    fn depth_is_bounded_by_memory_alone() {
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(200_000), "]".repeat(200_000));
        assert!(scan(&deep).is_ok());
    }

    #[test]
    fn only_objects_are_objects() {
        for text in ["[]", "1", "\"a\"", "null", "true"] {
            assert_eq!(scan(text), Err(JsonError::NotAnObject), "{text}");
        }
        assert_eq!(scan(""), Err(JsonError::End(0)));
        assert_eq!(scan("{} x"), Err(JsonError::Trailing(3)));
    }
}
