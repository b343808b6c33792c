//! Writes JSON as text that an analyzer finds every word of.

use crate::json::Scanner;

/// The JSON text `json`, which was validated, without escapes in its strings and with spaces after commas: `\n` and `\u00e9`
/// would be parts of words, and `1,2` is one word.
pub(crate) fn conflict_text(json: &[u8]) -> String {
    let mut scanner = Scanner::new(json);
    let mut text = Vec::with_capacity(json.len());
    while let Ok(byte) = scanner.peek() {
        match byte {
            b'"' => {
                let Ok(string) = scanner.string() else { break };
                text.push(b'"');
                text.extend_from_slice(&string.unescape());
                text.push(b'"');
            }
            b'{' | b'}' | b'[' | b']' | b':' | b',' => {
                scanner.seek(scanner.position() + 1);
                text.push(byte);
                text.extend((byte == b',').then_some(b' '));
            }
            _ => {
                let Ok(range) = scanner.value() else { break };
                text.extend_from_slice(scanner.slice(range));
            }
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_between_spaces_and_punctuation() {
        for (json, text) in [
            (r#"{"a" : [1,2.5,null], "b":{}}"#, r#"{"a":[1, 2.5, null], "b":{}}"#),
            (r#"{"stack":"Error: x\n\tat gr\u00f6\u00dfer"}"#, "{\"stack\":\"Error: x\n\tat größer\"}"),
            // An unpaired surrogate is no character: text can hold only the sign for that.
            (r#""a\n\ud800 lone""#, "\"a\n\u{fffd}\u{fffd}\u{fffd} lone\""),
        ] {
            assert_eq!(conflict_text(json.as_bytes()), text, "{json}");
        }
    }

    #[test]
    fn any_depth_is_written() {
        let deep = format!("{}1{}", "[".repeat(200_000), "]".repeat(200_000));
        assert_eq!(conflict_text(deep.as_bytes()), deep);
    }
}
