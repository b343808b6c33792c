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

    /// The first `max_len` bytes of the string or a few more, so that no escape and no character is cut.
    pub(crate) fn beginning(&self, max_len: usize) -> Self {
        let mut end = 0;
        while end < max_len.min(self.bytes.len()) {
            end += match self.bytes.get(end..).unwrap_or_default() {
                // A pair of surrogates can be cut: each is an escape.
                [b'\\', b'u', ..] => 6,
                [b'\\', ..] => 2,
                _ => 1,
            };
        }
        while self.bytes.get(end).is_some_and(|byte| (0x80..0xc0).contains(byte)) {
            end += 1;
        }
        Self { bytes: self.bytes.get(..end).unwrap_or(self.bytes), escaped: self.escaped }
    }

    /// Returns the string's text, its escapes resolved. Borrows when there are none, else allocates.
    ///
    /// An unpaired surrogate escape is valid JSON and a character for the cluster, but has no UTF-8. It becomes the three bytes
    /// that UTF-8 would have for it (WTF-8, <https://simonsapin.github.io/wtf-8/>), so that two strings are the same text
    /// exactly if their bytes are the same.
    pub fn unescape(&self) -> Cow<'a, [u8]> {
        if let Some(bytes) = self.plain() {
            return Cow::Borrowed(bytes);
        }
        let mut text = Vec::with_capacity(self.bytes.len());
        let mut rest = self.bytes;
        while let Some(len) = memchr::memchr(b'\\', rest) {
            let (before, escape) = rest.split_at(len);
            text.extend_from_slice(before);
            rest = append_unescaped(&mut text, escape);
        }
        text.extend_from_slice(rest);
        Cow::Owned(text)
    }
}

/// Appends what the escape at the start of `text` stands for, and returns what follows it. A backslash that begins no escape,
/// which no scanner lets through, stands for itself.
fn append_unescaped<'t>(out: &mut Vec<u8>, text: &'t [u8]) -> &'t [u8] {
    if let Some((unit, rest)) = code_unit(text) {
        return append_code_point(out, unit, rest);
    }
    let (byte, rest) = match text {
        [b'\\', byte @ (b'"' | b'\\' | b'/'), rest @ ..] => (*byte, rest),
        [b'\\', b'b', rest @ ..] => (0x08, rest),
        [b'\\', b'f', rest @ ..] => (0x0c, rest),
        [b'\\', b'n', rest @ ..] => (b'\n', rest),
        [b'\\', b'r', rest @ ..] => (b'\r', rest),
        [b'\\', b't', rest @ ..] => (b'\t', rest),
        [byte, rest @ ..] => (*byte, rest),
        [] => return text,
    };
    out.push(byte);
    rest
}

/// Appends the character that begins with `unit`, and returns what of `rest` follows it.
fn append_code_point<'t>(out: &mut Vec<u8>, unit: u16, rest: &'t [u8]) -> &'t [u8] {
    let (code_point, rest) = match (unit, code_unit(rest)) {
        (0xd800..0xdc00, Some((low @ 0xdc00..0xe000, rest))) => {
            (0x10000 + (u32::from(unit - 0xd800) << 10) + u32::from(low - 0xdc00), rest)
        }
        _ => (u32::from(unit), rest),
    };
    match char::from_u32(code_point) {
        Some(character) => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        // An unpaired surrogate.
        None => out.extend([
            0xe0 | (code_point >> 12) as u8,
            0x80 | (code_point >> 6 & 0x3f) as u8,
            0x80 | (code_point & 0x3f) as u8,
        ]),
    }
    rest
}

