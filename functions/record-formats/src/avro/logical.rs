//! Avro's logical types as JSON.

use crate::avro::model::Type;
use crate::date_time::{Precision, append_date, append_date_time, append_time};
use crate::decimal::append_decimal;
use crate::decode_error::{DecodeError, DecodeErrorKind};
use crate::input::Input;
use crate::output::append_uuid;

const DAY_SECONDS: i64 = 86_400;

/// Appends a value of a logical type; `None` if the type is none.
pub(crate) fn append_logical(
    each: &Type,
    input: &mut Input<'_>,
    json: &mut Vec<u8>,
) -> Option<Result<(), DecodeError>> {
    Some(match each {
        Type::DecimalBytes(scale) => decimal_bytes(input, *scale, json),
        Type::DecimalFixed { size, scale } => {
            input.bytes(*size).and_then(|it| decimal(input, it, *scale, json))
        }
        Type::BigDecimal => big_decimal(input, json),
        Type::Uuid => input.array().map(|uuid| append_uuid(json, &uuid)),
        Type::Date => input.int().map(|days| quoted(json, |json| append_date(json, days.into()))),
        Type::TimeMillis => {
            let offset = *input;
            input.int().and_then(|units| time(offset, units.into(), Precision::Millis, json))
        }
        Type::TimeMicros => {
            let offset = *input;
            input.zigzag().and_then(|units| time(offset, units, Precision::Micros, json))
        }
        Type::Timestamp(precision) => input.zigzag().map(|units| {
            quoted(json, |json| {
                append_date_time(json, units, *precision);
                json.push(b'Z');
            });
        }),
        Type::LocalTimestamp(precision) => {
            input.zigzag().map(|units| quoted(json, |json| append_date_time(json, units, *precision)))
        }
        Type::Duration => duration(input, json),
        _ => return None,
    })
}

fn quoted(json: &mut Vec<u8>, append: impl Fn(&mut Vec<u8>)) {
    json.push(b'"');
    append(json);
    json.push(b'"');
}

fn decimal_bytes(input: &mut Input<'_>, scale: i64, json: &mut Vec<u8>) -> Result<(), DecodeError> {
    let unscaled = input.prefixed_bytes()?;
    decimal(input, unscaled, scale, json)
}

fn decimal(input: &Input<'_>, unscaled: &[u8], scale: i64, json: &mut Vec<u8>) -> Result<(), DecodeError> {
    append_decimal(json, unscaled, scale)
        .map_err(|_| input.error(DecodeErrorKind::LongDecimal(unscaled.len())))
}

/// Bytes that hold an unscaled value (as bytes) and its scale (as an int).
fn big_decimal(input: &mut Input<'_>, json: &mut Vec<u8>) -> Result<(), DecodeError> {
    let len = input.length()?;
    let mut value = input.part(len)?;
    let unscaled = value.prefixed_bytes()?;
    let scale = value.int()?;
    if value.len() > 0 {
        return Err(value.error(DecodeErrorKind::TrailingBytes(value.len())));
    }
    decimal(input, unscaled, scale.into(), json)
}

fn time(start: Input<'_>, units: i64, precision: Precision, json: &mut Vec<u8>) -> Result<(), DecodeError> {
    if !(0..DAY_SECONDS * precision.per_second()).contains(&units) {
        return Err(start.error(DecodeErrorKind::TimeRange { value: units, of: "time of day" }));
    }
    quoted(json, |json| append_time(json, units, precision));
    Ok(())
}

/// Months, days and milliseconds, as ISO 8601: `P1M2DT3.004S`; parts that are zero are left out, and none is `PT0S`.
fn duration(input: &mut Input<'_>, json: &mut Vec<u8>) -> Result<(), DecodeError> {
    let months = u32::from_le_bytes(input.array()?);
    let days = u32::from_le_bytes(input.array()?);
    let millis = u32::from_le_bytes(input.array()?);
    let mut buffer = itoa::Buffer::new();
    json.extend_from_slice(b"\"P");
    for (number, unit) in [(months, b'M'), (days, b'D')] {
        if number > 0 {
            json.extend_from_slice(buffer.format(number).as_bytes());
            json.push(unit);
        }
    }
    if millis > 0 || months == 0 && days == 0 {
        json.push(b'T');
        json.extend_from_slice(buffer.format(millis / 1000).as_bytes());
        if !millis.is_multiple_of(1000) {
            json.push(b'.');
            for digit in [millis / 100 % 10, millis / 10 % 10, millis % 10] {
                json.push(b'0' + digit as u8);
            }
        }
        json.push(b'S');
    }
    json.push(b'"');
    Ok(())
}
