//! Writes VRL's tree as JSON text. The members of an object are in the order of their names: VRL keeps no other.

use chrono::SecondsFormat;
use thiserror::Error;
use vrl::value::Value;

use crate::digits::{Digits, canonical};
use crate::limits::{MAX_DEPTH, MAX_SHAPED_BYTES};
use crate::path_hash::Place;
use crate::surrogates;

/// Why a shaped payload has no JSON text.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriteError {
    #[error("the script leaves `.` as {0}, not as an object")]
    NotAnObject(&'static str),
    #[error("the script makes a number that is infinite, which JSON does not have")]
    Infinite,
    #[error("the script makes a string of bytes that are not UTF-8: encode_base64 makes text of them")]
    NotUtf8,
    #[error("the script nests objects and arrays deeper than {MAX_DEPTH} levels")]
    TooDeep,
    #[error("the script makes a payload of more than {} MiB", MAX_SHAPED_BYTES >> 20)]
    TooLarge,
}

/// Appends the text of `value`, which must be an object, to `out`.
///
/// # Errors
/// [`WriteError`] when it has no JSON text.
pub(crate) fn write_payload(
    value: &Value,
    digits: &mut Digits<'_>,
    out: &mut Vec<u8>,
) -> Result<(), WriteError> {
    let Value::Object(_) = value else { return Err(WriteError::NotAnObject(kind(value))) };
    let end = out.len().saturating_add(MAX_SHAPED_BYTES);
    Writer { digits, out, end }.value(value, &Place::Root, MAX_DEPTH)
}

/// What a value is, in words.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Bytes(_) | Value::String(_) => "a string",
        Value::Regex(_) => "a regular expression",
        Value::Integer(_) => "an integer",
        Value::Float(_) => "a float",
        Value::Boolean(_) => "a boolean",
        Value::Timestamp(_) => "a timestamp",
        Value::Object(_) => "an object",
        Value::Array(_) => "an array",
        Value::Null => "null",
    }
}

struct Writer<'a, 'd> {
    digits: &'a mut Digits<'d>,
    out: &'a mut Vec<u8>,
    /// Where the output must end.
    end: usize,
}

impl Writer<'_, '_> {
    fn value(&mut self, value: &Value, place: &Place<'_>, depth: usize) -> Result<(), WriteError> {
        if self.out.len() > self.end {
            return Err(WriteError::TooLarge);
        }
        match value {
            Value::Object(members) => {
                let depth = depth.checked_sub(1).ok_or(WriteError::TooDeep)?;
                let mut before = b'{';
                for (name, value) in members {
                    self.out.push(before);
                    before = b',';
                    self.string(name.as_bytes())?;
                    self.out.push(b':');
                    self.value(value, &Place::Member(place, name.as_str()), depth)?;
                }
                self.out.extend(if before == b'{' { "{}" } else { "}" }.as_bytes());
            }
            Value::Array(elements) => {
                let depth = depth.checked_sub(1).ok_or(WriteError::TooDeep)?;
                let mut before = b'[';
                for (index, value) in elements.iter().enumerate() {
                    self.out.push(before);
                    before = b',';
                    self.value(value, &Place::Element(place, index), depth)?;
                }
                self.out.extend(if before == b'[' { "[]" } else { "]" }.as_bytes());
            }
            Value::Bytes(bytes) => self.string(bytes)?,
            Value::String(text) => self.string(text.as_bytes())?,
            Value::Regex(regex) => self.string(regex.as_str().as_bytes())?,
            Value::Timestamp(time) => {
                self.string(time.to_rfc3339_opts(SecondsFormat::AutoSi, true).as_bytes())?
            }
            Value::Integer(integer) => {
                self.out.extend(itoa::Buffer::new().format(*integer).as_bytes());
            }
            Value::Float(double) => self.double(double.into_inner(), place)?,
            Value::Boolean(boolean) => self.out.extend(if *boolean { "true" } else { "false" }.as_bytes()),
            Value::Null => self.out.extend(b"null"),
        }
        Ok(())
    }

    fn double(&mut self, double: f64, place: &Place<'_>) -> Result<(), WriteError> {
        if let Some(text) = self.digits.text_of(double, place) {
            self.out.extend(text.as_bytes());
        } else if double.is_finite() {
            self.out.extend(canonical(double).as_bytes());
        } else {
            return Err(WriteError::Infinite);
        }
        Ok(())
    }

    fn string(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.digits.see_string(bytes);
        self.out.push(b'"');
        let mut rest = bytes;
        while !rest.is_empty() {
            let error = match str::from_utf8(rest) {
                Ok(_) => {
                    self.text(rest);
                    break;
                }
                Err(error) => error,
            };
            let (text, unpaired) = rest.split_at_checked(error.valid_up_to()).unwrap_or_default();
            self.text(text);
            let surrogate = surrogates::first(unpaired).ok_or(WriteError::NotUtf8)?;
            self.out.extend(format!("\\u{surrogate:04x}").as_bytes());
            rest = unpaired.get(3..).unwrap_or_default();
        }
        self.out.push(b'"');
        Ok(())
    }

    /// Writes characters, escaped where JSON requires it.
    fn text(&mut self, text: &[u8]) {
        let mut plain = text;
        while let Some(at) = plain.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1F)) {
            let (before, after) = plain.split_at_checked(at).unwrap_or_default();
            self.out.extend(before);
            let Some((byte, after)) = after.split_first() else { return };
            match byte {
                b'"' => self.out.extend(b"\\\""),
                b'\\' => self.out.extend(b"\\\\"),
                b'\n' => self.out.extend(b"\\n"),
                b'\r' => self.out.extend(b"\\r"),
                b'\t' => self.out.extend(b"\\t"),
                control => self.out.extend(format!("\\u{control:04x}").as_bytes()),
            }
            plain = after;
        }
        self.out.extend(plain);
    }
}
