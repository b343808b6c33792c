//! When to stop: an invocation answers how far it got before Lambda ends it.

use std::time::Duration;

use tokio::time::Instant;

/// The time of one invocation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    deadline: Instant,
    reserve: Duration,
    page_began: Instant,
    longest_page: Duration,
}

/// Left for a page's last steps, in any but a short invocation.
const RESERVE: Duration = Duration::from_secs(10);

impl Pace {
    /// Begins, to be over by `deadline`.
    pub(crate) fn begin(deadline: Instant) -> Self {
        let now = Instant::now();
        let reserve = RESERVE.min(deadline.saturating_duration_since(now) / 4);
        Self { deadline, reserve, page_began: now, longest_page: Duration::ZERO }
    }

    /// Whether another page, as long as the longest one yet, would be over in time; if so, it begins.
    pub(crate) fn begin_page(&mut self) -> bool {
        let now = Instant::now();
        self.page_began = now;
        now + self.reserve + self.longest_page < self.deadline
    }

    /// Ends a page.
    pub(crate) fn end_page(&mut self) {
        self.longest_page = self.longest_page.max(self.page_began.elapsed());
    }

    /// Until when records may be indexed, so that time is left to remove their dead letters.
    pub(crate) fn index_until(&self) -> Instant {
        self.deadline.checked_sub(self.reserve / 2).unwrap_or(self.deadline)
    }

    /// Until when the invocation may work.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_page_begins_only_if_one_like_the_longest_would_end_in_time() {
        let mut pace = Pace::begin(Instant::now() + Duration::from_secs(60));
        assert!(pace.begin_page());
        tokio::time::advance(Duration::from_secs(20)).await;
        pace.end_page();
        assert!(pace.begin_page(), "40 s are left, 20 s and the reserve of 10 s are needed");
        tokio::time::advance(Duration::from_secs(15)).await;
        pace.end_page();
        assert!(!pace.begin_page());
        assert!(pace.index_until() < pace.deadline());
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_invocation_does_at_least_one_page() {
        assert!(Pace::begin(Instant::now() + Duration::from_secs(2)).begin_page());
        assert!(!Pace::begin(Instant::now()).begin_page());
    }
}
