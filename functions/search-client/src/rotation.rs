//! Which of a cluster's endpoints a request goes to: each in its turn, and those that failed only after a while.

use std::time::Duration;

use tokio::time::Instant;

/// Time for which an endpoint is left after its first failure; it doubles with each one that follows.
const FIRST_ABSENCE: Duration = Duration::from_secs(1);
/// Longest time for which an endpoint is left.
const LONGEST_ABSENCE: Duration = Duration::from_secs(30);

/// The turns and the health of some endpoints, which are known by their positions. It has no clock.
#[derive(Debug)]
pub(crate) struct Rotation {
    endpoints: Vec<Health>,
    next: usize,
}

/// What the last requests say about an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Good,
    /// It failed so often in a row, and is left until then.
    Left {
        n_failures: u32,
        until: Instant,
    },
}

/// The endpoint whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The last request to it succeeded, or all endpoints have failed and this one is the first to be tried again.
    Send(usize),
    /// It has been left for long enough: find out whether it is back. Other requests pass it until that is known.
    Check(usize),
}

/// Whether an endpoint changed by the end of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Changed {
    /// It was in use and is left, or was left and is in use again.
    Yes,
    /// It is as it was.
    No,
}

impl Rotation {
    /// Begins with the endpoint at `first`, and takes all for good.
    pub(crate) fn new(n_endpoints: usize, first: usize) -> Self {
        Self { endpoints: vec![Health::Good; n_endpoints], next: first % n_endpoints.max(1) }
    }

    /// Takes the next turn.
    pub(crate) fn turn(&mut self, now: Instant) -> Turn {
        let n = self.endpoints.len();
        let order = (0..n).map(|step| (self.next + step) % n.max(1));
        let mut back_first: Option<(Instant, usize)> = None;
        let mut good = None;
        let mut due = None;
        for position in order {
            match self.endpoints.get(position) {
                Some(Health::Left { until, .. }) => {
                    if *until <= now && due.is_none() && good.is_none() {
                        due = Some(position);
                    }
                    if back_first.is_none_or(|(earliest, _)| *until < earliest) {
                        back_first = Some((*until, position));
                    }
                }
                Some(Health::Good) if good.is_none() => good = Some(position),
                _ => {}
            }
        }
        let turn = match (due, good) {
            (Some(due), Some(_)) => {
                if let Some(Health::Left { n_failures, until }) = self.endpoints.get_mut(due) {
                    *until = now + absence(*n_failures);
                }
                Turn::Check(due)
            }
            (_, Some(good)) => Turn::Send(good),
            (_, None) => Turn::Send(back_first.map_or(0, |(_, position)| position)),
        };
        let (Turn::Send(position) | Turn::Check(position)) = turn;
        self.next = (position + 1) % n.max(1);
        turn
    }

    /// Takes an endpoint for good.
    pub(crate) fn succeeded(&mut self, position: usize) -> Changed {
        match self.endpoints.get_mut(position) {
            Some(health @ Health::Left { .. }) => {
                *health = Health::Good;
                Changed::Yes
            }
            _ => Changed::No,
        }
    }

    /// Leaves an endpoint for a while.
    pub(crate) fn failed(&mut self, position: usize, now: Instant) -> Changed {
        let Some(health) = self.endpoints.get_mut(position) else { return Changed::No };
        let (n_failures, changed) = match *health {
            Health::Good => (1, Changed::Yes),
            Health::Left { n_failures, .. } => (n_failures.saturating_add(1), Changed::No),
        };
        *health = Health::Left { n_failures, until: now + absence(n_failures) };
        changed
    }
}

fn absence(n_failures: u32) -> Duration {
    let doubled = 2u32.saturating_pow(n_failures.saturating_sub(1));
    FIRST_ABSENCE.saturating_mul(doubled).min(LONGEST_ABSENCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(rotation: &mut Rotation, now: Instant, n: usize) -> Vec<Turn> {
        (0..n).map(|_| rotation.turn(now)).collect()
    }

    #[test]
    fn requests_go_to_each_endpoint_in_its_turn() {
        let now = Instant::now();
        let mut rotation = Rotation::new(3, 4);
        assert_eq!(turns(&mut rotation, now, 4), [1, 2, 0, 1].map(Turn::Send));
        assert_eq!(turns(&mut Rotation::new(1, 7), now, 2), [0, 0].map(Turn::Send));
    }

    #[test]
    fn an_endpoint_that_failed_is_passed_then_checked_once_and_used_again() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut rotation = Rotation::new(3, 0);
        assert_eq!(rotation.failed(1, start), Changed::Yes);
        assert_eq!(turns(&mut rotation, at(999), 4), [0, 2, 0, 2].map(Turn::Send));
        assert_eq!(turns(&mut rotation, at(1_000), 2), [Turn::Send(0), Turn::Check(1)]);
        // While it is checked, others pass it.
        assert_eq!(turns(&mut rotation, at(1_001), 3), [2, 0, 2].map(Turn::Send));
        assert_eq!(rotation.failed(1, at(1_001)), Changed::No);
        assert_eq!(turns(&mut rotation, at(3_000), 3), [0, 2, 0].map(Turn::Send));
        assert_eq!(turns(&mut rotation, at(3_001), 1), [Turn::Check(1)]);
        assert_eq!((rotation.succeeded(1), rotation.succeeded(1)), (Changed::Yes, Changed::No));
        assert_eq!(turns(&mut rotation, at(3_001), 3), [2, 0, 1].map(Turn::Send));
    }

    #[test]
    fn waits_double_up_to_their_limit() {
        assert_eq!([1, 2, 5, 6, 40].map(|n| absence(n).as_secs()), [1, 2, 16, 30, 30]);
    }

    #[test]
    fn when_all_have_failed_the_first_that_is_due_gets_the_request() {
        let start = Instant::now();
        let mut rotation = Rotation::new(2, 0);
        rotation.failed(0, start);
        rotation.failed(0, start);
        rotation.failed(1, start);
        assert_eq!(turns(&mut rotation, start, 2), [1, 1].map(Turn::Send));
        rotation.failed(1, start + Duration::from_secs(5));
        assert_eq!(rotation.turn(start + Duration::from_secs(5)), Turn::Send(0));
    }
}
