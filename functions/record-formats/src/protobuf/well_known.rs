//! The well-known types that JSON has a text or number for.

use crate::date_time::{append_shortest_date_time, append_shortest_nanos};
use crate::decimal::append_decimal;
use crate::decode_error::{DecodeError, DecodeErrorKind};
use crate::input::Input;
use crate::output::{append_text, append_uint};
use crate::protobuf::wire::{WireType, prefixed, skip, tag};

/// The seconds of 0001-01-01T00:00:00 and 9999-12-31T23:59:59.
const MIN_SECONDS: i64 = -62_135_596_800;
const MAX_SECONDS: i64 = 253_402_300_799;

/// The seconds of the longest `Duration`, some 10,000 years.
const MAX_DURATION_SECONDS: u64 = 315_576_000_000;

const MAX_NANOS: u32 = 999_999_999;

/// The fields 1 to 3 of a message of few fields. The last value of a field counts.
#[derive(Clone, Copy)]
pub(crate) struct Scalars<'a> {
    start: Input<'a>,
    numbers: [u64; 3],
    bytes: [Input<'a>; 3],
}

impl<'a> Scalars<'a> {
    /// Reads a message; returns the number of fields that are none of these as well.
    pub(crate) fn read(parts: &[Input<'a>]) -> Result<(Self, u32), DecodeError> {
        let start = parts.first().copied().unwrap_or(Input::new(&[]));
        let mut scalars = Self { start, numbers: [0; 3], bytes: [Input::new(&[]); 3] };
        let mut n_unknown = 0;
        for part in parts {
            let mut input = *part;
            while input.len() > 0 {
                let tag = tag(&mut input)?;
                let index = tag.number as usize - 1;
                let number = scalars.numbers.get_mut(index);
                let bytes = scalars.bytes.get_mut(index);
                match (tag.wire_type, number, bytes) {
                    (WireType::Varint, Some(number), _) => *number = input.varint()?,
                    (WireType::Prefixed, _, Some(bytes)) => *bytes = prefixed(&mut input)?,
                    _ => {
                        n_unknown += 1;
                        skip(&mut input, tag)?;
                    }
                }
            }
        }
        Ok((scalars, n_unknown))
    }

    fn first_number(&self) -> i64 {
        let [number, ..] = self.numbers;
        number as i64
    }

    fn second_number(&self) -> i32 {
        let [_, number, _] = self.numbers;
        number as i32
    }

    fn third_number(&self) -> i32 {
        let [.., number] = self.numbers;
        number as i32
    }

    /// The string in field 1, which may not be UTF-8.
    pub(crate) fn first_text(&self) -> &'a [u8] {
        let [mut bytes, ..] = self.bytes;
        bytes.take_rest()
    }

    /// The bytes in field 2.
    pub(crate) fn second_bytes(&self) -> Input<'a> {
        let [_, bytes, _] = self.bytes;
        bytes
    }

    fn out_of_range(&self, value: i64, of: &'static str) -> DecodeError {
        self.start.error(DecodeErrorKind::TimeRange { value, of })
    }
}

/// Appends a `Timestamp`: `"2026-03-01T08:50:00.007Z"`.
pub(crate) fn append_timestamp(json: &mut Vec<u8>, scalars: &Scalars<'_>) -> Result<(), DecodeError> {
    let (seconds, nanos) = (scalars.first_number(), scalars.second_number());
    if !(MIN_SECONDS..=MAX_SECONDS).contains(&seconds) {
        return Err(scalars.out_of_range(seconds, "timestamp's seconds"));
    }
    let Some(nanos) = u32::try_from(nanos).ok().filter(|nanos| *nanos <= MAX_NANOS) else {
        return Err(scalars.out_of_range(nanos.into(), "timestamp's nanoseconds"));
    };
    json.push(b'"');
    append_shortest_date_time(json, seconds, nanos);
    json.extend_from_slice(b"Z\"");
    Ok(())
}

/// Appends a `Duration`: `"-1.500s"`.
pub(crate) fn append_duration(json: &mut Vec<u8>, scalars: &Scalars<'_>) -> Result<(), DecodeError> {
    let (seconds, nanos) = (scalars.first_number(), scalars.second_number());
    if seconds.unsigned_abs() > MAX_DURATION_SECONDS {
        return Err(scalars.out_of_range(seconds, "duration's seconds"));
    }
    let is_negative = seconds < 0 || nanos < 0;
    let have_one_sign = seconds == 0 || nanos == 0 || (seconds < 0) == (nanos < 0);
    if nanos.unsigned_abs() > MAX_NANOS || !have_one_sign {
        return Err(scalars.out_of_range(nanos.into(), "duration's nanoseconds"));
    }
    json.extend_from_slice(if is_negative { b"\"-" } else { b"\"" });
    append_uint(json, seconds.unsigned_abs());
    append_shortest_nanos(json, nanos.unsigned_abs());
    json.extend_from_slice(b"s\"");
    Ok(())
}

/// Appends a `FieldMask`: its paths in one string, with JSON's names: `"user.displayName,photo"`.
pub(crate) fn append_field_mask(json: &mut Vec<u8>, parts: &[Input<'_>]) -> Result<(), DecodeError> {
    let mut paths = String::new();
    let mut is_first = true;
    for part in parts {
        let mut input = *part;
        while input.len() > 0 {
            let tag = tag(&mut input)?;
            if (tag.number, tag.wire_type) != (1, WireType::Prefixed) {
                skip(&mut input, tag)?;
                continue;
            }
            let start = input;
            let path = prefixed(&mut input)?.take_rest();
            let path = str::from_utf8(path).map_err(|_| start.error(DecodeErrorKind::NotUtf8))?;
            if !is_first {
                paths.push(',');
            }
            is_first = false;
            append_lower_camel(&mut paths, path);
        }
    }
    append_text(json, &paths);
    Ok(())
}

/// Appends `user_name` as `userName`.
fn append_lower_camel(text: &mut String, path: &str) {
    let mut is_after_underscore = false;
    for character in path.chars() {
        match character {
            '_' => is_after_underscore = true,
            _ if is_after_underscore => {
                text.push(character.to_ascii_uppercase());
                is_after_underscore = false;
            }
            _ => text.push(character),
        }
    }
}

/// Appends a `confluent.type.Decimal` as a number, as Avro's decimals are.
pub(crate) fn append_decimal_message(json: &mut Vec<u8>, scalars: &Scalars<'_>) -> Result<(), DecodeError> {
    let unscaled = scalars.first_text();
    append_decimal(json, unscaled, scalars.third_number().into())
        .map_err(|_| scalars.start.error(DecodeErrorKind::LongDecimal(unscaled.len())))
}
