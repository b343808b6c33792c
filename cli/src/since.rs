//! From when on a command looks at records: `--since`.

use std::time::{SystemTime, UNIX_EPOCH};

use thiserror::Error;

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

/// Why a text is no beginning.
#[derive(Debug, Error)]
pub enum SinceError {
    /// It has none of the forms.
    #[error("neither a span such as 24h, a time (RFC 3339) nor `beginning`: {0}")]
    Form(#[from] humantime::DurationError),
    /// The clock shows a time that milliseconds since 1970 can't express.
    #[error("the clock of this machine is off")]
    Clock,
}

/// Reads a span such as `24h`, which ends now, a time, or `beginning`.
///
/// # Errors
/// [`SinceError`]
pub fn parse(text: &str) -> Result<SinceText, SinceError> {
    let since = if text == "beginning" {
        Since::Beginning
    } else if let Some(millis) = parse_time(text) {
        Since::Time(millis)
    } else {
        let span = humantime::parse_duration(text)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| SinceError::Clock)?;
        let millis = now.saturating_sub(span).as_millis();
        Since::Time(i64::try_from(millis).map_err(|_| SinceError::Clock)?)
    };
    Ok(SinceText { since, text: text.to_owned() })
}
