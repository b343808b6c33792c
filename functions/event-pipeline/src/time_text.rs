//! Reads the times that loggers and serializers write, as JSON values: texts, epochs, arrays and objects.

use std::str::FromStr;

use chrono::{
    DateTime, Days, FixedOffset, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone,
};
use chrono_tz::Tz;
use serde_json::Value;
use thiserror::Error;

use crate::epoch::read_epoch;
use crate::timestamp::Timestamp;

/// Zone of times that name none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// A fixed distance from UTC.
    Fixed(FixedOffset),
    /// A zone of the IANA database, with its daylight saving time.
    Named(Tz),
}

/// The text is neither `UTC`, an offset such as `+01:00`, nor a name of the IANA database.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "time zone `{0}` is not known: give `UTC`, an offset such as `+01:00`, or an IANA name such as `Europe/Paris`"
)]
pub struct ZoneError(String);

impl Zone {
    /// Coordinated universal time.
    pub const UTC: Self = Self::Named(Tz::UTC);

    /// The time in UTC, in milliseconds since the epoch. Of a local time that comes twice the first is taken; one that
    /// daylight saving time skips is read by the offset that held before.
    fn millis(self, local: NaiveDateTime) -> Option<i64> {
        let found = match self {
            Self::Fixed(offset) => offset.from_local_datetime(&local).map(|time| time.timestamp_millis()),
            Self::Named(zone) => zone.from_local_datetime(&local).map(|time| time.timestamp_millis()),
        };
        match found {
            LocalResult::Single(millis) | LocalResult::Ambiguous(millis, _) => Some(millis),
            LocalResult::None => {
                const GAP: TimeDelta = TimeDelta::hours(3);
                let Self::Named(zone) = self else { return None };
                let before = zone.from_local_datetime(&local.checked_sub_signed(GAP)?).earliest()?;
                Some(before.timestamp_millis() + GAP.num_milliseconds())
            }
        }
    }
}

impl FromStr for Zone {
    type Err = ZoneError;

    fn from_str(text: &str) -> Result<Self, ZoneError> {
        if let Ok(zone) = text.parse::<Tz>() {
            return Ok(Self::Named(zone));
        }
        match read_offset(text) {
            Some((offset, "")) => Ok(Self::Fixed(offset)),
            _ => Err(ZoneError(text.to_owned())),
        }
    }
}

/// What a JSON value says as a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// A time in the years 0 to 9999.
    Time(Timestamp),
    /// A time of a year that no index has: before 0 or after 9999.
    OutOfRange,
    /// No time that we know how to read.
    Unparsed,
}

/// Reads the JSON text of a value as a time; `zone` is that of times without one.
///
/// Texts: RFC 3339 and the looser ISO 8601 that loggers write (a space for `T`, a comma for the point, any number of
/// fraction digits, `+0100`, `+01`, no seconds, no time, week dates, 24:00, `[Europe/Paris]`), `2026/11/28`, RFC 2822,
/// Apache's `28/Nov/2026:00:30:05 +0100`, `/Date(ms)/`, and epochs. Epochs count seconds, milliseconds, microseconds or
/// nanoseconds, distinguished by size. Arrays are Jackson's `[year, month, day, hour, minute, second, nanos]`; objects are
/// `{"$date": …}` and `{"seconds": …, "nanos": …}` in the names of Protobuf, Firestore and log4j.
pub fn read(value: &[u8], zone: Zone) -> Reading {
    if let [b'"', text @ .., b'"'] = value
        && let Some(time) = Timestamp::from_usual_form(text)
    {
        return Reading::Time(time);
    }
    let Ok(text) = std::str::from_utf8(value) else { return Reading::Unparsed };
    match value {
        [b'"', inner @ .., b'"'] if !inner.contains(&b'\\') => {
            read_text(text.get(1..text.len() - 1).unwrap_or_default(), zone)
        }
        [b'"', ..] => {
            serde_json::from_str::<String>(text).map_or(Reading::Unparsed, |text| read_text(&text, zone))
        }
        [b'-' | b'0'..=b'9', ..] => read_epoch(text).map_or(Reading::Unparsed, of_millis),
        [b'[' | b'{', ..] if value.len() <= MAX_STRUCTURE => match serde_json::from_str(text) {
            Ok(value) => read_value(&value, zone),
            Err(_) => Reading::Unparsed,
        },
        _ => Reading::Unparsed,
    }
}

