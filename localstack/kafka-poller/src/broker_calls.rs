//! The calls of the consumer thread that wait for the broker, in a thread of their own, so that records, deliveries and
//! rebalances don't wait with them.

use std::sync::mpsc::Receiver;
use std::time::Duration;

use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaResult;
use tracing::{debug, warn};

use crate::action::BrokerCall;
use crate::callbacks::Callbacks;
use crate::mailbox::{Mailbox, Message};
use crate::mapping::Mapping;
use crate::offsets::{self, Positions};

/// How long the client may take to stop fetching at one offset and start at another.
const SEEK_TIMEOUT: Duration = Duration::from_secs(5);
const LOOK_UP_ATTEMPTS: u32 = 3;

/// Makes the calls in order and sends each result to `mailbox`, until no more can come.
pub fn run(
    consumer: &BaseConsumer<Callbacks>,
    mapping: &Mapping,
    calls: Receiver<BrokerCall>,
    mailbox: &Mailbox,
) {
    for call in calls {
        let result = match call {
            BrokerCall::LookUp(partitions) => Message::LookedUp(look_up(consumer, mapping, &partitions)),
            BrokerCall::Commit { positions, n_initial, topic_id } => {
                let committed = commit(consumer, mapping, n_initial, topic_id.as_deref(), &positions);
                Message::Committed(committed)
            }
            BrokerCall::Rewind(partitions) => Message::Rewound(rewind(consumer, &mapping.topic, &partitions)),
        };
        if mailbox.send(result).is_err() {
            return;
        }
    }
}

fn look_up(consumer: &BaseConsumer<Callbacks>, mapping: &Mapping, partitions: &[i32]) -> Option<Positions> {
    for attempt in 1..=LOOK_UP_ATTEMPTS {
        match offsets::look_up(consumer, &mapping.topic, mapping.starting_position, partitions) {
            Ok(positions) => return Some(positions),
            Err(error) => {
                warn!(mapping = %mapping.uuid, attempt, %error, "starting offsets could not be looked up");
            }
        }
    }
    None
}

fn commit(
    consumer: &BaseConsumer<Callbacks>,
    mapping: &Mapping,
    n_initial: i32,
    topic_id: Option<&str>,
    positions: &[(i32, i64)],
) -> KafkaResult<()> {
    let list = offsets::commit_list(&mapping.topic, n_initial, topic_id, positions)?;
    consumer.commit(&list, CommitMode::Sync)?;
    debug!(mapping = %mapping.uuid, ?positions, "offsets committed");
    Ok(())
}

/// Seeks to the oldest record of each partition.
fn rewind(
    consumer: &BaseConsumer<Callbacks>,
    topic: &str,
    partitions: &[i32],
) -> KafkaResult<Vec<(i32, i64)>> {
    let mut positions = Vec::with_capacity(partitions.len());
    for partition in partitions.iter().copied() {
        let (oldest, _) = consumer.fetch_watermarks(topic, partition, SEEK_TIMEOUT)?;
        consumer.seek(topic, partition, Offset::Offset(oldest), SEEK_TIMEOUT)?;
        positions.push((partition, oldest));
    }
    Ok(positions)
}