/// Reads `\uXXXX` at the start of `text`, and returns what follows.
fn code_unit(text: &[u8]) -> Option<(u16, &[u8])> {
    let (digits, rest) = text.strip_prefix(b"\\u")?.split_at_checked(4)?;
    let digit = |unit: u32, byte: &u8| Some(unit << 4 | char::from(*byte).to_digit(16)?);
    Some((digits.iter().try_fold(0, digit)? as u16, rest))
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

/// Like [`next_string_stop`], and also whether a byte before that position is white space or part of a character beyond ASCII.
#[inline(always)]
pub(crate) fn next_string_stop_and_others(text: &[u8], mut pos: usize) -> (usize, bool) {
    let (words, _) = text.get(pos..).unwrap_or_default().as_chunks::<8>();
    let mut others = 0;
    for word in words {
        let word = u64::from_le_bytes(*word);
        let stops = string_stops(word);
        let found = word.wrapping_sub(ONES * 0x21) | word;
        if stops != 0 {
            // The bits below the one that marks the stop.
            others |= found & (stops & stops.wrapping_neg()).wrapping_sub(1);
            return (pos + stops.trailing_zeros() as usize / 8, others & HIGHS != 0);
        }
        others |= found;
        pos += 8;
    }
    let rest = text.get(pos..).unwrap_or_default();
    let len = rest.iter().position(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\')).unwrap_or(rest.len());
    let has_others = rest.iter().take(len).any(|byte| *byte == b' ' || !byte.is_ascii());
    (pos + len, others & HIGHS != 0 || has_others)
}

/// Whether a byte of `text` is white space, a control character or part of a character beyond ASCII.
#[inline(always)]
pub(crate) fn has_other_than_visible_ascii(text: &[u8]) -> bool {
    let others = |word: &[u8; 8]| {
        let word = u64::from_le_bytes(*word);
        (word.wrapping_sub(ONES * 0x21) | word) & HIGHS
    };
    // The last eight bytes may have been looked at: that is quicker than the rest byte by byte.
    let Some(last) = text.last_chunk() else {
        return text.iter().any(|byte| *byte <= b' ' || !byte.is_ascii());
    };
    let (words, _) = text.as_chunks::<8>();
    words.iter().fold(others(last), |found, word| found | others(word)) != 0
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::json::Scanner;

    fn unescaped(raw: &str) -> Vec<u8> {
        Scanner::new(format!("\"{raw}\"").as_bytes()).string().unwrap().unescape().into_owned()
    }

    #[test]
    fn strings_are_the_same_text_exactly_if_their_bytes_are() {
        assert_eq!(unescaped(r"\ud800"), unescaped(r"\uD800"));
        assert_ne!(unescaped(r"\ud800"), unescaped(r"\\ud800"));
        assert_eq!(unescaped(r"\ud83d\ude00"), "\u{1f600}".as_bytes());
        assert_eq!(unescaped(r"\ude00\ud83d\ud83d\ude00a"), b"\xed\xb8\x80\xed\xa0\xbd\xf0\x9f\x98\x80a");
        assert_eq!(unescaped(r"\ud83d\n"), b"\xed\xa0\xbd\n");
    }

    proptest! {
        #[test]
        fn others_are_found_before_the_end_of_a_string_alone(text in "[a é!\"\\\\\n]{0,40}") {
            let bytes = text.as_bytes();
            let stop = bytes.iter().position(|b| *b < 0x20 || matches!(b, b'"' | b'\\')).unwrap_or(bytes.len());
            let has_others = bytes[..stop].iter().any(|b| *b == b' ' || !b.is_ascii());
            prop_assert_eq!(next_string_stop_and_others(bytes, 0), (stop, has_others));
            prop_assert_eq!(next_string_stop(bytes, 0), stop);
        }

        #[test]
        fn escapes_are_resolved_as_serde_json_does(
            text in r#"([aé😀]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4}|\\ud83d\\ude00){0,8}"#,
        ) {
            match serde_json::from_str::<String>(&format!("\"{text}\"")) {
                Ok(theirs) => prop_assert_eq!(unescaped(&text), theirs.into_bytes()),
                Err(_) => prop_assert!(std::str::from_utf8(&unescaped(&text)).is_err()),
            }
        }
    }
}