/// Longest array or object that can be a time, in bytes.
const MAX_STRUCTURE: usize = 256;

fn read_value(value: &Value, zone: Zone) -> Reading {
    match value {
        Value::String(text) => read_text(text, zone),
        Value::Number(number) => read_epoch(&number.to_string()).map_or(Reading::Unparsed, of_millis),
        Value::Array(parts) => read_parts(parts, zone).unwrap_or(Reading::Unparsed),
        Value::Object(members) => {
            let find = |names: &[&str]| names.iter().find_map(|name| members.get(*name));
            if let Some(inner) = find(&["$date", "$numberLong"]) {
                return read_value(inner, zone);
            }
            let seconds = find(&["seconds", "_seconds", "epochSecond"]).and_then(whole);
            let nanos =
                find(&["nanos", "_nanoseconds", "nanoseconds", "nanoOfSecond"]).map_or(Some(0), whole);
            match (seconds, nanos) {
                (Some(seconds), Some(nanos)) => {
                    let millis =
                        seconds.checked_mul(1000).and_then(|ms| ms.checked_add(nanos.div_euclid(1_000_000)));
                    of_millis(millis)
                }
                _ => Reading::Unparsed,
            }
        }
        Value::Null | Value::Bool(_) => Reading::Unparsed,
    }
}

/// A whole number, or a text of one, as Protobuf writes 64-bit integers.
fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

fn read_parts(parts: &[Value], zone: Zone) -> Option<Reading> {
    let mut numbers = [0; 7];
    if !(3..=numbers.len()).contains(&parts.len()) {
        return None;
    }
    for (number, part) in numbers.iter_mut().zip(parts) {
        *number = i32::try_from(part.as_i64()?).ok()?;
    }
    let [year, rest @ ..] = numbers;
    let [month, day, hour, minute, second, nanos] =
        rest.map(|number| u32::try_from(number).unwrap_or(u32::MAX));
    let date = NaiveDate::from_ymd_opt(year, month, day)?;
    Some(of_millis(zone.millis(date.and_hms_nano_opt(hour, minute, second, nanos)?)))
}

fn of_millis(millis: Option<i64>) -> Reading {
    millis.and_then(Timestamp::from_millis).map_or(Reading::OutOfRange, Reading::Time)
}

fn read_text(text: &str, zone: Zone) -> Reading {
    if let Some(time) = Timestamp::from_usual_form(text.as_bytes()) {
        return Reading::Time(time);
    }
    let text = text.trim();
    // Longer texts are prose; only fractions of a second grow without bound. chrono would take U+2212 for a minus.
    if text.len() > 1024 || text.contains('\u{2212}') {
        return Reading::Unparsed;
    }
    read_iso(text, zone)
        .or_else(|| read_epoch(text).map(of_millis))
        .or_else(|| read_microsoft(text))
        .or_else(|| {
            DateTime::parse_from_rfc2822(text).ok().map(|time| of_millis(Some(time.timestamp_millis())))
        })
        .or_else(|| {
            let time = DateTime::parse_from_str(text, "%d/%b/%Y:%H:%M:%S %z").ok()?;
            Some(of_millis(Some(time.timestamp_millis())))
        })
        .unwrap_or(Reading::Unparsed)
}

/// `/Date(1795810500123)/`, also with an offset, which only says where the time was taken.
fn read_microsoft(text: &str) -> Option<Reading> {
    let inner = text.strip_prefix("/Date(")?.strip_suffix(")/")?;
    let end = inner.get(1..)?.find(['+', '-']).map_or(inner.len(), |at| at + 1);
    Some(of_millis(Some(inner.get(..end)?.parse().ok()?)))
}

