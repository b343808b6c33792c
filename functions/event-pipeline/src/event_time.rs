//! Chooses the time of a document: the event's own, or the record's.

use crate::settings::Settings;
use crate::time_text::{Reading, read};
use crate::timestamp::Timestamp;

/// The event's time fields are there, but none of them is a time.
pub(crate) const UNPARSED: &str = "_timestampunparsed";
/// A time of the event is too far from the record's own, or of a year that no index has.
pub(crate) const OUT_OF_RANGE: &str = "_timestampoutofrange";
/// The record's own timestamp is missing or cannot be, and the event has no good time.
pub(crate) const MISSING: &str = "_timestampmissing";

/// 2000-01-01 and 2100-01-01: a record's timestamp outside of these was not meant in milliseconds, or not set. Judged
/// without a clock, so that the same record is always the same document.
const PLAUSIBLE_MS: std::ops::Range<i64> = 946_684_800_000..4_102_444_800_000;
/// 1970-01-01 and 2200-01-01: only times between these are indexed as dates.
const INDEXABLE_MS: std::ops::Range<i64> = 0..7_258_118_400_000;

/// The time of the document of a record with the timestamp `kafka_ms`, whose payload has the values `own` in its time
/// fields, in the order of preference. Appends to `tags` why it is not the event's own.
pub(crate) fn choose<'v>(
    settings: &Settings,
    kafka_ms: Option<i64>,
    own: impl Iterator<Item = &'v [u8]>,
    tags: &mut Vec<&'static str>,
) -> Timestamp {
    let kafka = kafka_ms.and_then(Timestamp::from_kafka);
    let trusted = kafka.filter(|time| PLAUSIBLE_MS.contains(&time.millis()));
    let fits = |time: Timestamp| match trusted {
        Some(kafka) => {
            let later_ms = time.millis() - kafka.millis();
            later_ms <= settings.max_future_ms && -later_ms <= settings.max_past_ms
        }
        // A record without a timestamp has nothing to measure by.
        None if kafka_ms.is_none_or(|millis| millis == -1) => INDEXABLE_MS.contains(&time.millis()),
        None => PLAUSIBLE_MS.contains(&time.millis()),
    };
    let (mut is_unparsed, mut is_out_of_range) = (false, false);
    for value in own {
        match read(value, settings.timestamp_zone) {
            Reading::Time(time) if fits(time) => return time,
            Reading::Time(_) | Reading::OutOfRange => is_out_of_range = true,
            Reading::Unparsed => is_unparsed = true,
        }
    }
    tags.extend(is_unparsed.then_some(UNPARSED));
    tags.extend(is_out_of_range.then_some(OUT_OF_RANGE));
    if let Some(kafka) = trusted {
        return kafka;
    }
    tags.push(MISSING);
    kafka.filter(|time| INDEXABLE_MS.contains(&time.millis())).unwrap_or(Timestamp::EPOCH)
}

/// A record's timestamp as `kafka_timestamp`, a date field, can have it.
pub(crate) fn indexable(kafka_ms: Option<i64>) -> Option<Timestamp> {
    kafka_ms.filter(|millis| INDEXABLE_MS.contains(millis)).and_then(Timestamp::from_kafka)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-28T00:30:05.123Z
    const K: i64 = 1_795_825_805_123;

    fn chosen(kafka_ms: Option<i64>, own: &[&str]) -> (String, Vec<&'static str>) {
        let mut tags = Vec::new();
        let values = own.iter().map(|value| value.as_bytes());
        let time = choose(&Settings::default(), kafka_ms, values, &mut tags);
        (String::from_utf8(time.to_text().to_vec()).unwrap(), tags)
    }

    fn check(kafka_ms: Option<i64>, own: &[&str], time: &str, tags: &[&str]) {
        assert_eq!(chosen(kafka_ms, own), (time.to_owned(), tags.to_vec()), "{kafka_ms:?} {own:?}");
    }

    #[test]
    fn the_first_time_that_fits_the_records_own_wins() {
        let today = r#""2026-11-27T10:00:00Z""#;
        check(Some(K), &[today], "2026-11-27T10:00:00.000Z", &[]);
        check(Some(K), &[r#""n/a""#, "null", "37", today], "2026-11-27T10:00:00.000Z", &[]);
    }

    #[test]
    fn the_records_own_time_stands_in_and_the_tags_say_why() {
        let record = "2026-11-28T00:30:05.123Z";
        check(Some(K), &[], record, &[]);
        check(Some(K), &["null"], record, &[UNPARSED]);
        check(Some(K), &[r#""10000-01-01T00:00:00Z""#], record, &[OUT_OF_RANGE]);
        check(Some(K), &[r#""1970-01-01T00:00:00Z""#], record, &[OUT_OF_RANGE]);
        check(Some(K), &[r#""n/a""#, "37"], record, &[UNPARSED, OUT_OF_RANGE]);
    }

    #[test]
    fn an_impossible_record_timestamp_yields_to_a_plausible_time_of_the_event() {
        for kafka_ms in [0, 5, K / 1000, K * 1000, i64::MAX, -7] {
            check(Some(kafka_ms), &[r#""2026-11-27T10:00:00Z""#], "2026-11-27T10:00:00.000Z", &[]);
        }
    }

    #[test]
    fn no_good_time_at_all_is_tagged() {
        check(Some(0), &[], "1970-01-01T00:00:00.000Z", &[MISSING]);
        check(Some(K / 1000), &["37"], "1970-01-21T18:50:25.805Z", &[OUT_OF_RANGE, MISSING]);
        check(Some(K * 1000), &[], "1970-01-01T00:00:00.000Z", &[MISSING]);
        check(Some(-1), &[r#""n/a""#], "1970-01-01T00:00:00.000Z", &[UNPARSED, MISSING]);
        check(None, &[r#""1999-01-01T00:00:00Z""#], "1999-01-01T00:00:00.000Z", &[]);
        check(None, &[r#""2300-01-01T00:00:00Z""#], "1970-01-01T00:00:00.000Z", &[OUT_OF_RANGE, MISSING]);
    }

    #[test]
    fn only_times_of_these_centuries_are_indexed_as_dates() {
        assert_eq!(indexable(Some(K)).map(Timestamp::millis), Some(K));
        assert_eq!([indexable(None), indexable(Some(-1)), indexable(Some(K * 1000))], [None; 3]);
    }
}
