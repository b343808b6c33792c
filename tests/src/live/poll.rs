//! Waits for a condition, with a deadline.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Time between two checks.
const INTERVAL: Duration = Duration::from_millis(100);

/// The result of one check.
#[derive(Debug)]
pub enum Check<T> {
    /// The condition holds.
    Done(T),
    /// Not yet. Holds the current state, for the error on timeout.
    NotYet(String),
}

impl Check<()> {
    /// Is done when `condition` holds.
    pub fn at(condition: bool, state: impl FnOnce() -> String) -> Self {
        if condition { Self::Done(()) } else { Self::NotYet(state()) }
    }
}

/// Repeats `check` until it is done. An error counts as "not yet", since a server may be restarting.
///
/// # Errors
/// When it is not done within `within`; the error holds the last state.
pub async fn until<T>(
    what: &str,
    within: Duration,
    mut check: impl AsyncFnMut() -> Result<Check<T>>,
) -> Result<T> {
    let deadline = Instant::now() + within;
    loop {
        let state = match check().await {
            Ok(Check::Done(value)) => return Ok(value),
            Ok(Check::NotYet(state)) => state,
            Err(error) => format!("{error:#}"),
        };
        if Instant::now() >= deadline {
            bail!("timed out after {within:?} waiting for {what}; last state: {state}");
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