/// ISO 8601 as loggers write it; `None` if the text is none.
fn read_iso(text: &str, zone: Zone) -> Option<Reading> {
    let (date, rest) = match read_date(text)? {
        Date::Day(date, rest) => (date, rest),
        Date::OutOfRange => return Some(Reading::OutOfRange),
    };
    if rest.is_empty() {
        return Some(of_millis(zone.millis(date.and_time(NaiveTime::MIN))));
    }
    let rest = rest.strip_prefix(['T', 't', ' ', '_']).map(str::trim_start)?;
    let (clock, rest) = read_clock(rest)?;
    let days = u64::from(clock.next_day);
    let local = date.checked_add_days(Days::new(days))?.and_time(clock.time);
    let rest = rest.trim_start();
    let (offset, rest) = match read_offset(rest) {
        Some((offset, rest)) => (Some(Zone::Fixed(offset)), rest),
        None => (None, rest),
    };
    let (named, rest) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        // An offset takes precedence: it distinguishes the two hours that share a local time in autumn.
        Some((name, rest)) if offset.is_none() => (Some(name.parse().ok()?), rest),
        Some((_, rest)) => (None, rest),
        None => (None, rest),
    };
    let zone = offset.or(named).unwrap_or(zone);
    // Some agents write `+00:00Z`.
    matches!(rest, "" | "Z" | "z").then(|| of_millis(zone.millis(local)))
}

enum Date<'t> {
    Day(NaiveDate, &'t str),
    /// A year with a sign or more than four digits.
    OutOfRange,
}

/// `2026-11-28`, `2026/11/28`, `20261128`, `2026-W48-6`, and what follows.
fn read_date(text: &str) -> Option<Date<'_>> {
    let unsigned = text.strip_prefix(['+', '-']);
    let year_len = unsigned.unwrap_or(text).bytes().take_while(u8::is_ascii_digit).count();
    let is_long = unsigned.is_some() || year_len > 4;
    let after_year = unsigned.unwrap_or(text).get(year_len..)?;
    if is_long && (4..=9).contains(&year_len) && after_year.starts_with('-') {
        let is_date = NaiveDate::parse_and_remainder(&format!("2000{after_year}"), "%Y-%m-%d").is_ok();
        return is_date.then_some(Date::OutOfRange);
    }
    let formats: &[&str] = match (year_len, after_year.as_bytes()) {
        (4, [b'-', b'W', ..]) => &["%G-W%V-%u"],
        (4, [b'-', ..]) => &["%Y-%m-%d"],
        (4, [b'/', ..]) => &["%Y/%m/%d"],
        (8, _) => &["%Y%m%d"],
        _ => return None,
    };
    // Exact lengths, since chrono takes `2026-1-1` and a sign before the year too.
    let len = if year_len == 8 { 8 } else { 10 };
    let (day, rest) = (text.get(..len)?, text.get(len..)?);
    let is_week = day.contains('W');
    let digits = day.bytes().filter(u8::is_ascii_digit).count();
    if digits != if is_week { 7 } else { 8 } {
        return None;
    }
    formats
        .iter()
        .find_map(|format| NaiveDate::parse_from_str(day, format).ok())
        .map(|date| Date::Day(date, rest))
}

struct Clock {
    time: NaiveTime,
    /// 24:00 is midnight at the day's end.
    next_day: bool,
}

/// `00:30`, `00:30:05`, `00:30:05.123…`, `003005`, and what follows.
fn read_clock(text: &str) -> Option<(Clock, &str)> {
    let (hour, rest) = two_digits(text)?;
    let has_colons = rest.starts_with(':');
    let next = |rest| -> Option<(u32, &str)> {
        let rest: &str = rest;
        two_digits(if has_colons { rest.strip_prefix(':')? } else { rest })
    };
    let (minute, mut rest) = next(rest)?;
    let mut second = 0;
    if let Some((number, after)) = next(rest) {
        (second, rest) = (number, after);
    }
    let mut nanos = 0;
    if let Some(fraction) = rest.strip_prefix(['.', ',']) {
        let len = fraction.bytes().take_while(u8::is_ascii_digit).count();
        if len == 0 {
            return None;
        }
        let digits = fraction.bytes().take(len).chain(std::iter::repeat(b'0')).take(9);
        nanos = digits.fold(0, |nanos, digit| nanos * 10 + u32::from(digit - b'0'));
        rest = fraction.get(len..)?;
    }
    let next_day = (hour, minute, second, nanos) == (24, 0, 0, 0);
    let time = match (next_day, second) {
        (true, _) => NaiveTime::MIN,
        // chrono has a leap second as the nanoseconds behind the 59th; it reads as the second after.
        (false, 60) => NaiveTime::from_hms_nano_opt(hour, minute, 59, 1_000_000_000 + nanos)?,
        (false, _) => NaiveTime::from_hms_nano_opt(hour, minute, second, nanos)?,
    };
    Some((Clock { time, next_day }, rest))
}

