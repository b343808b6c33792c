//! Publishes events continuously, so that a fault comes in the middle of a stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rdkafka::error::KafkaError;
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
    task: JoinHandle<Result<Vec<KafkaError>>>,
}

/// What became of the events of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// Kafka has these.
    pub acknowledged: usize,
    /// The producer gave these up: Kafka may have them or not.
    pub unacknowledged: usize,
}

impl Published {
    /// Whether Kafka may have this many records: every acknowledged one, and some of the others.
    #[must_use]
    pub fn allows(&self, records: usize) -> bool {
        (self.acknowledged..=self.acknowledged + self.unacknowledged).contains(&records)
    }
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
            publisher.settle()
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
    pub async fn stop(self) -> Result<usize> {
        let (sent, given_up) = self.settle().await?;
        match given_up.first() {
            None => Ok(sent),
            Some(first) => bail!("Kafka did not accept {} records: {first}", given_up.len()),
        }
    }

    /// Stops the stream; returns what became of its events, where brokers may have been away for longer than a producer waits.
    ///
    /// # Errors
    /// When an event is neither acknowledged nor given up in time.
    pub async fn stop_counting(self) -> Result<Published> {
        let (sent, given_up) = self.settle().await?;
        let unacknowledged = given_up.len();
        Ok(Published { acknowledged: sent - unacknowledged, unacknowledged })
    }

    async fn settle(mut self) -> Result<(usize, Vec<KafkaError>)> {
        self.stop.store(true, Ordering::Relaxed);
        let given_up = (&mut self.task).await.context("the stream's thread")??;
        Ok((self.sent.load(Ordering::Relaxed), given_up))
    }
}

#[cfg(test)]
mod tests {
    use super::Published;

    #[test]
    fn only_unacknowledged_events_may_be_missing_in_kafka() {
        let published = Published { acknowledged: 10, unacknowledged: 2 };
        let allowed: Vec<usize> = (0..20).filter(|records| published.allows(*records)).collect();
        assert_eq!(allowed, [10, 11, 12]);
    }
}
