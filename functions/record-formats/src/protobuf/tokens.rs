//! The words, strings and marks of `.proto` text, without its comments.

use std::ops::Range;

/// A word, a string or a mark, and where it is in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) range: Range<usize>,
}

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// A name, a keyword or a number.
    Word,
    /// A string with its quotes. It ends with its line at the latest.
    Text,
    /// Any other byte.
    Mark(u8),
}

/// The tokens of a text, which may be no `.proto` at all.
pub(crate) fn tokens(text: &str) -> Tokens<'_> {
    Tokens { bytes: text.as_bytes(), at: 0 }
}

/// See [`tokens`].
pub(crate) struct Tokens<'t> {
    bytes: &'t [u8],
    at: usize,
}

impl Tokens<'_> {
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// The end of what begins at the next byte: behind the first place where `is_end` of the two bytes there is true.
    fn end(&self, from: usize, is_end: impl Fn(&[u8]) -> bool, len: usize) -> usize {
        let rest = self.bytes.get(from..).unwrap_or_default();
        rest.windows(len).position(is_end).map_or(self.bytes.len(), |found| from + found + len)
    }

    fn string(&self, quote: u8) -> usize {
        let mut at = self.at + 1;
        while let Some(byte) = self.bytes.get(at).filter(|byte| **byte != b'\n') {
            at += if *byte == b'\\' { 2 } else { 1 };
            if *byte == quote {
                break;
            }
        }
        at.min(self.bytes.len())
    }
}

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        loop {
            let start = self.at;
            let (kind, end) = match self.rest() {
                [] => return None,
                [b'/', b'/', ..] => (None, self.end(start, |window| window == b"\n", 1)),
                [b'/', b'*', ..] => (None, self.end(start + 2, |window| window == b"*/", 2)),
                [space, ..] if space.is_ascii_whitespace() => (None, start + 1),
                [quote @ (b'"' | b'\''), ..] => (Some(TokenKind::Text), self.string(*quote)),
                rest @ [byte, ..] => {
                    let len = rest.iter().take_while(|byte| is_of_word(**byte)).count();
                    if len > 0 {
                        (Some(TokenKind::Word), start + len)
                    } else {
                        (Some(TokenKind::Mark(*byte)), start + 1)
                    }
                }
            };
            self.at = end;
            if let Some(kind) = kind {
                return Some(Token { kind, range: start..end });
            }
        }
    }
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_left_out_and_strings_are_whole() {
        let words = |text: &str| {
            tokens(text).map(|token| text.get(token.range).unwrap_or("?").to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(
            words("a.b_1 = \"x \\\" // {\" /* \" */ ;// end\n'\\'"),
            ["a.b_1", "=", "\"x \\\" // {\"", ";", "'\\'"]
        );
        assert_eq!(words("/* open"), Vec::<String>::new());
        assert_eq!(words("\"open\nx"), ["\"open", "x"]);
        assert_eq!(words("é"), ["?", "?"]);
    }
}
