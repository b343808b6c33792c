//! Reads the JSON text of a payload into VRL's tree, within bounds of depth and memory.
//!
//! Not `serde_json`: it rounds numbers of more than 64 bits, refuses unpaired surrogates, and knows no bound of memory.

use bytes::Bytes;
use thiserror::Error;
use vrl::value::{KeyString, ObjectMap, Value};

use crate::digits::{BYTES_A_NUMBER, Digits};
use crate::limits::{MAX_DEPTH, MAX_TREE_BYTES};
use crate::path_hash::Place;
use crate::surrogates;

/// Why a payload can't be read for a script.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadError {
    #[error("payload is not UTF-8")]
    NotUtf8,
    #[error("payload is not JSON at byte {0}")]
    NotJson(usize),
    #[error("payload is not an object")]
    NotAnObject,
    #[error("payload has a duplicate key at byte {0}")]
    DuplicateKey(usize),
    #[error("payload has a name with an unpaired surrogate at byte {0}, which VRL's names can't hold")]
    UnpairedName(usize),
    #[error("payload is too large to transform: its tree takes more than {} MiB", MAX_TREE_BYTES >> 20)]
    TooLarge,
    #[error("payload is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
}

/// Reads a payload, which must be a JSON object. Its numbers that are no 64-bit integers are kept in `digits`.
///
/// # Errors
/// [`ReadError`] for what is no JSON object, and for one beyond the limits.
pub(crate) fn read_payload<'a>(payload: &'a [u8], digits: &mut Digits<'a>) -> Result<Value, ReadError> {
    let text = str::from_utf8(payload).map_err(|_| ReadError::NotUtf8)?;
    let shared = Bytes::copy_from_slice(payload);
    let mut reader = Reader { text, shared, pos: 0, left: MAX_TREE_BYTES, digits };
    reader.white();
    if reader.peek() != Some(b'{') {
        return Err(if reader.peek().is_some() { ReadError::NotAnObject } else { reader.not_json() });
    }
    let value = reader.value(&Place::Root, MAX_DEPTH)?;
    reader.white();
    if reader.pos < text.len() {
        return Err(reader.not_json());
    }
    digits.sort(payload);
    Ok(value)
}

/// What a value takes within an array: the array doubles when it is full.
const ELEMENT: usize = 2 * size_of::<Value>();
/// What one node of an object's B-tree takes: room for eleven members, twelve children and their places.
const NODE: usize = 11 * (size_of::<KeyString>() + size_of::<Value>()) + 12 * 8 + 16;
/// What a further member takes: a node is at least half full but for the first.
const MEMBER: usize = NODE / 5;
/// What the allocator adds to a string.
const STRING: usize = 32;

struct Reader<'a, 'd> {
    text: &'a str,
    /// The payload again, of which strings without escapes are slices.
    shared: Bytes,
    pos: usize,
    /// Bytes that the tree may still take.
    left: usize,
    digits: &'d mut Digits<'a>,
}

/// A string of the payload.
enum Text<'a> {
    /// Without escapes: from and to.
    Plain(usize, &'a str),
    /// With the escapes resolved. Surrogates are as `surrogates.rs` says.
    Escaped(Vec<u8>),
}

