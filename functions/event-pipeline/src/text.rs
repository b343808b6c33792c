//! Appends JSON strings and base64 to a body.

use crate::json::{RawString, next_string_stop};

/// Appends `text` as a JSON string, quotes included.
pub(crate) fn append_json_string(out: &mut Vec<u8>, text: &str) {
    if next_string_stop(text.as_bytes(), 0) == text.len() {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        serde_json::to_writer(out, text).expect("a string is written to memory without fault");
    }
}

/// Appends a whole number.
pub(crate) fn append_number(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// The text is not base64 (RFC 4648, with padding).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotBase64;

/// Appends the bytes that `base64` stands for; appends nothing if it is not base64.
pub(crate) fn append_decoded(out: &mut Vec<u8>, base64: RawString<'_>) -> Result<(), NotBase64> {
    base64_simd::STANDARD.decode_append(base64.unescape(), out).map_err(|_| NotBase64)
}
