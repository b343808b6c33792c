//! Decides what is retried, how often, after which wait and until when. The only owner of retries.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::backoff::Backoff;
use crate::credentials::Renewed;
use crate::send_error::SendError;

/// When a request is sent again. Each kind of request has one such value.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// HTTP statuses that are retried.
    pub statuses: Statuses,
    /// Errors without a response that are retried.
    pub send_errors: SendErrors,
    /// Most attempts, the first included. `u32::MAX` leaves only the deadline as the limit.
    pub max_attempts: u32,
    /// Longest time for all attempts together, if that ends before the caller's deadline.
    pub max_total: Duration,
    /// Time that one attempt gets.
    pub attempt_timeout: AttemptTimeout,
    /// Waits between attempts.
    pub backoff: Backoff,
    /// What happens to a wait that would reach the deadline.
    pub last_wait: LastWait,
}

/// A set of HTTP statuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statuses(pub &'static [RangeInclusive<u16>]);

impl Statuses {
    /// The cluster is too busy, or a gateway does not reach it.
    pub const UNAVAILABLE: Self = Self(&[429..=429, 502..=504]);
    /// The server certainly did not process the request. A gateway's 502 or 504 may come after the cluster did.
    pub const TURNED_AWAY: Self = Self(&[429..=429, 503..=503]);
    /// [`Statuses::UNAVAILABLE`] and every other server error: for requests that only read.
    pub const UNAVAILABLE_OR_BROKEN: Self = Self(&[429..=429, 500..=599]);

    /// Whether `status` is one of these.
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }
}

/// Which errors without a response are retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendErrors {
    /// Every error: for requests that change nothing more the second time.
    All,
    /// Only errors after which the cluster can't have received the request: for requests that change something each time.
    NeverArrived,
}

/// Time that one attempt gets: a share of the time left, within bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptTimeout {
    /// The time left is divided by this. With 2, a connection that went silent leaves time for another attempt.
    pub divisor: u32,
    /// Shortest timeout, even where less time is left.
    pub min: Duration,
    /// Longest timeout.
    pub max: Duration,
}

/// What happens to a wait that would reach the deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastWait {
    /// There is no further attempt.
    GiveUp,
    /// The wait is cut so that this much time is left for a last attempt. No attempt starts with less.
    LeaveTimeFor(Duration),
}

/// One attempt of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// 1 for the first.
    pub number: u32,
    /// Time after which it has failed.
    pub timeout: Duration,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempted<T, E> {
    /// No further attempt is needed.
    Done(T),
    /// Another attempt may succeed after a wait.
    Retry(E),
    /// Another attempt may succeed now, because something was changed for it: new credentials, say.
    RetryAtOnce(E),
    /// No further attempt would succeed.
    GiveUp(E),
}

impl RetryPolicy {
    /// Whether a response with this status is retried.
    pub fn retries_status(&self, status: u16) -> bool {
        self.statuses.contains(status)
    }

    /// Whether this error is retried.
    pub fn retries_send_error(&self, error: &SendError) -> bool {
        match self.send_errors {
            SendErrors::All => true,
            SendErrors::NeverArrived => error.never_arrived(),
        }
    }

    /// Starts the attempts of one request, which have to end by `deadline`.
    pub fn until(&self, deadline: Instant) -> Retries {
        let end = Instant::now().checked_add(self.max_total);
        let deadline = end.map_or(deadline, |end| end.min(deadline));
        Retries { policy: *self, deadline, n_attempts: 0, n_failures: 0 }
    }

