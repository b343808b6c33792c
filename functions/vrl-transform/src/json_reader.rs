//! Reads the JSON text of a payload into VRL's tree, within bounds of depth and memory.
//!
//! With the pipeline's scanner, not `serde_json`: that rounds numbers of more than 64 bits, refuses unpaired surrogates, and knows
//! no bound of memory.

use std::borrow::Cow;

use bytes::Bytes;
use event_pipeline::json::{JsonError, Scanner};
use thiserror::Error;
use vrl::value::{KeyString, ObjectMap, Value};

use crate::digits::{BYTES_A_NUMBER, Digits};
use crate::limits::{MAX_DEPTH, MAX_TREE_BYTES};
use crate::path_hash::Place;

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

impl From<JsonError> for ReadError {
    fn from(error: JsonError) -> Self {
        match error {
            JsonError::End(place)
            | JsonError::Unexpected(place)
            | JsonError::Trailing(place)
            | JsonError::DuplicateKey(place) => Self::NotJson(place),
            JsonError::TooDeep(_) => Self::TooDeep,
            JsonError::TooLong => Self::TooLarge,
            JsonError::NotAnObject => Self::NotAnObject,
        }
    }
}

/// Reads a payload, which must be a JSON object. Its numbers that are no 64-bit integers are kept in `digits`.
///
/// # Errors
/// [`ReadError`] for what is no JSON object, and for one beyond the limits.
pub(crate) fn read_payload<'a>(payload: &'a [u8], digits: &mut Digits<'a>) -> Result<Value, ReadError> {
    let text = str::from_utf8(payload).map_err(|_| ReadError::NotUtf8)?;
    let shared = Bytes::copy_from_slice(payload);
    let mut reader = Reader { text, shared, scanner: Scanner::new(payload), left: MAX_TREE_BYTES, digits };
    if reader.scanner.peek()? != b'{' {
        return Err(ReadError::NotAnObject);
    }
    let value = reader.value(&Place::Root, MAX_DEPTH)?;
    reader.scanner.end()?;
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
    scanner: Scanner<'a>,
    /// Bytes that the tree may still take.
    left: usize,
    digits: &'d mut Digits<'a>,
}

impl Reader<'_, '_> {
    fn value(&mut self, place: &Place<'_>, depth: usize) -> Result<Value, ReadError> {
        match self.scanner.peek()? {
            b'{' => self.object(place, depth),
            b'[' => self.array(place, depth),
            b'"' => {
                let start = self.scanner.position() + 1;
                // The bytes of unpaired surrogates are as `surrogates.rs` says.
                match self.scanner.string()?.unescape() {
                    Cow::Borrowed(bytes) => {
                        Ok(Value::Bytes(self.shared.slice(start..start.saturating_add(bytes.len()))))
                    }
                    Cow::Owned(bytes) => {
                        self.take(bytes.capacity().saturating_add(STRING))?;
                        Ok(Value::Bytes(Bytes::from(bytes)))
                    }
                }
            }
            first => self.number_or_word(first, place),
        }
    }

    fn object(&mut self, place: &Place<'_>, depth: usize) -> Result<Value, ReadError> {
        let depth = depth.checked_sub(1).ok_or(ReadError::TooDeep)?;
        let mut members = ObjectMap::new();
        self.scanner.expect(b'{')?;
        if self.scanner.take(b'}')? {
            return Ok(Value::Object(members));
        }
        loop {
            self.scanner.peek()?;
            let start = self.scanner.position();
            let name = match self.scanner.string()?.unescape() {
                Cow::Borrowed(bytes) => {
                    let name = self.text.get(start + 1..start + 1 + bytes.len());
                    KeyString::from(name.unwrap_or_default())
                }
                Cow::Owned(bytes) => {
                    String::from_utf8(bytes).map_err(|_| ReadError::UnpairedName(start))?.into()
                }
            };
            let node = if members.is_empty() { NODE } else { MEMBER };
            self.take(node.saturating_add(name.len()).saturating_add(STRING))?;
            self.scanner.expect(b':')?;
            let value = self.value(&Place::Member(place, name.as_str()), depth)?;
            if members.insert(name, value).is_some() {
                return Err(ReadError::DuplicateKey(start));
            }
            if !self.scanner.take(b',')? {
                self.scanner.expect(b'}')?;
                return Ok(Value::Object(members));
            }
        }
    }

    fn array(&mut self, place: &Place<'_>, depth: usize) -> Result<Value, ReadError> {
        let depth = depth.checked_sub(1).ok_or(ReadError::TooDeep)?;
        let mut elements = Vec::new();
        self.scanner.expect(b'[')?;
        if self.scanner.take(b']')? {
            return Ok(Value::Array(elements));
        }
        // The smallest allocation has room for four.
        self.take(4 * ELEMENT)?;
        loop {
            self.take(ELEMENT)?;
            elements.push(self.value(&Place::Element(place, elements.len()), depth)?);
            if !self.scanner.take(b',')? {
                self.scanner.expect(b']')?;
                return Ok(Value::Array(elements));
            }
        }
    }

    fn number_or_word(&mut self, first: u8, place: &Place<'_>) -> Result<Value, ReadError> {
        let range = self.scanner.value()?;
        let start = range.start;
        match first {
            b't' => return Ok(Value::Boolean(true)),
            b'f' => return Ok(Value::Boolean(false)),
            b'n' => return Ok(Value::Null),
            _ => {}
        }
        let text = self.text.get(range).unwrap_or_default();
        if text != "-0"
            && let Ok(integer) = text.parse()
        {
            return Ok(Value::Integer(integer));
        }
        self.take(BYTES_A_NUMBER)?;
        let double: f64 = text.parse().map_err(|_| ReadError::NotJson(start))?;
        self.digits.keep(double, text, place);
        Ok(Value::from_f64_or_zero(double))
    }

    /// Counts what the tree takes.
    fn take(&mut self, bytes: usize) -> Result<(), ReadError> {
        self.left = self.left.checked_sub(bytes).ok_or(ReadError::TooLarge)?;
        Ok(())
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
