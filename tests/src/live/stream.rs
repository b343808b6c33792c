//! Publishes events continuously, so that a fault comes in the middle of a stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::task::JoinHandle;

use crate::live::flow::{Flow, events};
use crate::live::kafka::Publisher;
use crate::live::poll::{Check, until};
use crate::live::world::World;

/// A running stream. It stops when dropped.
#[derive(Debug)]
pub struct Stream {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
    task: JoinHandle<Result<()>>,
}

impl Drop for Stream {
    /// Ends the thread of a test that failed: the runtime waits for it.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Stream {
    /// Starts to publish about this many events a second to a flow's topic.
    ///
    /// # Errors
    /// When the producer can't be created.
    pub fn start(world: &World, flow: &Flow, per_second: u32) -> Result<Self> {
        let publisher = Publisher::new(&world.kafka, &flow.topic)?;
        let stop = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(AtomicUsize::new(0));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&sent));
        let task = tokio::task::spawn_blocking(move || {
            let pause = Duration::from_secs(1) / per_second;
            let mut next = Instant::now();
            while !stopped.load(Ordering::Relaxed) {
                for record in events(50) {
                    if stopped.load(Ordering::Relaxed) {
                        break;
                    }
                    publisher.send(&record)?;
                    publisher.poll();
                    counted.fetch_add(1, Ordering::Relaxed);
                    next += pause;
                    // The rate is the point here, not a condition to wait for.
                    std::thread::sleep(next.saturating_duration_since(Instant::now()));
                }
            }
            publisher.finish()
        });
        Ok(Self { stop, sent, task })
    }

    /// Events sent so far.
    #[must_use]
    pub fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    /// Waits until this many more events are sent.
    ///
    /// # Errors
    /// When they are not sent in time.
    pub async fn wait_for_more(&self, count: usize) -> Result<()> {
        let target = self.sent() + count;
        until("the stream to continue", Duration::from_secs(120), async || {
            Ok(Check::at(self.sent() >= target, || format!("{} sent", self.sent())))
        })
        .await
    }

    /// Stops the stream; returns the number of events sent, all of which Kafka has.
    ///
    /// # Errors
    /// When Kafka did not accept one of them.
    pub async fn stop(mut self) -> Result<usize> {
        self.stop.store(true, Ordering::Relaxed);
        (&mut self.task).await.context("the stream's thread")??;
        Ok(self.sent.load(Ordering::Relaxed))
    }
}
