//! Computes the wait before a retry: exponential backoff with full jitter,
//! <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>.

use std::time::Duration;

/// Bounds of the waits, and the source of their randomness.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// Longest wait before the first retry; it doubles with each one.
    pub base: Duration,
    /// Longest wait before any retry.
    pub max: Duration,
    /// Gives numbers from 0 to below 1. Tests set a fixed one.
    pub random: fn() -> f64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Backoff {
    /// From 200 ms to 10 s.
    pub const DEFAULT: Self =
        Self { base: Duration::from_millis(200), max: Duration::from_secs(10), random: fastrand::f64 };

    /// The wait after the `n_failures`-th failure in a row, counted from 1.
    pub fn delay(&self, n_failures: u32) -> Duration {
        let ceiling =
            self.base.saturating_mul(2u32.saturating_pow(n_failures.saturating_sub(1))).min(self.max);
        ceiling.mul_f64((self.random)().clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_their_limit() {
        let backoff = Backoff { random: || 1.0, ..Backoff::default() };
        let waits: Vec<_> = [1, 2, 3, 7, 40].map(|n| backoff.delay(n).as_millis()).to_vec();
        assert_eq!(waits, [200, 400, 800, 10_000, 10_000]);
        let none = Backoff { random: || 0.0, ..Backoff::default() };
        assert_eq!(none.delay(5), Duration::ZERO);
    }
}
