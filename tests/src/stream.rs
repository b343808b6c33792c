//! Publishes events without a pause, so that a fault strikes in the middle of a stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::task::JoinHandle;

use crate::flow::{Flow, World, events};
use crate::kafka::Publisher;
use crate::poll::{Look, until};

/// A stream that is being published.
#[derive(Debug)]
pub struct Stream {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
    task: JoinHandle<Result<()>>,
}

impl Stream {
    /// Starts to publish to a flow's topic, about so many events a second.
    ///
    /// # Errors
    /// When there is no producer.
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

    /// Events sent by now.
    #[must_use]
    pub fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    /// Lets so many more events be sent.
    ///
    /// # Errors
    /// When they are not.
    pub async fn let_pass(&self, count: usize) -> Result<()> {
        let target = self.sent() + count;
        until("the stream to go on", Duration::from_secs(120), async || {
            Ok(Look::at(self.sent() >= target, || format!("{} sent", self.sent())))
        })
        .await
    }

    /// Ends the stream; returns how many events Kafka took, which is all that were sent.
    ///
    /// # Errors
    /// When Kafka did not take one of them.
    pub async fn stop(self) -> Result<usize> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.context("the stream's thread")??;
        Ok(self.sent.load(Ordering::Relaxed))
    }
}
