//! Timestamps: which forms are read as a time, and how `@timestamp` is written.

use chrono::{DateTime, Datelike, NaiveDate, Timelike};

/// Milliseconds since 1970-01-01T00:00:00Z, in the years 0 to 9999, which have four digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(i64);

/// Whole numbers up to this one are read as seconds, larger ones as milliseconds: it is the year 5138 in seconds, and
/// March 1973 in milliseconds.
const MAX_SECONDS: i64 = 100_000_000_000;

impl Timestamp {
    /// 1970-01-01T00:00:00.000Z.
    pub const EPOCH: Self = Self(0);

    /// Makes a timestamp of milliseconds since the epoch; `None` outside the years 0 to 9999.
    pub fn from_millis(millis: i64) -> Option<Self> {
        (-62_167_219_200_000..=253_402_300_799_999).contains(&millis).then_some(Self(millis))
    }

    /// Makes a timestamp of a Kafka record's; `None` for -1, Kafka's "no timestamp", for other negative numbers and after
    /// the year 9999.
    pub fn from_kafka(millis: i64) -> Option<Self> {
        Self::from_millis(millis).filter(|_| millis >= 0)
    }

    /// Reads the text of a JSON value: an RFC 3339 string with any offset, or epoch seconds or milliseconds as a
    /// number or in a string. Fractions of a millisecond are cut off.
    pub fn from_json(value: &[u8]) -> Option<Self> {
        match value {
            [b'"', text @ .., b'"'] => Self::from_text(std::str::from_utf8(text).ok()?),
            _ => Self::from_epoch(std::str::from_utf8(value).ok()?),
        }
    }

    fn from_text(text: &str) -> Option<Self> {
        if let Some(time) = Self::from_usual_form(text.as_bytes()) {
            return Some(time);
        }
        let text = text.trim();
        match DateTime::parse_from_rfc3339(text) {
            Ok(time) => Self::from_millis(time.timestamp_millis()),
            Err(_) => Self::from_epoch(text),
        }
    }

    /// Reads `YYYY-MM-DDTHH:MM:SSZ`, with or without milliseconds, which nearly all producers write, in a fifth of the
    /// time that a general parser takes. `None` for any other form, which the general parser reads.
    fn from_usual_form(text: &[u8]) -> Option<Self> {
        let (seconds, millis) = match text {
            [seconds @ .., b'Z'] if seconds.len() == 19 => (seconds, 0),
            [seconds @ .., b'.', a, b, c, b'Z'] if seconds.len() == 19 => (seconds, number(&[*a, *b, *c])?),
            _ => return None,
        };
        let [y1, y2, y3, y4, b'-', mo1, mo2, b'-', d1, d2, b'T', h1, h2, b':', mi1, mi2, b':', s1, s2] =
            seconds
        else {
            return None;
        };
        let date = NaiveDate::from_ymd_opt(
            number(&[*y1, *y2, *y3, *y4])? as i32,
            number(&[*mo1, *mo2])?,
            number(&[*d1, *d2])?,
        )?;
        let (hour, minute, second) = (number(&[*h1, *h2])?, number(&[*mi1, *mi2])?, number(&[*s1, *s2])?);
        Self::from_millis(date.and_hms_milli_opt(hour, minute, second, millis)?.and_utc().timestamp_millis())
    }

    fn from_epoch(text: &str) -> Option<Self> {
        if text.contains(['e', 'E']) {
            let number: f64 = text.parse().ok()?;
            let millis = if number.abs() <= MAX_SECONDS as f64 { number * 1000.0 } else { number };
            return millis.is_finite().then(|| Self::from_millis(millis.trunc() as i64))?;
        }
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        if !fraction.bytes().all(|byte| byte.is_ascii_digit()) || whole.starts_with('+') {
            return None;
        }
        let number: i64 = whole.parse().ok()?;
        if number.unsigned_abs() > MAX_SECONDS as u64 {
            return Self::from_millis(number);
        }
        // The first three digits after the point are milliseconds.
        let fraction_ms = fraction
            .bytes()
            .chain("000".bytes())
            .take(3)
            .fold(0, |ms, digit| ms * 10 + i64::from(digit - b'0'));
        let negative = whole.starts_with('-');
        Self::from_millis(number * 1000 + if negative { -fraction_ms } else { fraction_ms })
    }

    /// Milliseconds since the epoch.
    pub fn millis(self) -> i64 {
        self.0
    }