impl<'a> Reader<'a, '_> {
    fn value(&mut self, place: &Place<'_>, depth: usize) -> Result<Value, ReadError> {
        match self.peek() {
            Some(b'{') => self.object(place, depth),
            Some(b'[') => self.array(place, depth),
            Some(b'"') => Ok(match self.string()? {
                Text::Plain(start, text) => {
                    Value::Bytes(self.shared.slice(start..start.saturating_add(text.len())))
                }
                Text::Escaped(bytes) => {
                    self.take(bytes.capacity().saturating_add(STRING))?;
                    Value::Bytes(Bytes::from(bytes))
                }
            }),
            Some(b'-' | b'0'..=b'9') => self.number(place),
            Some(b't') => self.word("true", Value::Boolean(true)),
            Some(b'f') => self.word("false", Value::Boolean(false)),
            Some(b'n') => self.word("null", Value::Null),
            _ => Err(self.not_json()),
        }
    }

    fn object(&mut self, place: &Place<'_>, depth: usize) -> Result<Value, ReadError> {
        let depth = depth.checked_sub(1).ok_or(ReadError::TooDeep)?;
        let mut members = ObjectMap::new();
        self.pos += 1;
        self.white();
        if self.next_is(b'}') {
            return Ok(Value::Object(members));
        }
        loop {
            self.white();
            let start = self.pos;
            let name = match self.string()? {
                Text::Plain(_, text) => KeyString::from(text),
                Text::Escaped(bytes) => {
                    String::from_utf8(bytes).map_err(|_| ReadError::UnpairedName(start))?.into()
                }
            };
            let node = if members.is_empty() { NODE } else { MEMBER };
            self.take(node.saturating_add(name.len()).saturating_add(STRING))?;
            self.white();
            self.expect(b':')?;
            self.white();
            let value = self.value(&Place::Member(place, name.as_str()), depth)?;
            if members.insert(name, value).is_some() {
                return Err(ReadError::DuplicateKey(start));
            }
            self.white();
            if self.next_is(b'}') {
                return Ok(Value::Object(members));
            }
            self.expect(b',')?;
        }
    }

    fn array(&mut self, place: &Place<'_>, depth: usize) -> Result<Value, ReadError> {
        let depth = depth.checked_sub(1).ok_or(ReadError::TooDeep)?;
        let mut elements = Vec::new();
        self.pos += 1;
        self.white();
        if self.next_is(b']') {
            return Ok(Value::Array(elements));
        }
        // The smallest allocation has room for four.
        self.take(4 * ELEMENT)?;
        loop {
            self.take(ELEMENT)?;
            self.white();
            elements.push(self.value(&Place::Element(place, elements.len()), depth)?);
            self.white();
            if self.next_is(b']') {
                return Ok(Value::Array(elements));
            }
            self.expect(b',')?;
        }
    }

    fn number(&mut self, place: &Place<'_>) -> Result<Value, ReadError> {
        let start = self.pos;
        self.next_is(b'-');
        if !self.next_is(b'0') {
            self.digits()?;
        }
        let mut whole = true;
        if self.next_is(b'.') {
            whole = false;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            whole = false;
            self.pos += 1;
            if !self.next_is(b'-') {
                self.next_is(b'+');
            }
            self.digits()?;
        }
        let text = self.text.get(start..self.pos).unwrap_or_default();
        if whole
            && text != "-0"
            && let Ok(integer) = text.parse()
        {
            return Ok(Value::Integer(integer));
        }
        self.take(BYTES_A_NUMBER)?;
        let double: f64 = text.parse().map_err(|_| ReadError::NotJson(start))?;
        self.digits.keep(double, text, place);
        Ok(Value::from_f64_or_zero(double))
    }

    fn digits(&mut self) -> Result<(), ReadError> {
        let start = self.pos;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.pos += 1;
        }
        if self.pos == start { Err(self.not_json()) } else { Ok(()) }
    }

    fn string(&mut self) -> Result<Text<'a>, ReadError> {
        self.expect(b'"')?;
        let start = self.pos;
        let plain = self.plain();
        if self.next_is(b'"') {
            return Ok(Text::Plain(start, plain));
        }
        let mut bytes = plain.as_bytes().to_vec();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.pos += 1;
                    return Ok(Text::Escaped(bytes));
                }
                Some(b'\\') => {
                    self.pos += 1;
                    self.escape(&mut bytes)?;
                }
                _ => return Err(self.not_json()),
            }
            bytes.extend(self.plain().as_bytes());
        }
    }

    /// Reads up to a quote, an escape or what a string must not have.
    fn plain(&mut self) -> &'a str {
        let start = self.pos;
        let rest = self.text.as_bytes().get(start..).unwrap_or_default();
        let length =
            rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1F)).unwrap_or(rest.len());
        self.pos += length;
        self.text.get(start..self.pos).unwrap_or_default()
    }

    fn escape(&mut self, bytes: &mut Vec<u8>) -> Result<(), ReadError> {
        let Some(kind) = self.peek() else { return Err(self.not_json()) };
        let escaped = match kind {
            b'"' | b'\\' | b'/' => kind,
            b'b' => 0x08,
            b'f' => 0x0C,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                self.pos += 1;
                return self.unicode_escape(bytes);
            }
            _ => return Err(self.not_json()),
        };
        self.pos += 1;
        bytes.push(escaped);
        Ok(())
    }

    fn unicode_escape(&mut self, bytes: &mut Vec<u8>) -> Result<(), ReadError> {
        let unit = self.hex()?;
        let mut units = [unit, 0];
        let mut used = 1;
        let after = self.pos;
        if (0xD800..=0xDBFF).contains(&unit) && self.next_is(b'\\') && self.next_is(b'u') {
            let low = self.hex()?;
            if (0xDC00..=0xDFFF).contains(&low) {
                units = [unit, low];
                used = 2;
            }
        }
        if used == 1 {
            self.pos = after;
        }
        for character in char::decode_utf16(units.into_iter().take(used)) {
            match character {
                Ok(character) => bytes.extend(character.encode_utf8(&mut [0; 4]).as_bytes()),
                Err(unpaired) => surrogates::push(unpaired.unpaired_surrogate(), bytes),
            }
        }
        Ok(())
    }

    fn hex(&mut self) -> Result<u16, ReadError> {
        let digits = self.text.as_bytes().get(self.pos..self.pos.saturating_add(4));
        let text = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let unit = text
            .and_then(|text| str::from_utf8(text).ok())
            .and_then(|text| u16::from_str_radix(text, 16).ok());
        let unit = unit.ok_or_else(|| self.not_json())?;
        self.pos += 4;
        Ok(unit)
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, ReadError> {
        if !self.text.as_bytes().get(self.pos..).is_some_and(|rest| rest.starts_with(word.as_bytes())) {
            return Err(self.not_json());
        }
        self.pos += word.len();
        Ok(value)
    }

    /// Counts what the tree takes.
    fn take(&mut self, bytes: usize) -> Result<(), ReadError> {
        self.left = self.left.checked_sub(bytes).ok_or(ReadError::TooLarge)?;
        Ok(())
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.pos).copied()
    }

    fn next_is(&mut self, byte: u8) -> bool {
        let is = self.peek() == Some(byte);
        self.pos += usize::from(is);
        is
    }

    fn expect(&mut self, byte: u8) -> Result<(), ReadError> {
        if self.next_is(byte) { Ok(()) } else { Err(self.not_json()) }
    }

    fn white(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.pos += 1;
        }
    }

    fn not_json(&self) -> ReadError {
        ReadError::NotJson(self.pos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Result<Value, ReadError> {
        read_payload(text, &mut Digits::default())
    }

    #[test]
    fn a_nodes_size_is_counted_as_it_is() {
        // A value with more bytes would make the bound on memory wrong.
        assert_eq!((size_of::<Value>(), NODE), (40, 816));
    }

    #[test]
    fn what_is_no_json_object_is_an_error() {
        let cases: [(&[u8], ReadError); 22] = [
            (b"", ReadError::NotJson(0)),
            (b"[]", ReadError::NotAnObject),
            (b"1", ReadError::NotAnObject),
            (b"{", ReadError::NotJson(1)),
            (b"{}x", ReadError::NotJson(2)),
            (b"{\"a\"}", ReadError::NotJson(4)),
            (b"{\"a\":}", ReadError::NotJson(5)),
            (b"{\"a\":1,}", ReadError::NotJson(7)),
            (b"{\"a\":[1,]}", ReadError::NotJson(8)),
            (b"{\"a\":01}", ReadError::NotJson(6)),
            (b"{\"a\":1.}", ReadError::NotJson(7)),
            (b"{\"a\":1e}", ReadError::NotJson(7)),
            (b"{\"a\":-}", ReadError::NotJson(6)),
            (b"{\"a\":+1}", ReadError::NotJson(5)),
            (b"{\"a\":\"\n\"}", ReadError::NotJson(6)),
            (b"{\"a\":\"\\x\"}", ReadError::NotJson(7)),
            (b"{\"a\":\"\\u12g4\"}", ReadError::NotJson(8)),
            (b"{\"a\":tru}", ReadError::NotJson(5)),
            (b"{\"a\":1,\"\\u0061\":2}", ReadError::DuplicateKey(7)),
            (b"{\"\\udc00\":1}", ReadError::UnpairedName(1)),
            (b"{\"a\":\"\xff\"}", ReadError::NotUtf8),
            (b"{\"a\":\"\\ud800\\u00\"}", ReadError::NotJson(14)),
        ];
        for (text, error) in cases {
            assert_eq!(read(text), Err(error), "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
        assert!(read(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert_eq!(read(nested(MAX_DEPTH + 1).as_bytes()), Err(ReadError::TooDeep));
        assert_eq!(read("[{\"a\":".repeat(1_000_000).split_at(1).1.as_bytes()), Err(ReadError::TooDeep));
    }
}
