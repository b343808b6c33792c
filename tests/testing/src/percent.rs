//! Percent-encoding, by RFC 3986: <https://datatracker.ietf.org/doc/html/rfc3986#section-2.1>.

use std::fmt::Write as _;

/// Encodes all bytes but the unreserved characters and those in `kept`.
#[must_use]
pub fn encode(bytes: &[u8], kept: &str) -> String {
    let mut text = String::new();
    for byte in bytes {
        let character = char::from(*byte);
        if character.is_ascii_alphanumeric() || "-._~".contains(character) || kept.contains(character) {
            text.push(character);
        } else {
            // Writing to a `String` does not fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// Decodes every `%XX`; everything else stays as it is.
#[must_use]
pub fn decode(text: &str) -> Vec<u8> {
    let mut rest = text.as_bytes();
    let mut decoded = Vec::new();
    while let Some((first, after)) = rest.split_first() {
        let escape = after.split_at_checked(2).filter(|_| *first == b'%').and_then(|(digits, behind)| {
            let value = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
            Some((value, behind))
        });
        let (byte, behind) = escape.unwrap_or((*first, after));
        decoded.push(byte);
        rest = behind;
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded_to_the_same_bytes() {
        assert_eq!(encode("a b/ü~".as_bytes(), ""), "a%20b%2F%C3%BC~");
        assert_eq!(encode(b"a b/c", "/"), "a%20b/c");
        for text in ["", "a b/ü~", "100%", "%2", "%zz"] {
            assert_eq!(decode(&encode(text.as_bytes(), "")), text.as_bytes());
        }
        assert_eq!(decode("100%"), b"100%");
        assert_eq!(decode("%zz%41"), b"%zzA");
    }
}
