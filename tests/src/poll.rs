//! Waits for a condition, with a deadline.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(100);

/// What a look saw.
#[derive(Debug)]
pub enum Look<T> {
    /// What was waited for.
    Done(T),
    /// Not yet; what it is like now, for the error when time is up.
    NotYet(String),
}

impl Look<()> {
    /// Is done when `condition` holds.
    pub fn at(condition: bool, state: impl FnOnce() -> String) -> Self {
        if condition { Self::Done(()) } else { Self::NotYet(state()) }
    }
}

/// Looks again and again until it is done. An error of a look counts as "not yet": a server may be restarting.
///
/// # Errors
/// When it is not done within `within`; says what the last look saw.
pub async fn until<T>(
    what: &str,
    within: Duration,
    mut look: impl AsyncFnMut() -> Result<Look<T>>,
) -> Result<T> {
    let deadline = Instant::now() + within;
    loop {
        let state = match look().await {
            Ok(Look::Done(value)) => return Ok(value),
            Ok(Look::NotYet(state)) => state,
            Err(error) => format!("{error:#}"),
        };
        if Instant::now() >= deadline {
            bail!("waited {within:?} for {what} in vain; last seen: {state}");
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
