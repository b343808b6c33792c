//! Keeps an error that repeats from filling the log.

use std::time::{Duration, Instant};

/// How long the same error is not reported again. librdkafka repeats that a broker is down every second.
const SILENCE: Duration = Duration::from_secs(30);

/// The error that was reported last.
#[derive(Debug, Default)]
pub struct RepeatedError {
    last: Option<(String, Instant)>,
}

impl RepeatedError {
    /// Whether to report `text` at `now`. If so, it counts as reported.
    pub fn is_due(&mut self, text: &str, now: Instant) -> bool {
        let is_repeated = self.last.as_ref().is_some_and(|(last, reported)| {
            last == text && now.saturating_duration_since(*reported) < SILENCE
        });
        if !is_repeated {
            self.last = Some((text.to_owned(), now));
        }
        !is_repeated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_error_is_reported_again_only_after_a_while() {
        let start = Instant::now();
        let mut errors = RepeatedError::default();
        let mut is_due = |text: &str, seconds: u64| errors.is_due(text, start + Duration::from_secs(seconds));
        assert!(is_due("all brokers down", 0));
        assert!(!is_due("all brokers down", 29));
        assert!(is_due("all brokers down", 30));
        assert!(is_due("resolve failed", 31));
        assert!(is_due("all brokers down", 32));
    }
}
