//! Reads the conditions that an event gives: lists of names, and times.

use crate::replay_event::OneOrMany;
use crate::request_error::RequestError;

/// The strings of the condition `name`; none where it is not given.
pub(crate) fn list(name: &'static str, given: Option<&OneOrMany>) -> Result<Vec<String>, RequestError> {
    let Some(given) = given else { return Ok(Vec::new()) };
    let list = given.list();
    if list.is_empty() || list.iter().any(String::is_empty) {
        Err(RequestError::EmptyList(name))
    } else {
        Ok(list)
    }
}

/// Checks the form of a time, so that a typing error gets our message. The cluster parses the time.
pub(crate) fn time(name: &'static str, given: Option<&str>) -> Result<Option<String>, RequestError> {
    let Some(text) = given else { return Ok(None) };
    let from_now = text.strip_prefix("now").is_some_and(|rest| {
        rest.is_empty()
            || rest.starts_with(['-', '+', '/'])
                && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"-+/".contains(&b))
    });
    let (day, clock) = text.split_once('T').unwrap_or((text, ""));
    let digits = |part: &str, len: usize| part.len() == len && part.bytes().all(|b| b.is_ascii_digit());
    let mut parts = day.split('-');
    let is_day = parts.next().is_some_and(|year| digits(year, 4))
        && parts.next().is_some_and(|month| digits(month, 2))
        && parts.next().is_some_and(|day| digits(day, 2))
        && parts.next().is_none();
    // A time without a zone would be read as UTC, whatever was meant.
    let has_zone = clock.ends_with('Z') || clock.get(5..).is_some_and(|rest| rest.contains(['+', '-']));
    if from_now || is_day && (!text.contains('T') || has_zone) {
        return Ok(Some(text.to_owned()));
    }
    Err(RequestError::Time { name, text: text.to_owned() })
}
