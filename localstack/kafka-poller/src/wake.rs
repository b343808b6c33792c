//! Wakes a thread that waits for one of several things.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// A flag to wait for; set while nobody waits, it ends the next wait at once.
#[derive(Debug, Default)]
pub struct Wake {
    flag: Mutex<bool>,
    changed: Condvar,
}

impl Wake {
    /// Ends the current or next wait.
    pub fn notify(&self) {
        *self.flag.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    /// Waits for [`Wake::notify`], but not longer than `timeout`.
    pub fn wait(&self, timeout: Duration) {
        let flag = self.flag.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut flag, _) = self
            .changed
            .wait_timeout_while(flag, timeout, |flag| !*flag)
            .unwrap_or_else(PoisonError::into_inner);
        *flag = false;
    }
}
