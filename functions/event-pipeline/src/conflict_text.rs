//! Writes JSON as text that an analyzer finds every word of.

use crate::append::append_json_string;
use crate::json::Scanner;

/// Appends the JSON text `json`, which was validated, as a JSON string: without escapes of its own in its strings and with
/// spaces after commas, because `\n` and `\u00e9` would be parts of words, and `1,2` is one word.
///
/// Writes each string where it goes: `json` can have 4.5 MB, and a copy beside the document would be as large again.
pub(crate) fn append_conflict_text(out: &mut Vec<u8>, json: &[u8]) {
    let mut scanner = Scanner::new(json);
    out.push(b'"');
    while let Ok(byte) = scanner.peek() {
        match byte {
            b'"' => {
                let Ok(string) = scanner.string() else { break };
                // Its quotes are part of the text: `\"…\"`.
                out.push(b'\\');
                append_json_string(out, &String::from_utf8_lossy(&string.unescape()));
                out.pop();
                out.extend_from_slice(br#"\""#);
            }
            b'{' | b'}' | b'[' | b']' | b':' | b',' => {
                scanner.seek(scanner.position() + 1);
                out.push(byte);
                out.extend((byte == b',').then_some(b' '));
            }
            _ => {
                let Ok(range) = scanner.value() else { break };
                out.extend_from_slice(scanner.slice(range));
            }
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conflict_text(json: &str) -> String {
        let mut out = Vec::new();
        append_conflict_text(&mut out, json.as_bytes());
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn words_stand_between_spaces_and_punctuation() {
        for (json, text) in [
            (r#"{"a" : [1,2.5,null], "b":{}}"#, r#"{"a":[1, 2.5, null], "b":{}}"#),
            (r#"{"stack":"Error: x\n\tat gr\u00f6\u00dfer"}"#, "{\"stack\":\"Error: x\n\tat größer\"}"),
            // An unpaired surrogate is no character: text can hold only the sign for that.
            (r#""a\n\ud800 lone""#, "\"a\n\u{fffd}\u{fffd}\u{fffd} lone\""),
        ] {
            assert_eq!(conflict_text(json), text, "{json}");
        }
    }

    #[test]
    fn any_depth_is_written() {
        let deep = format!("{}1{}", "[".repeat(200_000), "]".repeat(200_000));
        assert_eq!(conflict_text(&deep), deep);
    }
}
