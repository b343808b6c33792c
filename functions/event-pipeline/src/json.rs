//! Reads JSON text in place, validating it, without a tree.
//!
//! Why not a parser crate: the hot path needs three things in one pass over each payload that no crate gives
//! together: RFC 8259 validation, the byte positions of a few top-level members, and the duplicate keys at every
//! depth that OpenSearch and Elasticsearch refuse (`object.rs`). `benches/pipeline.rs` shows what that saves.

use std::ops::Range;

use thiserror::Error;

use crate::json_string::{RawString, next_string_stop};

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

/// Reads JSON text from left to right. Every method leaves the position after what it read.
#[derive(Debug, Clone)]
pub struct Scanner<'a> {
    pub(crate) text: &'a [u8],
    pub(crate) pos: usize,
    /// Whether white space with line ends was read.
    pub(crate) newlines: bool,
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

    /// Reads a string known to be long and almost surely without escapes, such as base64, at memory speed.
    /// Its content is not validated: whoever decodes it does that.
    pub fn long_string(&mut self) -> Result<RawString<'a>, JsonError> {
        self.expect(b'"')?;
        let rest = self.text.get(self.pos..).unwrap_or_default();
        match memchr::memchr2(b'"', b'\\', rest) {
            Some(len) if rest.get(len) == Some(&b'"') => {
                let bytes = self.slice(self.pos..self.pos + len);
                self.pos += len + 1;
                Ok(RawString::new(bytes, false))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_is_bounded_by_its_brackets_outside_strings() {
        let text = br#"[{"a]":[1,2]},{"b\"[":[]}] ,7"#;
        assert_eq!(Scanner::new(text).array_unread(), Ok(0..text.len() - 3));
        assert_eq!(Scanner::new(br#"[{"a":"]"#).array_unread(), Err(JsonError::End(8)));
    }
}
