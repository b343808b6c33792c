//! Appends JSON strings, numbers and base64 to a body.

use std::str;

use base64_simd::STANDARD;

/// Bytes that are not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotUtf8;

/// Appends bytes that should be UTF-8 as a JSON string; appends nothing if they are not.
#[inline]
pub(crate) fn append_string(json: &mut Vec<u8>, text: &[u8]) -> Result<(), NotUtf8> {
    if is_plain_ascii(text) {
        json.reserve(text.len() + 2);
        json.push(b'"');
        json.extend_from_slice(text);
        json.push(b'"');
        return Ok(());
    }
    let text = str::from_utf8(text).map_err(|_| NotUtf8)?;
    append_text(json, text);
    Ok(())
}

/// Appends text as a JSON string.
pub(crate) fn append_text(json: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(json, text).expect("writing a string to memory can't fail");
}

/// Appends a whole number.
#[inline]
pub(crate) fn append_int(json: &mut Vec<u8>, number: i64) {
    json.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends a whole number.
#[inline]
pub(crate) fn append_uint(json: &mut Vec<u8>, number: u64) {
    json.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends a boolean.
#[inline]
pub(crate) fn append_boolean(json: &mut Vec<u8>, boolean: bool) {
    json.extend_from_slice(if boolean { b"true" } else { b"false" });
}

/// Appends the shortest text that is read as the same 32-bit float; null for what JSON has no number for.
pub(crate) fn append_float(json: &mut Vec<u8>, number: f32) {
    serde_json::to_writer(json, &number).expect("writing a number to memory can't fail");
}

/// Appends the shortest text that is read as the same 64-bit float; null for what JSON has no number for.
pub(crate) fn append_double(json: &mut Vec<u8>, number: f64) {
    serde_json::to_writer(json, &number).expect("writing a number to memory can't fail");
}

/// Appends bytes as a JSON string of base64 (RFC 4648, with padding).
pub(crate) fn append_base64(json: &mut Vec<u8>, bytes: &[u8]) {
    json.push(b'"');
    STANDARD.encode_append(bytes, json);
    json.push(b'"');
}

/// Appends a UUID as a JSON string, in lower case.
pub(crate) fn append_uuid(json: &mut Vec<u8>, uuid: &[u8; 16]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    json.push(b'"');
    for (i, byte) in uuid.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            json.push(b'-');
        }
        for digit in [byte >> 4, byte & 0xf] {
            json.push(DIGITS.get(usize::from(digit)).copied().unwrap_or_default());
        }
    }
    json.push(b'"');
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Whether all bytes are ASCII that a JSON string holds as it is: no quote, no backslash, no control character.
#[inline(always)]
fn is_plain_ascii(text: &[u8]) -> bool {
    let (words, rest) = text.as_chunks::<8>();
    let mut stops = 0;
    for word in words {
        let word = u64::from_le_bytes(*word);
        let quote = word ^ (ONES * u64::from(b'"'));
        let backslash = word ^ (ONES * u64::from(b'\\'));
        // The high bit of a byte shows a stop, or (as a subtraction borrows upward) a stop below it.
        stops |= word
            | (quote.wrapping_sub(ONES) & !quote)
            | (backslash.wrapping_sub(ONES) & !backslash)
            | word.wrapping_sub(ONES * 0x20);
    }
    stops & HIGHS == 0 && rest.iter().all(|byte| matches!(byte, 0x20..0x80) && !matches!(byte, b'"' | b'\\'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_at_each_place_is_escaped_as_serde_json_escapes_it() {
        for byte in 0..=127_u8 {
            for place in 0..20 {
                let mut text = vec![b'~'; 20];
                text[place] = byte;
                let mut json = Vec::new();
                append_string(&mut json, &text).unwrap();
                let expected = serde_json::to_vec(str::from_utf8(&text).unwrap()).unwrap();
                assert_eq!(json, expected);
            }
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_append_nothing() {
        let mut json = b"x".to_vec();
        assert_eq!(append_string(&mut json, b"12345678\xc3"), Err(NotUtf8));
        assert_eq!(json, b"x");
        append_string(&mut json, "12345678é\u{7f}".as_bytes()).unwrap();
        assert_eq!(json, "x\"12345678é\u{7f}\"".as_bytes());
    }

    #[test]
    fn floats_are_the_shortest_text_and_never_nan() {
        let mut json = Vec::new();
        append_float(&mut json, 0.1);
        json.push(b' ');
        append_double(&mut json, f64::NAN);
        json.push(b' ');
        append_double(&mut json, -0.0);
        assert_eq!(json, b"0.1 null -0.0");
    }
}
