//! From when on a command looks at records: `--since`.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::record_text::parse_time;

/// Where reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// The first record from this time on, in milliseconds since the epoch.
    Time(i64),
    /// The oldest record that the topic has.
    Beginning,
}

/// Where a command begins, and how it was given.
#[derive(Debug, Clone)]
pub struct SinceText {
    /// Where it begins.
    pub since: Since,
    /// As it was given.
    pub text: String,
}

/// Reads a span such as `24h`, a time, or `beginning`, for the command line.
///
/// # Errors
/// A text for the terminal.
pub(crate) fn parse(text: &str) -> Result<SinceText, String> {
    let since = if text == "beginning" {
        Since::Beginning
    } else if let Some(millis) = parse_time(text) {
        Since::Time(millis)
    } else {
        let span = humantime::parse_duration(text).map_err(|error| {
            format!("neither a span such as 24h, a time (RFC 3339) nor `beginning`: {error}")
        })?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|error| error.to_string())?;
        let millis = now.saturating_sub(span).as_millis();
        Since::Time(i64::try_from(millis).map_err(|error| error.to_string())?)
    };
    Ok(SinceText { since, text: text.to_owned() })
}
