//! JSON strings as they are written in a text, and the search for their end.

use std::borrow::Cow;

/// A JSON string as it is written in the text, without its quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawString<'a> {
    bytes: &'a [u8],
    escaped: bool,
}

impl<'a> RawString<'a> {
    pub(crate) fn new(bytes: &'a [u8], escaped: bool) -> Self {
        Self { bytes, escaped }
    }

    /// The string's bytes; `None` when it has escapes, because then its bytes are not its text.
    #[inline]
    pub fn plain(&self) -> Option<&'a [u8]> {
        (!self.escaped).then_some(self.bytes)
    }

    /// Returns the string's text, its escapes resolved. Borrows when there are none, else allocates.
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
            // An unpaired surrogate escape is valid JSON but not valid text: the string is used as written.
            Err(_) => Cow::Borrowed(self.bytes),
        }
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

/// Whether a byte of `text` is white space, a control character or part of a character beyond ASCII.
#[inline(always)]
pub(crate) fn has_other_than_visible_ascii(text: &[u8]) -> bool {
    let (words, rest) = text.as_chunks::<8>();
    let others = |word: u64| (word.wrapping_sub(ONES * 0x21) | word) & HIGHS;
    words.iter().fold(0, |found, word| found | others(u64::from_le_bytes(*word))) != 0
        || rest.iter().any(|byte| *byte <= b' ' || !byte.is_ascii())
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
