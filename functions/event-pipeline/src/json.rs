//! Reads JSON text in place, validating it, without a tree.
//!
//! Why not a parser crate: the hot path needs three things in one pass over each payload that no crate gives
//! together: RFC 8259 validation, the byte positions of a few top-level members, and the duplicate keys at every
//! depth that OpenSearch and Elasticsearch refuse (`object.rs`). `benches/pipeline.rs` shows what that saves.

use std::borrow::Cow;
use std::ops::Range;

use thiserror::Error;

/// Says why a text is not JSON that the cluster would take. Positions are bytes from the start of the text.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum JsonError {
    /// The text ends inside a value.
    #[error("JSON text ends early at byte {0}")]
    End(usize),
    /// A byte that the grammar (RFC 8259) does not allow there.
    #[error("unexpected byte at {0} of JSON text")]
    Unexpected(usize),
    /// Something other than white space follows the value.
    #[error("JSON text goes on after its value at byte {0}")]
    Trailing(usize),
    /// An object has the same key twice; the cluster refuses such a document.
    #[error("JSON object has the key at byte {0} twice")]
    DuplicateKey(usize),
    /// The text is not an object.
    #[error("JSON text is not an object")]
    NotAnObject,
}

/// A JSON string as it stands in the text, without its quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawString<'a> {
    pub(crate) bytes: &'a [u8],
    escaped: bool,
}

impl<'a> RawString<'a> {
    /// The string's bytes as they stand; `None` when it has escapes, so that they are not what it means.
    #[inline]
    pub fn plain(&self) -> Option<&'a [u8]> {
        (!self.escaped).then_some(self.bytes)
    }

    /// Returns the string's bytes with its escapes resolved; borrowed when it has none.
    pub fn unescape(&self) -> Cow<'a, [u8]> {
        if let Some(bytes) = self.plain() {
            return Cow::Borrowed(bytes);
        }
        let mut quoted = Vec::with_capacity(self.bytes.len() + 2);
        quoted.push(b'"');
        quoted.extend_from_slice(self.bytes);
        quoted.push(b'"');
        match serde_json::from_slice::<String>(&quoted) {
            Ok(text) => Cow::Owned(text.into_bytes()),
            // An unpaired surrogate escape is grammatical but stands for no text: it is compared as written.
            Err(_) => Cow::Borrowed(self.bytes),
        }
    }
}

/// Reads JSON text from left to right. Every method leaves the position after what it read.
#[derive(Debug, Clone)]
pub struct Scanner<'a> {
    pub(crate) text: &'a [u8],
    pub(crate) pos: usize,
    /// Whether white space with line ends was read.
    pub(crate) newlines: bool,
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Marks, in the high bit of each byte of `word`, the first byte that ends or interrupts a string: a quote, a
/// backslash or a control character. Bits above the lowest set one can be wrong, as a subtraction borrows upward.
#[inline(always)]
fn string_stops(word: u64) -> u64 {
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let is_quote = quote.wrapping_sub(ONES) & !quote;
    let is_backslash = backslash.wrapping_sub(ONES) & !backslash;
    let is_control = word.wrapping_sub(ONES * 0x20) & !word;
    (is_quote | is_backslash | is_control) & HIGHS
}

impl<'a> Scanner<'a> {
    /// Starts at the first byte of `text`.
    pub fn new(text: &'a [u8]) -> Self {
        Self { text, pos: 0, newlines: false }
    }

    /// Position of the next byte to be read.
    pub fn position(&self) -> usize {
        self.pos
    }

    /// Goes back, or on, to a position that this scanner gave before.
    pub fn seek(&mut self, pos: usize) {
        self.pos = pos;
    }

