//! Messages to the consumer thread from librdkafka's callbacks, its broker calls, the deliveries and the poller.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use rdkafka::error::KafkaError;
use tokio::sync::oneshot;

use crate::decoder::Lookup;
use crate::delivery::Progress;
use crate::offsets::Positions;
use crate::rebalance::Rebalance;
use crate::record::Assignment;
use crate::stall::Obstacle;

/// A message to the consumer thread.
#[derive(Debug)]
pub enum Message {
    /// A queue of the client has records or events. Says no more than that the thread must poll.
    Readable,
    /// The group's assignment changes.
    Rebalance(Rebalance),
    /// The client reports an error that it recovers from.
    ClientError {
        /// The error.
        error: KafkaError,
        /// The client's explanation.
        reason: String,
    },
    /// The brokers report the topic's id.
    TopicId(String),
    /// The partitions' end offsets.
    Ends(BTreeMap<i32, Ends>),
    /// Where newly assigned partitions are read from; `None` if it could not be looked up.
    LookedUp(Option<Positions>),
    /// A commit ended.
    Committed(Result<(), KafkaError>),
    /// The partitions were moved to these offsets.
    Rewound(Result<Vec<(i32, i64)>, KafkaError>),
    /// A delivery wants to make a further attempt.
    AttemptWanted {
        /// The assignments whose records it has.
        assignments: Vec<Assignment>,
        /// Takes those that it may still deliver.
        permit: oneshot::Sender<Vec<Assignment>>,
    },
    /// A delivery's running attempt has no records of these assignments.
    AttemptWithout(Vec<Assignment>),
    /// A delivery's attempt ended.
    AttemptEnded {
        /// The assignments whose records it had.
        assignments: Vec<Assignment>,
        /// What it achieved.
        progress: Progress,
        /// What kept it from achieving all.
        obstacle: Option<Obstacle>,
    },
    /// A delivery has no records left.
    BatchEnded,
    /// The registry's response about a schema.
    Schema {
        /// The schema's id.
        id: u32,
        /// What the registry says of it.
        lookup: Lookup,
    },
    /// The mapping is no longer served.
    Stop,
}

/// The ends of a partition, as the client's statistics have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The offset of the next record to be written, as far as consumers may read.
    pub end: i64,
    /// The offset at which the client last reached the end; negative before it did.
    pub reached: i64,
}

/// The sending side of the consumer thread's messages.
#[derive(Clone, Debug)]
pub struct Mailbox {
    messages: Sender<Message>,
    /// Whether a [`Message::Readable`] was sent that the thread has not acted upon.
    readable: Arc<AtomicBool>,
}

/// The thread is gone.
#[derive(Debug, thiserror::Error)]
#[error("the consumer thread has ended")]
pub struct Ended;

impl Mailbox {
    /// Makes both sides.
    #[must_use]
    pub fn new() -> (Self, Receiver<Message>) {
        let (messages, inbox) = channel();
        (Self { messages, readable: Arc::default() }, inbox)
    }

    /// Sends a message.
    ///
    /// # Errors
    /// When the thread has ended.
    pub fn send(&self, message: Message) -> Result<(), Ended> {
        self.messages.send(message).map_err(|_| Ended)
    }

    /// Makes the thread poll the client's queues. One message is sent until the thread does, however often records
    /// arrive in the meantime.
    pub fn notify_readable(&self) {
        if !self.readable.swap(true, Ordering::AcqRel) {
            // A thread that has ended reads nothing.
            let _ = self.messages.send(Message::Readable);
        }
    }

    /// Records that the thread is about to poll.
    pub fn acknowledge_readable(&self) {
        self.readable.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_that_arrive_before_the_next_poll_are_announced_once() {
        let (mailbox, inbox) = Mailbox::new();
        (0..1_000).for_each(|_| mailbox.notify_readable());
        assert_eq!(inbox.try_iter().count(), 1);
        mailbox.acknowledge_readable();
        mailbox.notify_readable();
        assert_eq!(inbox.try_iter().count(), 1);
    }

    #[test]
    fn a_message_to_an_ended_thread_comes_back_as_an_error() {
        let (mailbox, inbox) = Mailbox::new();
        drop(inbox);
        mailbox.notify_readable();
        assert!(mailbox.send(Message::Stop).is_err());
    }
}
