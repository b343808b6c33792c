//! Times: what chrono reads as RFC 3339 or RFC 2822, and epochs as exact decimals.

use chrono::{DateTime, FixedOffset};
use event_pipeline::time_text::{Reading, Zone, read};
use event_pipeline::timestamp::Timestamp;

/// U+2212, which chrono takes for a minus.
const MINUS_SIGN: char = '\u{2212}';

pub(crate) fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    check_value(text);
    check_value(&serde_json::to_string(text).unwrap());

    let as_text = read(serde_json::to_string(text).unwrap().as_bytes(), Zone::UTC);
    let theirs = DateTime::parse_from_rfc3339(text).or_else(|_| DateTime::parse_from_rfc2822(text));
    if let Ok(theirs) = theirs
        && !text.contains(MINUS_SIGN)
    {
        assert_eq!(as_text, expected(theirs), "{text}");
    }
    if text.contains(MINUS_SIGN) {
        assert_eq!(as_text, Reading::Unparsed, "{text}");
    }
    if let Ok(number) = serde_json::from_str::<f64>(text) {
        check_epoch(text, number);
    }
}

/// However a time is read, its own text is the same time.
fn check_value(json: &str) {
    if let Reading::Time(time) = read(json.as_bytes(), Zone::UTC) {
        let text = String::from_utf8(time.to_text().to_vec()).unwrap();
        assert_eq!(read(format!("\"{text}\"").as_bytes(), Zone::UTC), Reading::Time(time), "{json}");
        assert_eq!(DateTime::parse_from_rfc3339(&text).unwrap().timestamp_millis(), time.millis());
    }
}

fn expected(theirs: DateTime<FixedOffset>) -> Reading {
    Timestamp::from_millis(theirs.timestamp_millis()).map_or(Reading::OutOfRange, Reading::Time)
}

/// A whole number is exact; another is within the precision of a float.
fn check_epoch(text: &str, number: f64) {
    let reading = read(text.trim().as_bytes(), Zone::UTC);
    let factor = match number.abs() {
        size if size < 1e11 => 1000.0,
        size if size < 1e14 => 1.0,
        size if size < 1e17 => 0.001,
        _ => 0.000_001,
    };
    if let Ok(whole) = text.trim().parse::<i64>() {
        let millis = match whole.unsigned_abs() {
            0..100_000_000_000 => whole * 1000,
            100_000_000_000..100_000_000_000_000 => whole,
            100_000_000_000_000..100_000_000_000_000_000 => whole / 1000,
            _ => whole / 1_000_000,
        };
        assert_eq!(
            reading,
            Timestamp::from_millis(millis).map_or(Reading::OutOfRange, Reading::Time),
            "{text}"
        );
        return;
    }
    // At the edge between two units a float can be on the wrong side.
    let is_at_edge = [1e11, 1e14, 1e17].iter().any(|edge| (number.abs() / edge - 1.0).abs() < 1e-9);
    if let Reading::Time(time) = reading
        && !is_at_edge
    {
        let millis = number * factor;
        let tolerance = 1.0 + millis.abs() * 1e-12;
        assert!((time.millis() as f64 - millis).abs() <= tolerance, "{text}: {} for {millis}", time.millis());
    }
}
