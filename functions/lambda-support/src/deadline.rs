//! How long an invocation may work.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Reserved at the end of an invocation for returning its result, and for a response that comes at the last moment.
const MARGIN: Duration = Duration::from_secs(1);

/// Returns the instant at which work must end so that an invocation never runs into its timeout: one second before the
/// deadline that Lambda gives (milliseconds since the epoch, by the clock of `now`), or after half of the remaining time
/// if that is under two seconds.
pub fn work_until(deadline_ms: u64, now: SystemTime) -> Instant {
    let left = (UNIX_EPOCH + Duration::from_millis(deadline_ms)).duration_since(now).unwrap_or_default();
    Instant::now() + left.saturating_sub(MARGIN).max(left / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_margin_is_left_before_the_timeout() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000);
        for (deadline_ms, work_ms) in [(1_060_000, 59_000), (1_001_500, 750), (1_000_000, 0), (0, 0)] {
            let work = work_until(deadline_ms, now) - Instant::now();
            assert_eq!(work.as_millis(), work_ms, "{deadline_ms}");
        }
    }
}