    /// The bytes of a range that this scanner has read.
    pub fn slice(&self, range: Range<usize>) -> &'a [u8] {
        self.text.get(range).unwrap_or_default()
    }

    /// Skips white space and returns the next byte without reading it.
    #[inline(always)]
    pub fn peek(&mut self) -> Result<u8, JsonError> {
        loop {
            match self.text.get(self.pos) {
                Some(b' ' | b'\t') => self.pos += 1,
                Some(b'\n' | b'\r') => {
                    self.newlines = true;
                    self.pos += 1;
                }
                Some(byte) => return Ok(*byte),
                None => return Err(JsonError::End(self.pos)),
            }
        }
    }

    /// Skips white space and reads `byte`.
    #[inline(always)]
    pub fn expect(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.peek()? != byte {
            return Err(JsonError::Unexpected(self.pos));
        }
        self.pos += 1;
        Ok(())
    }

    /// Skips white space and reads `byte` if it comes next.
    #[inline(always)]
    pub fn take(&mut self, byte: u8) -> Result<bool, JsonError> {
        let found = self.peek()? == byte;
        self.pos += usize::from(found);
        Ok(found)
    }

    /// Fails unless only white space is left.
    pub fn end(&mut self) -> Result<(), JsonError> {
        match self.peek() {
            Err(JsonError::End(_)) => Ok(()),
            _ => Err(JsonError::Trailing(self.pos)),
        }
    }

    /// Reads a string.
    #[inline(always)]
    pub fn string(&mut self) -> Result<RawString<'a>, JsonError> {
        self.expect(b'"')?;
        self.string_after_quote()
    }

    #[inline(always)]
    pub(crate) fn string_after_quote(&mut self) -> Result<RawString<'a>, JsonError> {
        let start = self.pos;
        let mut escaped = false;
        loop {
            self.pos = next_string_stop(self.text, self.pos);
            match self.text.get(self.pos) {
                Some(b'"') => {
                    let bytes = self.slice(start..self.pos);
                    self.pos += 1;
                    return Ok(RawString { bytes, escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    self.pos = escape_end(self.text, self.pos)?;
                }
                Some(_) => return Err(JsonError::Unexpected(self.pos)),
                None => return Err(JsonError::End(self.pos)),
            }
        }
    }

    /// Reads a string known to be long and almost surely without escapes, such as base64, at memory speed.
    /// Its content is not validated: whoever decodes it does that.
    pub fn long_string(&mut self) -> Result<RawString<'a>, JsonError> {
        self.expect(b'"')?;
        let rest = self.text.get(self.pos..).unwrap_or_default();
        match memchr::memchr2(b'"', b'\\', rest) {
            Some(len) if rest.get(len) == Some(&b'"') => {
                let bytes = self.slice(self.pos..self.pos + len);
                self.pos += len + 1;
                Ok(RawString { bytes, escaped: false })
            }
            Some(_) => self.string_after_quote(),
            None => Err(JsonError::End(self.text.len())),
        }
    }

    /// Reads an array by its brackets and strings alone, at memory speed, and returns where it stands. What lies
    /// between them is not validated: whoever reads the elements does that.
    pub fn array_unread(&mut self) -> Result<Range<usize>, JsonError> {
        self.expect(b'[')?;
        let start = self.pos - 1;
        let mut depth = 1;
        while depth > 0 {
            let rest = self.text.get(self.pos..).unwrap_or_default();
            let Some(stop) = memchr::memchr3(b'"', b'[', b']', rest) else {
                return Err(JsonError::End(self.text.len()));
            };
            self.pos += stop;
            match rest.get(stop) {
                Some(b'"') => {
                    self.long_string()?;
                    continue;
                }
                Some(b'[') => depth += 1,
                _ => depth -= 1,
            }
            self.pos += 1;
        }
        Ok(start..self.pos)
    }

    /// Reads an array of bytes, written 0 to 255 or -128 to 127, and appends them to `out`; `false` if the value
    /// that comes next is something else, which is read all the same.
    pub fn byte_array(&mut self, out: &mut Vec<u8>) -> Result<bool, JsonError> {
        let is_array = self.peek()? == b'[';
        let (start, len) = (self.pos, out.len());
        if is_array && self.compact_byte_array(out).is_some() {
            return Ok(true);
        }
        self.pos = start;
        out.truncate(len);
        if !is_array {
            return self.value().map(|_| false);
        }
        let mut all_bytes = true;
        self.array(|scanner| {
            let range = scanner.value()?;
            let number =
                std::str::from_utf8(scanner.slice(range)).ok().and_then(|text| text.parse::<i16>().ok());
            match number {
                Some(number @ -128..=255) => out.push(number as u8),
                _ => all_bytes = false,
            }
            Ok::<_, JsonError>(())
        })?;
        Ok(all_bytes)
    }

    /// [`Scanner::byte_array`] for the form that every encoder writes: no white space, one to three digits. Reads
    /// four characters at a time, as branches on the number of digits are hard to foresee.
    fn compact_byte_array(&mut self, out: &mut Vec<u8>) -> Option<()> {
        let four = |pos: usize| Some(u32::from_le_bytes(*self.text.get(pos..)?.first_chunk::<4>()?));
        let mut pos = self.pos + 1;
        loop {
            let mut word = four(pos)?;
            let negative = word as u8 == b'-';
            if negative {
                pos += 1;
                word = four(pos)?;
            }
            let digits = word ^ 0x3030_3030;
            // The high bit of each byte that is no digit; the lowest such byte is right, whatever carries upward.
            let others = (digits.wrapping_add(0x7676_7676) | digits) & 0x8080_8080;
            let len = others.trailing_zeros() / 8;
            if !(1..=3).contains(&len) {
                return None;
            }
            let [_, hundreds, tens, ones] = (digits << (32 - 8 * len)).to_le_bytes();
            let number = i16::from(hundreds) * 100 + i16::from(tens) * 10 + i16::from(ones);
            if number > if negative { 128 } else { 255 } {
                return None;
            }
            out.push(if negative { -number } else { number } as u8);
            pos += len as usize + 1;
            match self.text.get(pos - 1) {
                Some(b',') => {}
                Some(b']') => break,
                _ => return None,
            }
        }
        self.pos = pos;
        Some(())
    }

    #[inline(always)]
    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.pos;
        while self.text.get(self.pos).is_some_and(u8::is_ascii_digit) {
            self.pos += 1;
        }
        match self.text.get(self.pos) {
            _ if self.pos > start => Ok(()),
            Some(_) => Err(JsonError::Unexpected(self.pos)),
            None => Err(JsonError::End(self.pos)),
        }
    }

    #[inline(always)]
    fn number(&mut self) -> Result<(), JsonError> {
        self.pos += usize::from(self.text.get(self.pos) == Some(&b'-'));
        if self.text.get(self.pos) == Some(&b'0') {
            self.pos += 1;
        } else {
            self.digits()?;
        }
        if self.text.get(self.pos) == Some(&b'.') {
            self.pos += 1;
            self.digits()?;
        }
        if matches!(self.text.get(self.pos), Some(b'e' | b'E')) {
            self.pos += 1;
            self.pos += usize::from(matches!(self.text.get(self.pos), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(())
    }

    /// Reads a whole number, as a JSON number or as a string of one; any other value is read and gives `None`.
    pub fn whole_number(&mut self) -> Result<Option<i64>, JsonError> {
        self.peek()?;
        let digits = self.text.get(self.pos..).unwrap_or_default().iter().take(18);
        let (mut number, mut len) = (0, 0);
        for digit in digits.take_while(|byte| byte.is_ascii_digit()) {
            number = number * 10 + i64::from(digit - b'0');
            len += 1;
        }
        if len > 0 && matches!(self.text.get(self.pos + len), Some(b',' | b'}' | b']')) {
            self.pos += len;
            return Ok(Some(number));
        }
        let range = self.value()?;
        let text = std::str::from_utf8(self.slice(range)).unwrap_or_default();
        Ok(text.trim_matches('"').parse().ok())
    }

    #[inline(always)]
    fn literal(&mut self, word: &[u8]) -> Result<(), JsonError> {
        if !self.text.get(self.pos..).is_some_and(|rest| rest.starts_with(word)) {
            return Err(JsonError::Unexpected(self.pos));
        }
        self.pos += word.len();
        Ok(())
    }

    /// Reads a value that is neither an object nor an array; `first` is its first byte, not yet read.
    #[inline(always)]
    pub(crate) fn scalar(&mut self, first: u8) -> Result<(), JsonError> {
        match first {
            b'"' => {
                self.pos += 1;
                self.string_after_quote().map(|_| ())
            }
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            b'n' => self.literal(b"null"),
            b'-' | b'0'..=b'9' => self.number(),
            _ => Err(JsonError::Unexpected(self.pos)),
        }
    }

    /// Reads any value, validating it, and returns where it stands.
    pub fn value(&mut self) -> Result<Range<usize>, JsonError> {
        let first = self.peek()?;
        let start = self.pos;
        match first {
            b'{' | b'[' => self.container()?,
            _ => self.scalar(first)?,
        }
        Ok(start..self.pos)
    }

    fn container(&mut self) -> Result<(), JsonError> {
        // Whether each open level is an object. No recursion: depth is bounded by memory, not by the stack.
        let mut levels: Vec<bool> = Vec::new();
        loop {
            match self.peek()? {
                b'{' => {
                    self.pos += 1;
                    if !self.take(b'}')? {
                        levels.push(true);
                        self.key_and_colon()?;
                        continue;
                    }
                }
                b'[' => {
                    self.pos += 1;
                    if !self.take(b']')? {
                        levels.push(false);
                        continue;
                    }
                }
                first => self.scalar(first)?,
            }
            loop {
                let Some(in_object) = levels.last().copied() else { return Ok(()) };
                if self.take(b',')? {
                    if in_object {
                        self.key_and_colon()?;
                    }
                    break;
                }
                self.expect(if in_object { b'}' } else { b']' })?;
                levels.pop();
            }
        }
    }

    #[inline(always)]
    fn key_and_colon(&mut self) -> Result<RawString<'a>, JsonError> {
        let key = self.string()?;
        self.expect(b':')?;
        Ok(key)
    }

    /// Reads the object that comes next, handing each key to `member`, which reads the member's value from the
    /// scanner.
    pub fn object<E: From<JsonError>>(
        &mut self,
        mut member: impl FnMut(&mut Self, RawString<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.expect(b'{')?;
        if self.take(b'}')? {
            return Ok(());
        }
        loop {
            let key = self.key_and_colon()?;
            member(self, key)?;
            if !self.take(b',')? {
                return Ok(self.expect(b'}')?);
            }
        }
    }

    /// Reads the array that comes next, calling `element` with the scanner before each element.
    pub fn array<E: From<JsonError>>(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        self.expect(b'[')?;
        if self.take(b']')? {
            return Ok(());
        }
        loop {
            element(self)?;
            if !self.take(b',')? {
                return Ok(self.expect(b']')?);
            }
        }
    }
}

/// Position behind the escape whose backslash is at `pos`.
#[cold]
fn escape_end(text: &[u8], pos: usize) -> Result<usize, JsonError> {
    match text.get(pos + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(pos + 2),
        Some(b'u') => {
            let hex = text.get(pos + 2..pos + 6).ok_or(JsonError::End(text.len()))?;
            if hex.iter().all(u8::is_ascii_hexdigit) {
                Ok(pos + 6)
            } else {
                Err(JsonError::Unexpected(pos + 2))
            }
        }
        Some(_) => Err(JsonError::Unexpected(pos + 1)),
        None => Err(JsonError::End(text.len())),
    }
}

/// Position, from `pos` on, of the first byte that ends or interrupts a string: a quote, a backslash or a control
/// character; the text's length if there is none.
#[inline(always)]
pub(crate) fn next_string_stop(text: &[u8], mut pos: usize) -> usize {
    let (words, _) = text.get(pos..).unwrap_or_default().as_chunks::<8>();
    for word in words {
        let stops = string_stops(u64::from_le_bytes(*word));
        if stops != 0 {
            return pos + stops.trailing_zeros() as usize / 8;
        }
        pos += 8;
    }
    while text.get(pos).is_some_and(|byte| *byte >= 0x20 && *byte != b'"' && *byte != b'\\') {
        pos += 1;
    }
    pos
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::object::{NameTable, ObjectScanner};

    #[test]
    fn byte_arrays_are_read_in_every_form() {
        for (text, expected) in [
            ("[0,255,-1,-128]", Some(&[0, 255, 255, 128][..])),
            ("[]", Some(&[])),
            ("[ 1 ,\n2]", Some(&[1, 2])),
            ("[256]", None),
            ("[-129]", None),
            ("[1.0]", None),
            ("null", None),
            ("[\"a\"]", None),
        ] {
            let (mut out, mut scanner) = (Vec::new(), Scanner::new(text.as_bytes()));
            assert_eq!(scanner.byte_array(&mut out).unwrap().then_some(&out[..]), expected, "{text}");
            assert!(scanner.end().is_ok(), "{text} is read whole");
        }
        assert!(Scanner::new(b"[1,,2]").byte_array(&mut Vec::new()).is_err());
        assert!(
            Scanner::new(b"[1000000000000]").byte_array(&mut Vec::new()).is_ok_and(|all_bytes| !all_bytes)
        );
        assert!(Scanner::new(b"[1").byte_array(&mut Vec::new()).is_err());
    }

    #[test]
    fn an_array_is_bounded_by_its_brackets_outside_strings() {
        let text = br#"[{"a]":[1,2]},{"b\"[":[]}] ,7"#;
        assert_eq!(Scanner::new(text).array_unread(), Ok(0..text.len() - 3));
        assert_eq!(Scanner::new(br#"[{"a":"]"#).array_unread(), Err(JsonError::End(8)));
    }

    fn json_like() -> impl Strategy<Value = String> {
        let tokens = prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"a\"",
            "\"b\"",
            "\"\\u0061\"",
            "\"\\ud800\"",
            "\"\\x\"",
            "\"\t\"",
            "1",
            "-0",
            "01",
            "1.5e+3",
            "1.",
            "-",
            "true",
            "nul",
            "null",
            " ",
            "\n",
            "\"é\"",
            "\"long text with spaces\"",
        ]);
        prop::collection::vec(tokens, 0..14).prop_map(|tokens| tokens.concat())
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(".*", inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    fn accepts(text: &[u8]) -> bool {
        let mut scanner = Scanner::new(text);
        scanner.value().and_then(|_| scanner.end()).is_ok()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn what_serde_json_reads_is_read_and_nothing_else(text in json_like()) {
            let raw: Result<&serde_json::value::RawValue, _> = serde_json::from_str(&text);
            prop_assert_eq!(accepts(text.as_bytes()), raw.is_ok(), "{}", text);
        }

        #[test]
        fn every_value_is_read(value in json_value()) {
            for text in [serde_json::to_string(&value).unwrap(), serde_json::to_string_pretty(&value).unwrap()] {
                prop_assert!(accepts(text.as_bytes()));
                let object = ObjectScanner::default().scan(text.as_bytes(), &NameTable::default());
                prop_assert_eq!(object.is_ok(), value.is_object(), "{}", text);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(text in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = accepts(&text);
            let _ = ObjectScanner::default().scan(&text, &NameTable::new(["a"]));
        }
    }
}