fn two_digits(text: &str) -> Option<(u32, &str)> {
    let digits = text.get(..2).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    Some((digits.parse().ok()?, text.get(2..)?))
}

/// `Z`, `UTC`, `GMT`, `+01:00`, `+0100`, `+01`, and what follows.
fn read_offset(text: &str) -> Option<(FixedOffset, &str)> {
    for name in ["UTC", "GMT", "Z", "z"] {
        if let Some(rest) = text.strip_prefix(name) {
            let has_offset = name.len() > 1 && rest.starts_with(['+', '-']);
            return if has_offset { read_offset(rest) } else { Some((FixedOffset::east_opt(0)?, rest)) };
        }
    }
    let negative = text.starts_with('-');
    let (hours, rest) = two_digits(text.strip_prefix(['+', '-'])?)?;
    let (minutes, rest) = match two_digits(rest.strip_prefix(':').unwrap_or(rest)) {
        Some(minutes) => minutes,
        None if rest.starts_with(':') => return None,
        None => (0, rest),
    };
    if hours > 23 || minutes > 59 {
        return None;
    }
    let seconds = i32::try_from(hours * 3600 + minutes * 60).ok()?;
    Some((FixedOffset::east_opt(if negative { -seconds } else { seconds })?, rest))
}

#[cfg(test)]
mod tests {
    use chrono::{Datelike, Timelike};
    use proptest::prelude::*;

    use super::*;

    fn read_in(value: &str, zone: &str) -> String {
        match read(value.as_bytes(), zone.parse().unwrap()) {
            Reading::Time(time) => String::from_utf8(time.to_text().to_vec()).unwrap(),
            Reading::OutOfRange => "out of range".into(),
            Reading::Unparsed => "unparsed".into(),
        }
    }

    #[test]
    fn every_form_of_the_same_time_reads_the_same() {
        for value in [
            r#""2026-11-28T00:30:05.123Z""#,
            r#""2026-11-28t00:30:05.123z""#,
            r#""2026-11-28T00:30:05,123Z""#,
            r#""2026-11-28 00:30:05.123""#,
            r#""2026-11-28 00:30:05.123 UTC""#,
            r#""2026-11-28 00:30:05.123 GMT""#,
            r#""2026-11-28 00:30:05.123 +0000""#,
            r#""2026-11-28T00:30:05.123456789123+00""#,
            r#""2026-11-28T01:30:05.123+0100""#,
            r#""2026-11-28T01:30:05.123+01""#,
            r#""2026-11-28T01:30:05.123+01:00[Europe/Paris]""#,
            r#""2026-11-28T01:30:05.123[Europe/Paris]""#,
            r#""2026-11-28T00:30:05.123+00:00Z""#,
            r#""2026-11-28T00:30:05.123\u002B00:00""#,
            r#""2026\/11\/28 00:30:05.123""#,
            r#""20261128T003005.123Z""#,
            r#""2026-W48-6T00:30:05.123Z""#,
            "\"\u{a0}2026-11-28T00:30:05.123Z \"",
            r#""\/Date(1795825805123)\/""#,
            r#""/Date(1795825805123+0100)/""#,
            "1795825805123",
            "1795825805123.9",
            "1795825805123456",
            "1795825805123456789",
            "1795825805.123",
            "1795825805.1239999",
            "1.795825805123e9",
            "1.795825805123E+12",
            r#""1795825805123456789""#,
            r#"" 1795825805.123 ""#,
            "[2026,11,28,0,30,5,123000000]",
            r#"{"$date":"2026-11-28T00:30:05.123Z"}"#,
            r#"{"$date":1795825805123}"#,
            r#"{"$date":{"$numberLong":"1795825805123"}}"#,
            r#"{"seconds":1795825805,"nanos":123000000}"#,
            r#"{"seconds":"1795825805","nanos":123999999}"#,
            r#"{"_seconds":1795825805,"_nanoseconds":123000000}"#,
            r#"{"epochSecond":1795825805,"nanoOfSecond":123000000}"#,
        ] {
            assert_eq!(read_in(value, "UTC"), "2026-11-28T00:30:05.123Z", "{value}");
        }
    }

