//! Which lines of a function reach CloudWatch in Lambda's JSON log format.

use serde_json::Value;

/// Levels that a function's log level can be set to, from the most detailed.
pub const LEVELS: [&str; 6] = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];

/// Returns the level that Lambda gives to a line: the text of its `level`. Without a valid `level`, or without a `timestamp`
/// in the form of RFC 3339, Lambda documents that it assigns INFO.
///
/// <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html>
pub fn level_of(line: &str) -> &'static str {
    let line: Value = serde_json::from_str(line).unwrap_or_default();
    let text = |name: &str| line.get(name).and_then(Value::as_str);
    let level = text("level").and_then(|text| LEVELS.iter().find(|level| level.eq_ignore_ascii_case(text)));
    let has_time = text("timestamp").is_some_and(is_rfc_3339);
    level.filter(|_| has_time).copied().unwrap_or("INFO")
}

/// Whether a function that is set to `log_level` sends the line to CloudWatch.
pub fn is_sent(line: &str, log_level: &str) -> bool {
    let rank = |level: &str| LEVELS.iter().position(|known| *known == level);
    rank(level_of(line)) >= rank(log_level)
}

/// Whether a text is a time such as `2024-11-02T16:51:31.587Z`. Other zones than UTC are valid in RFC 3339, and not here: our
/// lines have none.
fn is_rfc_3339(text: &str) -> bool {
    let Some((seconds, fraction)) = text.strip_suffix('Z').and_then(|text| text.split_at_checked(19)) else {
        return false;
    };
    let has_form = seconds.bytes().zip(b"dddd-dd-ddTdd:dd:dd".iter()).all(|(byte, form)| match form {
        b'd' => byte.is_ascii_digit(),
        _ => byte == *form,
    });
    let has_fraction = match fraction.strip_prefix('.') {
        Some(digits) => !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()),
        None => fraction.is_empty(),
    };
    has_form && has_fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_without_a_level_or_a_time_counts_as_info() {
        let time = r#""timestamp":"2024-11-02T16:51:31.587199Z""#;
        for (line, expected) in [
            (format!(r#"{{"level":"debug",{time}}}"#), "DEBUG"),
            (format!(r#"{{"level":"FATAL",{time}}}"#), "FATAL"),
            (format!(r#"{{"level":"METRIC",{time}}}"#), "INFO"),
            (format!("{{{time}}}"), "INFO"),
            (r#"{"level":"ERROR"}"#.to_owned(), "INFO"),
            (r#"{"level":"ERROR","timestamp":1730566291587}"#.to_owned(), "INFO"),
            (r#"{"level":"ERROR","timestamp":"2024-11-02 16:51:31Z"}"#.to_owned(), "INFO"),
            ("not JSON".to_owned(), "INFO"),
        ] {
            assert_eq!(level_of(&line), expected, "{line}");
        }
        assert!(is_sent("x", "INFO") && is_sent("x", "TRACE") && !is_sent("x", "WARN"));
    }
}
