//! A server as a script: its responses one by one, and the requests that got them.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Responses `R` that are still to come, and the requests `Q` so far. A test implements its own trait with it.
#[derive(Debug)]
pub struct Script<Q, R> {
    responses: Mutex<VecDeque<R>>,
    requests: Mutex<Vec<Q>>,
}

impl<Q: Clone, R> Script<Q, R> {
    /// A script of these responses.
    #[must_use]
    pub fn new(responses: impl IntoIterator<Item = R>) -> Self {
        Self { responses: Mutex::new(responses.into_iter().collect()), requests: Mutex::default() }
    }

    /// The response to the next request.
    ///
    /// # Panics
    /// When no response is left.
    pub fn respond(&self, request: Q) -> R {
        let mut responses = locked(&self.responses);
        locked(&self.requests).push(request);
        responses.pop_front().expect("the script has a response left")
    }

    /// Removes the next response if `is_wanted` says so, for steps that are no requests.
    pub fn take_if(&self, is_wanted: impl FnOnce(&mut R) -> bool) -> Option<R> {
        locked(&self.responses).pop_front_if(is_wanted)
    }

    /// The requests so far, in their order.
    #[must_use]
    pub fn requests(&self) -> Vec<Q> {
        locked(&self.requests).clone()
    }

    /// The number of responses that were not asked for.
    #[must_use]
    pub fn n_left(&self) -> usize {
        locked(&self.responses).len()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_come_in_order_and_requests_are_kept() {
        let script = Script::new([1, 2, 3]);
        assert_eq!((script.respond("a"), script.take_if(|it| *it == 3)), (1, None));
        assert_eq!((script.take_if(|it| *it == 2), script.respond("b")), (Some(2), 3));
        assert_eq!((script.requests(), script.n_left()), (vec!["a", "b"], 0));
    }
}
