//! librdkafka's callbacks: each becomes a message to the consumer thread.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::statistics::Partition;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Statistics, TopicPartitionList};
use tracing::{debug, error, warn};

use crate::mailbox::{Ends, Mailbox, Message};
use crate::mapping::Mapping;
use crate::rebalance::{Ownership, Rebalance};
use crate::topic_id;

/// Receives the callbacks.
#[derive(Debug)]
pub struct Callbacks {
    mapping: Arc<Mapping>,
    mailbox: Mailbox,
    n_events: AtomicU64,
}

impl Callbacks {
    /// Sends the callbacks of a mapping's client to `mailbox`.
    #[must_use]
    pub fn new(mapping: Arc<Mapping>, mailbox: Mailbox) -> Self {
        Self { mapping, mailbox, n_events: AtomicU64::new(0) }
    }

    /// How many events were served. After a poll it distinguishes a served event from an empty queue.
    #[must_use]
    pub fn n_events(&self) -> u64 {
        self.n_events.load(Ordering::Relaxed)
    }

    fn count_event(&self) {
        self.n_events.fetch_add(1, Ordering::Relaxed);
    }

    fn send(&self, message: Message) {
        // After the consumer thread has ended, its client still sends messages while it closes.
        let _ = self.mailbox.send(message);
    }
}

impl ClientContext for Callbacks {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // rdkafka has librdkafka queue its log lines among the events that a poll serves.
        self.count_event();
        let mapping = &self.mapping.uuid;
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                error!(%mapping, facility, message, "Kafka client");
            }
            // The client calls a lost connection an error; it reconnects by itself.
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => {
                warn!(%mapping, facility, message, "Kafka client");
            }
            _ => {
                if let Some(id) = topic_id::in_log_line(&self.mapping.topic, message) {
                    self.send(Message::TopicId(id.to_owned()));
                }
                debug!(%mapping, facility, message, "Kafka client");
            }
        }
    }

    fn stats(&self, statistics: Statistics) {
        self.count_event();
        let partitions = statistics.topics.get(&self.mapping.topic).map(|topic| &topic.partitions);
        let ends =
            partitions.into_iter().flatten().filter_map(|(number, state)| Some((*number, ends(state)?)));
        self.send(Message::Ends(ends.collect::<BTreeMap<i32, Ends>>()));
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.count_event();
        self.send(Message::ClientError { error, reason: reason.to_owned() });
    }
}

impl ConsumerContext for Callbacks {
    /// Leaves the change of the assignment to the consumer thread. While the client is being closed, that has ended.
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        self.count_event();
        let numbers = partitions.elements_for_topic(&self.mapping.topic);
        let numbers = numbers.iter().map(rdkafka::topic_partition_list::TopicPartitionListElem::partition);
        let is_assignment = event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        let rebalance = if is_assignment {
            Rebalance::Assigned(numbers.collect())
        } else {
            let ownership = if consumer.assignment_lost() { Ownership::Lost } else { Ownership::Kept };
            Rebalance::Revoked(numbers.collect(), ownership)
        };
        if self.mailbox.send(Message::Rebalance(rebalance)).is_ok() {
            return;
        }
        let changed = if is_assignment {
            consumer.incremental_assign(partitions)
        } else {
            consumer.incremental_unassign(partitions)
        };
        if let Err(error) = changed {
            warn!(mapping = %self.mapping.uuid, %error, "rebalance failed");
        }
    }
}

/// The ends of a partition. A consumer sees records up to the last stable offset, where the broker reports one.
fn ends(partition: &Partition) -> Option<Ends> {
    let end = if partition.ls_offset >= 0 { partition.ls_offset } else { partition.hi_offset };
    (end >= 0).then_some(Ends { end, reached: partition.eof_offset })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::mapping;

    #[test]
    fn every_served_event_counts_so_that_a_poll_serves_the_next_one_at_once() {
        let (mailbox, inbox) = Mailbox::new();
        let callbacks = Callbacks::new(Arc::new(mapping()), mailbox);
        callbacks.log(RDKafkaLogLevel::Debug, "METADATA", "1 brokers, 0 topics");
        assert_eq!((callbacks.n_events(), inbox.try_iter().count()), (1, 0));
        callbacks.error(KafkaError::Canceled, "test");
        callbacks.stats(Statistics::default());
        assert_eq!((callbacks.n_events(), inbox.try_iter().count()), (3, 2));
    }
}