    /// Calls `attempt` until it is done, must not be repeated, or attempts or time run out. `before_retry` gets the error
    /// and the wait before each further attempt, for a line in the log.
    ///
    /// # Errors
    /// The last attempt's error.
    pub async fn run<T, E, F>(
        &self,
        deadline: Instant,
        mut attempt: impl FnMut(Attempt) -> F,
        mut before_retry: impl FnMut(&E, Duration),
    ) -> Result<T, E>
    where
        F: Future<Output = Attempted<T, E>>,
    {
        let mut retries = self.until(deadline);
        loop {
            let attempted = attempt(retries.begin_attempt()).await;
            match retries.after(attempted) {
                Next::End(result) => return result,
                Next::Wait { error, wait } => {
                    before_retry(&error, wait);
                    sleep(wait).await;
                    if retries.is_too_late() {
                        return Err(error);
                    }
                }
            }
        }
    }
}

/// The attempts of one request: how many there were, and when the next one is due.
#[derive(Debug)]
pub struct Retries {
    policy: RetryPolicy,
    deadline: Instant,
    n_attempts: u32,
    n_failures: u32,
}

/// What follows an attempt.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<T, E> {
    /// No further attempt.
    End(Result<T, E>),
    /// Another attempt after this wait.
    Wait {
        /// Why the attempt did not succeed.
        error: E,
        /// Time to wait.
        wait: Duration,
    },
}

impl Retries {
    /// Whether too little time is left to begin an attempt.
    pub fn is_too_late(&self) -> bool {
        match self.policy.last_wait {
            LastWait::GiveUp => false,
            LastWait::LeaveTimeFor(time) => self.time_left() < time,
        }
    }

    /// Begins an attempt.
    pub fn begin_attempt(&mut self) -> Attempt {
        self.n_attempts += 1;
        Attempt { number: self.n_attempts, timeout: self.policy.attempt_timeout.of(self.time_left()) }
    }

    /// Decides what follows an attempt that ended in `attempted`.
    pub fn after<T, E>(&mut self, attempted: Attempted<T, E>) -> Next<T, E> {
        let (error, delay) = match attempted {
            Attempted::Done(value) => return Next::End(Ok(value)),
            Attempted::GiveUp(error) => return Next::End(Err(error)),
            Attempted::RetryAtOnce(error) => (error, Duration::ZERO),
            Attempted::Retry(error) => {
                self.n_failures += 1;
                if self.n_failures >= self.policy.max_attempts {
                    return Next::End(Err(error));
                }
                (error, self.policy.backoff.delay(self.n_failures))
            }
        };
        match self.wait_for(delay) {
            Some(wait) => Next::Wait { error, wait },
            None => Next::End(Err(error)),
        }
    }

    fn wait_for(&self, delay: Duration) -> Option<Duration> {
        let time_left = self.time_left();
        match self.policy.last_wait {
            LastWait::GiveUp => (delay < time_left || delay.is_zero()).then_some(delay),
            LastWait::LeaveTimeFor(time) => {
                let time_to_wait = time_left.saturating_sub(time);
                (time_to_wait >= time).then(|| delay.min(time_to_wait))
            }
        }
    }

    fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

impl AttemptTimeout {
    fn of(&self, time_left: Duration) -> Duration {
        (time_left / self.divisor.max(1)).min(self.max).max(self.min)
    }
}

/// Renews credentials that the cluster refuses, at most once.
#[derive(Debug, Default)]
pub struct CredentialRenewal {
    is_used: AtomicBool,
}

impl CredentialRenewal {
    /// Renews by `renew` after a 401 or 403, and returns whether there are new credentials to try with. Anything else, and a
    /// second refusal, renews nothing.
    pub async fn after(&self, status: u16, renew: impl Future<Output = Renewed>) -> Renewed {
        if matches!(status, 401 | 403) && !self.is_used.swap(true, Ordering::Relaxed) {
            renew.await
        } else {
            Renewed::No
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        statuses: Statuses::UNAVAILABLE,
        send_errors: SendErrors::All,
        max_attempts: u32::MAX,
        max_total: Duration::MAX,
        attempt_timeout: AttemptTimeout { divisor: 1, min: Duration::ZERO, max: Duration::from_secs(30) },
        backoff: Backoff { random: || 1.0, ..Backoff::DEFAULT },
        last_wait: LastWait::GiveUp,
    };

    /// Plays `ends`, one for each attempt, the last one again and again, each after a second. Returns the result, and the
    /// timeouts and waits in milliseconds.
    async fn play(
        policy: RetryPolicy,
        seconds: u64,
        ends: &[Attempted<&'static str, &'static str>],
    ) -> (Result<&'static str, &'static str>, Vec<u128>, Vec<u128>) {
        let (timeouts, mut waits) = (RefCell::new(Vec::new()), Vec::new());
        let attempt = async |attempt: Attempt| {
            timeouts.borrow_mut().push(attempt.timeout.as_millis());
            sleep(Duration::from_secs(1)).await;
            ends.get(attempt.number as usize - 1).or(ends.last()).unwrap().clone()
        };
        let deadline = Instant::now() + Duration::from_secs(seconds);
        let result = policy.run(deadline, attempt, |_, wait| waits.push(wait.as_millis())).await;
        (result, timeouts.into_inner(), waits)
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_continue_until_one_succeeds() {
        let ends =
            [Attempted::Retry("a"), Attempted::RetryAtOnce("b"), Attempted::Retry("c"), Attempted::Done("d")];
        let (result, timeouts, waits) = play(POLICY, 60, &ends).await;
        assert_eq!((result, waits), (Ok("d"), vec![200, 0, 400]));
        assert_eq!(timeouts, [30_000; 4]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_that_no_attempt_can_change_is_not_retried() {
        let (result, timeouts, _) = play(POLICY, 60, &[Attempted::Retry("a"), Attempted::GiveUp("b")]).await;
        assert_eq!((result, timeouts.len()), (Err("b"), 2));
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_are_limited_by_number_by_total_time_and_by_the_deadline() {
        let limited = RetryPolicy { max_attempts: 3, ..POLICY };
        assert_eq!(play(limited, 60, &[Attempted::Retry("a")]).await.1.len(), 3);
        let limited = RetryPolicy { max_total: Duration::from_secs(3), ..POLICY };
        assert_eq!(play(limited, 60, &[Attempted::Retry("a")]).await.1, [3_000, 1_800, 400]);
        assert_eq!(play(POLICY, 3, &[Attempted::Retry("a")]).await.1, [3_000, 1_800, 400]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_wait_can_leave_time_for_one_more_attempt() {
        let policy = RetryPolicy { last_wait: LastWait::LeaveTimeFor(Duration::from_millis(50)), ..POLICY };
        let (result, _, waits) = play(policy, 4, &[Attempted::Retry("a")]).await;
        assert_eq!((result, waits), (Err("a"), vec![200, 400, 350]));
        let too_late = |time| policy.until(Instant::now() + Duration::from_millis(time)).is_too_late();
        assert_eq!((too_late(50), too_late(49)), (false, true));
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_attempt_is_made_even_at_the_deadline() {
        let (result, timeouts, _) = play(POLICY, 0, &[Attempted::Retry("a")]).await;
        assert_eq!((result, timeouts), (Err("a"), vec![0]));
    }

    #[tokio::test]
    async fn credentials_are_renewed_once_and_only_for_401_and_403() {
        let renewal = CredentialRenewal::default();
        let mut renewed = Vec::new();
        for status in [400, 403, 401] {
            renewed.push(renewal.after(status, std::future::ready(Renewed::Yes)).await);
        }
        assert_eq!(renewed, [Renewed::No, Renewed::Yes, Renewed::No]);
    }

    #[test]
    fn a_request_that_changes_something_each_time_is_retried_only_if_it_never_arrived() {
        let policy = RetryPolicy { send_errors: SendErrors::NeverArrived, ..POLICY };
        let timeout = SendError::Timeout(Duration::ZERO);
        assert!(!policy.retries_send_error(&timeout));
        assert!(policy.retries_send_error(&SendError::signing("no key")));
        assert!(POLICY.retries_send_error(&timeout));
    }
}
