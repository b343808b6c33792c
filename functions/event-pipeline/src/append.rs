//! Appends JSON strings, numbers and members, and decoded base64, to a body.

use crate::json_string::{RawString, next_string_stop};

/// Appends `text` as a JSON string, with its quotes.
pub(crate) fn append_json_string(out: &mut Vec<u8>, text: &str) {
    if next_string_stop(text.as_bytes(), 0) == text.len() {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        serde_json::to_writer(out, text).expect("writing a string to memory can't fail");
    }
}

/// Appends a whole number.
pub(crate) fn append_number(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// The value of a member.
pub(crate) enum Value<'a> {
    Text(&'a str),
    Number(i64),
    /// JSON text, appended as it is.
    Json(&'a [u8]),
}

/// Appends a member behind others: `,"name":value`.
#[inline(always)]
pub(crate) fn append_member(out: &mut Vec<u8>, name: &str, value: Value<'_>) {
    append_name(out, name);
    match value {
        Value::Text(text) => append_json_string(out, text),
        Value::Number(number) => append_number(out, number),
        Value::Json(json) => out.extend_from_slice(json),
    }
}

/// Appends the name of a member whose value follows: `,"name":`. The name must not need escapes.
#[inline(always)]
pub(crate) fn append_name(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// The text is not base64 (RFC 4648, with padding).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotBase64;

/// Appends the bytes that `base64` stands for; appends nothing if it is not base64.
pub(crate) fn append_decoded(out: &mut Vec<u8>, base64: RawString<'_>) -> Result<(), NotBase64> {
    let decoded = match base64.plain() {
        Some(text) => base64_simd::STANDARD.decode_append(text, out),
        None => base64_simd::STANDARD.decode_append(base64.unescape(), out),
    };
    decoded.map_err(|_| NotBase64)
}