    /// `YYYY-MM-DDTHH:MM:SS.mmmZ`.
    pub fn to_text(self) -> [u8; 24] {
        let time =
            DateTime::from_timestamp_millis(self.0).expect("the years 0 to 9999 are within chrono's range");
        let (millis, utc) = (time.timestamp_subsec_millis(), time.naive_utc());
        let (date, clock) = (utc.date(), utc.time());
        let (year, month, day) = (date.year().unsigned_abs(), date.month(), date.day());
        let (hour, minute, second) = (clock.hour(), clock.minute(), clock.second());
        let [y, year_rest] = [year / 100, year % 100].map(two_digits);
        let [month, day, hour, minute, second] = [month, day, hour, minute, second].map(two_digits);
        let [tens, units] = two_digits(millis % 100);
        [
            y[0],
            y[1],
            year_rest[0],
            year_rest[1],
            b'-',
            month[0],
            month[1],
            b'-',
            day[0],
            day[1],
            b'T',
            hour[0],
            hour[1],
            b':',
            minute[0],
            minute[1],
            b':',
            second[0],
            second[1],
            b'.',
            digit(millis / 100),
            tens,
            units,
            b'Z',
        ]
    }

    /// The UTC day as `YYYY.MM.DD`, as daily indices are named.
    pub fn day(self) -> [u8; 10] {
        let [y1, y2, y3, y4, _, m1, m2, _, d1, d2, ..] = self.to_text();
        [y1, y2, y3, y4, b'.', m1, m2, b'.', d1, d2]
    }
}

/// Parses a number of digits alone; `None` if another character is among them.
fn number(digits: &[u8]) -> Option<u32> {
    let step = |sum: u32, byte: &u8| byte.is_ascii_digit().then(|| sum * 10 + u32::from(byte - b'0'));
    digits.iter().try_fold(0, step)
}

fn two_digits(number: u32) -> [u8; 2] {
    [digit(number / 10), digit(number)]
}

fn digit(number: u32) -> u8 {
    b'0' + (number % 10) as u8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(value: &str) -> Option<String> {
        let text = Timestamp::from_json(value.as_bytes())?.to_text();
        Some(String::from_utf8(text.to_vec()).unwrap())
    }

    #[test]
    fn every_accepted_form_is_normalised_to_utc_milliseconds() {
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
            assert_eq!(written(value).as_deref(), Some(expected), "{value}");
        }
    }

    #[test]
    fn other_values_are_not_read_as_a_time() {
        for value in [
            r#""""#,
            r#""yesterday""#,
            r#""2026-03-01""#,
            r#""2026-03-01T10:20:30""#,
            r#""2026-02-30T00:00:00Z""#,
            "null",
            "true",
            "{}",
            "[1]",
            "99999999999999999999",
            "-9223372036854775808",
            "1e400",
            "1.2.3",
            "1.x",
            r#""+5""#,
        ] {
            assert_eq!(written(value), None, "{value}");
        }
    }

    #[test]
    fn a_kafka_timestamp_of_minus_one_is_none() {
        assert_eq!(Timestamp::from_kafka(-1), None);
        assert_eq!(Timestamp::from_kafka(i64::MAX), None);
        assert_eq!(Timestamp::from_kafka(5), Some(Timestamp(5)));
    }

    proptest! {
        #[test]
        fn a_written_time_reads_back_the_same(millis in -62_167_219_200_000i64..=253_402_300_799_999) {
            let time = Timestamp::from_millis(millis).unwrap();
            let quoted = [b"\"".as_slice(), &time.to_text(), b"\""].concat();
            prop_assert_eq!(Timestamp::from_json(&quoted), Some(time));
        }

        #[test]
        fn the_fast_parser_agrees_with_the_general_one(
            text in "[0-2][0-9]{3}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{3})?Z",
        ) {
            let general = DateTime::parse_from_rfc3339(&text).ok().map(|time| Timestamp(time.timestamp_millis()));
            // Leap seconds are left to the general parser.
            if let Some(usual) = Timestamp::from_usual_form(text.as_bytes()) {
                prop_assert_eq!(Some(usual), general, "{}", text);
            } else {
                prop_assert!(general.is_none() || text.contains(":60"), "{}", text);
            }
        }

        #[test]
        fn no_text_causes_a_panic(text in ".*") {
            let _ = Timestamp::from_json(text.as_bytes());
            let _ = Timestamp::from_json(format!("\"{text}\"").as_bytes());
        }
    }
}
