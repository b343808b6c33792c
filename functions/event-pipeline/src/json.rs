//! Reads and validates JSON text in place, without building a tree.
//!
//! Why not a parser crate: the hot path needs three things in one pass over each payload, and no crate has them all:
//! RFC 8259 validation, the byte positions of a few top-level members, and the detection of duplicate keys at any depth,
//! which OpenSearch and Elasticsearch refuse (`object.rs`). `benches/pipeline.rs` measures what that saves.

use std::ops::Range;

use thiserror::Error;

use crate::bit_stack::BitStack;
use crate::exact_field::LONGEST_WORD;
use crate::json_string::{RawString, next_string_stop, next_string_stop_and_others};

/// Says why the cluster would not accept a text as JSON. Positions are bytes from the start of the text.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum JsonError {
    /// The text ends inside a value.
    #[error("JSON text ends early at byte {0}")]
    End(usize),
    /// The grammar (RFC 8259) does not allow this byte here.
    #[error("unexpected byte at {0} of JSON text")]
    Unexpected(usize),
    /// The value is followed by more than white space.
    #[error("unexpected text after the JSON value at byte {0}")]
    Trailing(usize),
    /// Objects and arrays are nested deeper than any cluster reads.
    #[error("JSON text is nested too deep at byte {0}")]
    TooDeep(usize),
    /// An object has a duplicate key, which the cluster refuses.
    #[error("duplicate key at byte {0} of JSON text")]
    DuplicateKey(usize),
    /// The text is longer than any event.
    #[error("JSON text is longer than 4 GiB")]
    TooLong,
    /// The text is not an object.
    #[error("JSON text is not an object")]
    NotAnObject,
}

/// Reads JSON text from left to right. Every method leaves the position behind what it read.
#[derive(Debug, Clone)]
pub struct Scanner<'a> {
    pub(crate) text: &'a [u8],
    pub(crate) pos: usize,
    /// Whether the white space read so far has a line end.
    pub(crate) newlines: bool,
}

impl<'a> Scanner<'a> {
    /// Starts at the first byte of `text`.
    pub fn new(text: &'a [u8]) -> Self {
        Self { text, pos: 0, newlines: false }
    }

    /// Position of the next byte to read.
    pub fn position(&self) -> usize {
        self.pos
    }

    /// Moves to a position that [`Scanner::position`] returned.
    pub fn seek(&mut self, pos: usize) {
        self.pos = pos;
    }

    /// The bytes that were not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.text.get(self.pos..).unwrap_or_default()
    }

    /// The bytes in `range`, which this scanner must have read.
    pub fn slice(&self, range: Range<usize>) -> &'a [u8] {
        self.text.get(range).unwrap_or_default()
    }

    /// Skips white space and returns the next byte without reading it.
    #[inline(always)]
    pub fn peek(&mut self) -> Result<u8, JsonError> {
        if let Some(byte) = self.text.get(self.pos)
            && *byte > b' '
        {
            return Ok(*byte);
        }
        // The position is not lent, so that it stays in a register.
        let (pos, newlines) = skip_white_space(self.text, self.pos);
        self.pos = pos;
        self.newlines |= newlines;
        self.text.get(pos).copied().ok_or(JsonError::End(pos))
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

    /// Skips white space and reads `byte` if it is next; returns whether it was.
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
                    return Ok(RawString::new(bytes, escaped));
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

    /// Reads a string whose opening quote was read, and returns whether it may have words: an escape may stand for white space.
    #[inline(always)]
    pub(crate) fn words_after_quote(&mut self) -> Result<bool, JsonError> {
        let start = self.pos;
        let (stop, has_others) = next_string_stop_and_others(self.text, start);
        if self.text.get(stop) == Some(&b'"') {
            self.pos = stop + 1;
            return Ok(has_others || stop - start > LONGEST_WORD);
        }
        // An escape, or no string.
        self.string_after_quote().map(|_| true)
    }

    /// Reads a string that is long and hardly ever has escapes, such as base64, at memory speed.
    pub fn long_string(&mut self) -> Result<RawString<'a>, JsonError> {
        self.expect(b'"')?;
        let rest = self.text.get(self.pos..).unwrap_or_default();
        match memchr::memchr2(b'"', b'\\', rest) {
            Some(len) if rest.get(len) == Some(&b'"') => {
                let bytes = self.slice(self.pos..self.pos + len);
                if has_control_character(bytes) {
                    return self.string_after_quote();
                }
                self.pos += len + 1;
                Ok(RawString::new(bytes, false))
            }
            Some(_) => self.string_after_quote(),
            None => Err(JsonError::End(self.text.len())),
        }
    }

    /// Reads an array at memory speed, looking at nothing but brackets and strings, and returns its range. Does not
    /// validate what is between them: the reader of the elements does.
    pub fn unvalidated_array(&mut self) -> Result<Range<usize>, JsonError> {
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

    /// Reads a whole number, written as a JSON number or in a string. Reads any other value too, as `None`.
    pub fn whole_number(&mut self) -> Result<Option<i64>, JsonError> {
        self.peek()?;
        let digits = self.text.get(self.pos..).unwrap_or_default().iter().take(18);
        let (mut number, mut len) = (0, 0);
        for digit in digits.take_while(|byte| byte.is_ascii_digit()) {
            number = number * 10 + i64::from(digit - b'0');
            len += 1;
        }
        let has_leading_zero = len > 1 && self.text.get(self.pos) == Some(&b'0');
        if len > 0 && !has_leading_zero && matches!(self.text.get(self.pos + len), Some(b',' | b'}' | b']')) {
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

    /// Reads a value that is neither an object nor an array; `first` is its first byte, which [`Scanner::peek`] returned.
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

    /// Reads and validates any value, and returns its range.
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
        // Whether each open level is an object. There is no recursion, so memory limits the depth, not the stack.
        let mut levels = BitStack::default();
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
                let Some(in_object) = levels.top() else { return Ok(()) };
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

    /// Reads an object. Calls `member` with each key, and `member` must read the value from the scanner.
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

    /// Reads an array. Calls `element` before each element, and `element` must read it from the scanner.
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

/// Whether there is a character that a JSON string can hold only as an escape. A fold over blocks, because it is vectorised
/// where a search byte by byte is not; the last block overlaps the one before, which is quicker than a rest.
fn has_control_character(bytes: &[u8]) -> bool {
    let Some(last) = bytes.last_chunk::<32>() else { return bytes.iter().any(|byte| *byte < 0x20) };
    let (blocks, _) = bytes.as_chunks::<32>();
    let least = blocks.iter().fold(*last, |mut least, block| {
        least.iter_mut().zip(block).for_each(|(least, byte)| *least = (*least).min(*byte));
        least
    });
    least.iter().fold(u8::MAX, |least, byte| least.min(*byte)) < 0x20
}

/// Position behind the white space that begins at `pos`, and whether there are line ends in it.
#[inline(never)]
fn skip_white_space(text: &[u8], mut pos: usize) -> (usize, bool) {
    let mut newlines = false;
    while let Some(byte @ (b' ' | b'\t' | b'\n' | b'\r')) = text.get(pos) {
        newlines |= matches!(byte, b'\n' | b'\r');
        pos += 1;
    }
    (pos, newlines)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_is_bounded_by_its_brackets_outside_strings() {
        let text = br#"[{"a]":[1,2]},{"b\"[":[]}] ,7"#;
        assert_eq!(Scanner::new(text).unvalidated_array(), Ok(0..text.len() - 3));
        assert_eq!(Scanner::new(br#"[{"a":"]"#).unvalidated_array(), Err(JsonError::End(8)));
    }
}
