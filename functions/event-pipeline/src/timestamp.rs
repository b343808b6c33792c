//! Timestamps: their range, their usual form, and how `@timestamp` is written.

use chrono::{Datelike, NaiveDate};

/// Milliseconds since 1970-01-01T00:00:00Z, in the years 0 to 9999, which have four digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(i64);

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

    /// Reads `YYYY-MM-DDTHH:MM:SSZ`, with or without milliseconds, which nearly all producers write, in a fifth of the
    /// time that a general parser takes. `None` for any other form, which the general parser reads.
    pub(crate) fn from_usual_form(text: &[u8]) -> Option<Self> {
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

    /// Milliseconds since the epoch.
    pub fn millis(self) -> i64 {
        self.0
    }

    /// `YYYY-MM-DDTHH:MM:SS.mmmZ`.
    pub fn to_text(self) -> [u8; 24] {
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let [year, month, day] = self.date();
        let of_day = self.0.rem_euclid(DAY_MS) as u32;
        let (seconds, millis) = (of_day / 1000, of_day % 1000);
        let parts = [
            (0, year / 100),
            (2, year % 100),
            (5, month),
            (8, day),
            (11, seconds / 3600),
            (14, seconds / 60 % 60),
            (17, seconds % 60),
            (20, millis / 10),
        ];
        for (place, number) in parts {
            set_two_digits(&mut text, place, number);
        }
        text[22] = digit(millis);
        text
    }

    /// The UTC day as `YYYY.MM.DD`, as daily indices are named.
    pub fn day(self) -> [u8; 10] {
        let mut text = *b"0000.00.00";
        let [year, month, day] = self.date();
        for (place, number) in [(0, year / 100), (2, year % 100), (5, month), (8, day)] {
            set_two_digits(&mut text, place, number);
        }
        text
    }

    /// Year, month and day of the UTC day.
    fn date(self) -> [u32; 3] {
        let days = self.0.div_euclid(DAY_MS) as i32;
        let date = NaiveDate::from_epoch_days(days).expect("the years 0 to 9999 are within chrono's range");
        [date.year().unsigned_abs(), date.month(), date.day()]
    }
}

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Parses a number of digits alone; `None` if another character is among them.
#[inline(always)]
fn number<const LEN: usize>(digits: &[u8; LEN]) -> Option<u32> {
    let step = |sum: u32, byte: &u8| byte.is_ascii_digit().then(|| sum * 10 + u32::from(byte - b'0'));
    digits.iter().try_fold(0, step)
}

/// Writes the last two digits of `number` at `place`.
#[inline(always)]
fn set_two_digits<const LEN: usize>(text: &mut [u8; LEN], place: usize, number: u32) {
    if let Some([tens, units]) = text.get_mut(place..place + 2) {
        (*tens, *units) = (digit(number / 10), digit(number));
    }
}

fn digit(number: u32) -> u8 {
    b'0' + (number % 10) as u8
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_kafka_timestamp_of_minus_one_is_none() {
        assert_eq!(Timestamp::from_kafka(-1), None);
        assert_eq!(Timestamp::from_kafka(i64::MAX), None);
        assert_eq!(Timestamp::from_kafka(5), Some(Timestamp(5)));
    }

    proptest! {
        #[test]
        fn times_are_written_as_chrono_writes_them(millis in -62_167_219_200_000..253_402_300_800_000_i64) {
            let time = Timestamp::from_millis(millis).unwrap();
            let chronos = DateTime::from_timestamp_millis(millis).unwrap();
            let text = chronos.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
            prop_assert_eq!(&time.to_text()[..], text.as_bytes());
            let day = chronos.format("%Y.%m.%d").to_string();
            prop_assert_eq!(&time.day()[..], day.as_bytes());
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
    }
}