    #[test]
    fn coarser_forms_are_read() {
        for (value, expected) in [
            (r#""2026-11-28""#, "2026-11-28T00:00:00.000Z"),
            (r#""2026-11-28T00:30Z""#, "2026-11-28T00:30:00.000Z"),
            (r#""2026-11-28T24:00:00Z""#, "2026-11-29T00:00:00.000Z"),
            (r#""2026-11-28T23:59:60Z""#, "2026-11-29T00:00:00.000Z"),
            (r#""Sat, 28 Nov 2026 00:30:05 GMT""#, "2026-11-28T00:30:05.000Z"),
            (r#""Sat, 28 Nov 2026 01:30:05 +0100""#, "2026-11-28T00:30:05.000Z"),
            (r#""28/Nov/2026:01:30:05 +0100""#, "2026-11-28T00:30:05.000Z"),
            ("[2026,11,28]", "2026-11-28T00:00:00.000Z"),
            ("[2026,11,28,0,30]", "2026-11-28T00:30:00.000Z"),
            ("-1.5", "1969-12-31T23:59:58.500Z"),
            ("0", "1970-01-01T00:00:00.000Z"),
            (r#"{"seconds":5}"#, "1970-01-01T00:00:05.000Z"),
        ] {
            assert_eq!(read_in(value, "UTC"), expected, "{value}");
        }
    }

    #[test]
    fn rfc_3339_and_epochs_are_normalised_to_utc_milliseconds() {
        for (value, expected) in [
            (r#""2026-03-01T10:20:30Z""#, "2026-03-01T10:20:30.000Z"),
            (r#""2026-03-01T00:20:30.123456789+02:00""#, "2026-02-28T22:20:30.123Z"),
            (r#""2026-03-01t10:20:30.5z""#, "2026-03-01T10:20:30.500Z"),
            (r#""2026-12-31T23:30:00-01:30""#, "2027-01-01T01:00:00.000Z"),
            ("1772360430", "2026-03-01T10:20:30.000Z"),
            ("1772360430123", "2026-03-01T10:20:30.123Z"),
            ("1772360430.0429", "2026-03-01T10:20:30.042Z"),
            ("1.772360430123e9", "2026-03-01T10:20:30.123Z"),
            (r#""1772360430123""#, "2026-03-01T10:20:30.123Z"),
            (r#"" 1772360430 ""#, "2026-03-01T10:20:30.000Z"),
            ("-1.5", "1969-12-31T23:59:58.500Z"),
            ("0", "1970-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(read_in(value, "UTC"), expected, "{value}");
        }
    }

    #[test]
    fn a_time_without_a_zone_is_of_the_configured_zone() {
        for (value, zone, expected) in [
            (r#""2026-11-28 00:30:05""#, "Europe/Paris", "2026-11-27T23:30:05.000Z"),
            (r#""2026-07-01 00:30:05""#, "Europe/Paris", "2026-06-30T22:30:05.000Z"),
            (r#""2026-11-28 00:30:05""#, "+05:30", "2026-11-27T19:00:05.000Z"),
            (r#""2026-11-28T00:30:05Z""#, "Europe/Paris", "2026-11-28T00:30:05.000Z"),
            ("[2026,11,28]", "Europe/Paris", "2026-11-27T23:00:00.000Z"),
            (r#""2026-11-28T00:30:05[Europe/Paris]""#, "+05:30", "2026-11-27T23:30:05.000Z"),
            // The hour that comes twice, and the one that never comes.
            (r#""2026-10-25 02:30:00""#, "Europe/Paris", "2026-10-25T00:30:00.000Z"),
            (r#""2026-03-29 02:30:00""#, "Europe/Paris", "2026-03-29T01:30:00.000Z"),
        ] {
            assert_eq!(read_in(value, zone), expected, "{value} {zone}");
        }
        assert!("Mars/Base".parse::<Zone>().unwrap_err().to_string().contains("`Mars/Base` is not known"));
    }

    #[test]
    fn years_that_no_index_has_are_out_of_range() {
        for value in [
            r#""10000-01-01T00:00:00Z""#,
            r#""+292278995-01-01T00:00:00Z""#,
            r#""-0001-01-01T00:00:00Z""#,
            "99999999999999999999999",
            r#""99999999999999999999999""#,
            "1e30",
            "1e400",
            "-9223372036854775808000",
            r#"{"seconds":9223372036854775807,"nanos":0}"#,
        ] {
            assert_eq!(read_in(value, "UTC"), "out of range", "{value}");
        }
    }

    #[test]
    fn what_is_no_time_is_unparsed() {
        for value in [
            r#""""#,
            r#"" ""#,
            r#""n/a""#,
            r#""yesterday""#,
            r#""12:30""#,
            r#""2026-11""#,
            r#""2026-02-30T00:00:00Z""#,
            r#""0000-00-00 00:00:00""#,
            r#""2026-11-28T25:00:00Z""#,
            r#""2026-11-28T24:00:01Z""#,
            r#""2026-11-28T00:30:05+25:00""#,
            r#""2026-11-28T00:30:05 CEST""#,
            r#""2026-11-28T00:30:05.Z""#,
            "\"2026-11-28T00:30:05\u{2212}01:00\"",
            "\"28/Nov/2026:00:30:05 \u{2212}0100\"",
            r#""1.2.3""#,
            "1.x",
            "1e++5",
            r#""+5""#,
            r#""0x10""#,
            r#""\ud800""#,
            "null",
            "true",
            "{}",
            "[]",
            "[1]",
            "[2026,13,1]",
            "[2026,11,28,0,0,0,0,0]",
            r#"{"seconds":"x"}"#,
        ] {
            assert_eq!(read_in(value, "UTC"), "unparsed", "{value}");
        }
    }

    proptest! {
        #[test]
        fn whatever_chrono_writes_as_rfc_3339_reads_back(
            millis in -62_167_132_800_000i64..=253_402_214_400_000,
            offset in -86_340i32..=86_340,
        ) {
            let offset = FixedOffset::east_opt(offset / 60 * 60).unwrap();
            let time = DateTime::from_timestamp_millis(millis).unwrap().with_timezone(&offset);
            prop_assume!((0..=9999).contains(&time.year()));
            let quoted = format!("\"{}\"", time.to_rfc3339());
            prop_assert_eq!(read(quoted.as_bytes(), Zone::UTC), Reading::Time(Timestamp::from_millis(millis).unwrap()));
        }

        #[test]
        fn a_written_time_reads_back_the_same(millis in -62_167_219_200_000i64..=253_402_300_799_999) {
            let time = Timestamp::from_millis(millis).unwrap();
            let quoted = [b"\"".as_slice(), &time.to_text(), b"\""].concat();
            prop_assert_eq!(read(&quoted, Zone::UTC), Reading::Time(time));
        }

        #[test]
        fn what_chrono_reads_as_rfc_3339_reads_the_same(text in "[0-2][0-9]{3}-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{1,12})?([Zz]|[+-][0-2][0-9]:[0-6][0-9])") {
            let ours = read(format!("\"{text}\"").as_bytes(), Zone::UTC);
            if let Ok(time) = DateTime::parse_from_rfc3339(&text) && time.second() < 59 {
                prop_assert_eq!(ours, of_millis(Some(time.timestamp_millis())), "{}", text);
            }
        }

        #[test]
        fn no_value_makes_it_panic(text in ".*", value in proptest::arbitrary::any::<Vec<u8>>()) {
            let _ = read(text.as_bytes(), Zone::UTC);
            let _ = read(format!("\"{text}\"").as_bytes(), Zone::UTC);
            let _ = read(&value, Zone::UTC);
        }
    }
}
