//! The time of an invocation: a run stops early enough to return its response before Lambda ends it.

use std::time::Duration;

use tokio::time::Instant;

/// The time of one invocation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TimeBudget {
    deadline: Instant,
    reserve: Duration,
    step_began: Instant,
    longest_step: Duration,
}

/// Reserved for the end of a step, except in a short invocation.
const RESERVE: Duration = Duration::from_secs(10);

impl TimeBudget {
    /// Returns a budget that starts now and lasts until `deadline`.
    pub(crate) fn until(deadline: Instant) -> Self {
        let now = Instant::now();
        let reserve = RESERVE.min(deadline.saturating_duration_since(now) / 4);
        Self { deadline, reserve, step_began: now, longest_step: Duration::ZERO }
    }

    /// Begins a step, and returns whether it would end in time if it took as long as the longest one so far.
    pub(crate) fn begin_step(&mut self) -> bool {
        let now = Instant::now();
        self.step_began = now;
        now + self.reserve + self.longest_step < self.deadline
    }

    /// Ends a step.
    pub(crate) fn end_step(&mut self) {
        self.longest_step = self.longest_step.max(self.step_began.elapsed());
    }

    /// When indexing must end, so that time is left to remove the dead letters.
    pub(crate) fn index_deadline(&self) -> Instant {
        self.deadline.checked_sub(self.reserve / 2).unwrap_or(self.deadline)
    }

    /// When all work must end.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_step_begins_only_if_one_like_the_longest_would_end_in_time() {
        let mut budget = TimeBudget::until(Instant::now() + Duration::from_secs(60));
        assert!(budget.begin_step());
        tokio::time::advance(Duration::from_secs(20)).await;
        budget.end_step();
        assert!(budget.begin_step(), "40 s are left, 20 s and the reserve of 10 s are needed");
        tokio::time::advance(Duration::from_secs(15)).await;
        budget.end_step();
        assert!(!budget.begin_step());
        assert!(budget.index_deadline() < budget.deadline());
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_invocation_does_at_least_one_step() {
        assert!(TimeBudget::until(Instant::now() + Duration::from_secs(2)).begin_step());
        assert!(!TimeBudget::until(Instant::now()).begin_step());
    }
}
