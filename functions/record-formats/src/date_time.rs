//! Dates and times as ISO 8601 text.
//!
//! A year below 0 or above 9999 has a sign, as Java writes it: `+12026-01-01`, `-0001-12-31`.

const DAY_SECONDS: i64 = 86_400;

/// How many digits follow the seconds, by the type's unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Precision {
    Millis,
    Micros,
    Nanos,
}

impl Precision {
    /// Units in a second.
    pub(crate) fn per_second(self) -> i64 {
        match self {
            Self::Millis => 1_000,
            Self::Micros => 1_000_000,
            Self::Nanos => 1_000_000_000,
        }
    }

    fn digits(self) -> usize {
        match self {
            Self::Millis => 3,
            Self::Micros => 6,
            Self::Nanos => 9,
        }
    }
}

/// Appends the date that is `days` after 1970-01-01.
pub(crate) fn append_date(json: &mut Vec<u8>, days: i64) {
    let (year, month, day) = civil(days);
    if year < 0 {
        json.push(b'-');
    } else if year > 9999 {
        json.push(b'+');
    }
    append_padded(json, year.unsigned_abs(), 4);
    json.push(b'-');
    append_padded(json, month, 2);
    json.push(b'-');
    append_padded(json, day, 2);
}

/// Appends the time of day `units` after midnight, which must be within a day: `09:30:00.000`.
pub(crate) fn append_time(json: &mut Vec<u8>, units: i64, precision: Precision) {
    let seconds = units.div_euclid(precision.per_second());
    append_clock(json, seconds);
    json.push(b'.');
    append_padded(json, units.rem_euclid(precision.per_second()).unsigned_abs(), precision.digits());
}

/// Appends the moment `units` after 1970-01-01T00:00:00, without a zone: `2026-03-01T09:30:00.000`.
pub(crate) fn append_date_time(json: &mut Vec<u8>, units: i64, precision: Precision) {
    let per_day = DAY_SECONDS * precision.per_second();
    append_date(json, units.div_euclid(per_day));
    json.push(b'T');
    append_time(json, units.rem_euclid(per_day), precision);
}

/// Appends the moment `seconds` after 1970-01-01T00:00:00 with as many digits (0, 3, 6 or 9) as `nanos` needs, as Protobuf
/// writes it, without a zone.
pub(crate) fn append_shortest_date_time(json: &mut Vec<u8>, seconds: i64, nanos: u32) {
    append_date(json, seconds.div_euclid(DAY_SECONDS));
    json.push(b'T');
    append_clock(json, seconds.rem_euclid(DAY_SECONDS));
    append_shortest_nanos(json, nanos);
}

/// Appends a point and three, six or nine digits; nothing for zero.
pub(crate) fn append_shortest_nanos(json: &mut Vec<u8>, nanos: u32) {
    let (number, digits) = match nanos {
        0 => return,
        _ if nanos.is_multiple_of(1_000_000) => (nanos / 1_000_000, 3),
        _ if nanos.is_multiple_of(1_000) => (nanos / 1_000, 6),
        _ => (nanos, 9),
    };
    json.push(b'.');
    append_padded(json, number.into(), digits);
}

fn append_clock(json: &mut Vec<u8>, seconds: i64) {
    let seconds = seconds.unsigned_abs();
    append_padded(json, seconds / 3600, 2);
    json.push(b':');
    append_padded(json, seconds / 60 % 60, 2);
    json.push(b':');
    append_padded(json, seconds % 60, 2);
}

/// Appends a number with zeros in front.
fn append_padded(json: &mut Vec<u8>, number: u64, digits: usize) {
    let mut buffer = itoa::Buffer::new();
    let text = buffer.format(number);
    json.resize(json.len() + digits.saturating_sub(text.len()), b'0');
    json.extend_from_slice(text.as_bytes());
}

/// Year, month and day of the Gregorian calendar, before its introduction as well
/// (<https://howardhinnant.github.io/date_algorithms.html#civil_from_days>).
fn civil(days: i64) -> (i64, u64, u64) {
    // Eras of 400 years that begin on the first of March.
    let days = days.saturating_add(719_468);
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 { (0, month + 3) } else { (1, month - 9) };
    (year_of_era + era * 400 + year, month.unsigned_abs(), day.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(append: impl Fn(&mut Vec<u8>)) -> String {
        let mut json = Vec::new();
        append(&mut json);
        String::from_utf8(json).unwrap()
    }

    #[test]
    fn dates_are_those_of_the_gregorian_calendar() {
        let date = |days| text(|json| append_date(json, days));
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(-1), "1969-12-31");
        assert_eq!(date(11_016), "2000-02-29");
        assert_eq!(date(20_513), "2026-03-01");
        assert_eq!(date(2_932_896), "9999-12-31");
        assert_eq!(date(2_932_897), "+10000-01-01");
        assert_eq!(date(-719_528), "0000-01-01");
        assert_eq!(date(-719_529), "-0001-12-31");
        assert_eq!(date(i32::MAX.into()), "+5881580-07-11");
        assert_eq!(date(i32::MIN.into()), "-5877641-06-23");
    }

    #[test]
    fn times_have_the_digits_of_their_unit() {
        let time = |units, precision| text(|json| append_date_time(json, units, precision));
        assert_eq!(time(1_772_355_000_007, Precision::Millis), "2026-03-01T08:50:00.007");
        assert_eq!(time(-1, Precision::Millis), "1969-12-31T23:59:59.999");
        assert_eq!(time(-1, Precision::Micros), "1969-12-31T23:59:59.999999");
        assert_eq!(time(i64::MAX, Precision::Nanos), "2262-04-11T23:47:16.854775807");
        assert_eq!(time(i64::MIN, Precision::Millis), "-292275055-05-16T16:47:04.192");
        assert_eq!(time(i64::MAX, Precision::Millis), "+292278994-08-17T07:12:55.807");
        assert_eq!(text(|json| append_time(json, 86_399_999_999, Precision::Micros)), "23:59:59.999999");
    }

    #[test]
    fn protobufs_times_have_as_many_digits_as_they_need() {
        let time = |seconds, nanos| text(|json| append_shortest_date_time(json, seconds, nanos));
        assert_eq!(time(0, 0), "1970-01-01T00:00:00");
        assert_eq!(time(-1, 500_000_000), "1969-12-31T23:59:59.500");
        assert_eq!(time(59, 1_000), "1970-01-01T00:00:59.000001");
        assert_eq!(time(59, 1), "1970-01-01T00:00:59.000000001");
    }
}
