//! Topics of the tests.

use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};

const TIMEOUT: Duration = Duration::from_secs(30);
/// The time of all records: 2026-03-01T10:00:00Z.
pub(crate) const TIME_MS: i64 = 1_772_359_200_000;

fn config() -> ClientConfig {
    let brokers = std::env::var("KAFKA_BOOTSTRAP_SERVERS").expect("KAFKA_BOOTSTRAP_SERVERS names a Kafka");
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    config
}

/// Makes a topic with one partition and writes values to it.
pub(crate) fn publish(topic: &str, values: impl IntoIterator<Item = String>) {
    make(topic);
    let producer: BaseProducer = config().create().unwrap();
    let mut n_values = 0;
    for value in values {
        n_values += 1;
        let mut record = BaseRecord::<str, str>::to(topic).partition(0).timestamp(TIME_MS).payload(&value);
        while let Err((_, returned)) = producer.send(record) {
            producer.poll(Duration::from_millis(50));
            record = returned;
        }
    }
    producer.flush(TIMEOUT).unwrap();
    // A flush succeeds also for records that could not be delivered.
    let consumer: BaseConsumer = config().create().unwrap();
    let began = Instant::now();
    loop {
        let (_, end) = consumer.fetch_watermarks(topic, 0, TIMEOUT).unwrap();
        if end == n_values {
            return;
        }
        assert!(began.elapsed() < TIMEOUT, "{topic} has {end} of {n_values} records");
    }
}

/// A record: offset, timestamp and value.
pub(crate) type Written = (i64, i64, Vec<u8>);

/// Writes records with these keys, values and timestamps to the topic's only partition, in one transaction where `transaction`
/// says how it ends.
pub(crate) fn write(topic: &str, records: &[(Option<&str>, String, i64)], transaction: Option<Transaction>) {
    let mut config = config();
    if transaction.is_some() {
        config.set("transactional.id", topic);
    }
    let producer: BaseProducer = config.create().unwrap();
    if transaction.is_some() {
        producer.init_transactions(TIMEOUT).unwrap();
        producer.begin_transaction().unwrap();
    }
    for (key, value, timestamp) in records {
        let mut record = BaseRecord::<str, str>::to(topic).partition(0).timestamp(*timestamp).payload(value);
        if let Some(key) = key {
            record = record.key(key);
        }
        while let Err((_, returned)) = producer.send(record) {
            producer.poll(Duration::from_millis(50));
            record = returned;
        }
    }
    producer.flush(TIMEOUT).unwrap();
    match transaction {
        None => {}
        Some(Transaction::Committed) => producer.commit_transaction(TIMEOUT).unwrap(),
        Some(Transaction::Aborted) => producer.abort_transaction(TIMEOUT).unwrap(),
    }
}

/// How a transaction ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Transaction {
    Committed,
    Aborted,
}

/// Commits an offset of the topic's only partition for a group.
pub(crate) fn commit(group: &str, topic: &str, offset: i64) {
    let consumer: BaseConsumer = config().set("group.id", group).create().unwrap();
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(topic, 0, Offset::Offset(offset)).unwrap();
    consumer.commit(&offsets, CommitMode::Sync).unwrap();
}

/// The offset behind the last record of the topic's only partition.
pub(crate) fn end(topic: &str) -> i64 {
    let consumer: BaseConsumer = config().create().unwrap();
    consumer.fetch_watermarks(topic, 0, TIMEOUT).unwrap().1
}

/// Reads the records of the topic's only partition, without those of aborted transactions.
pub(crate) fn read(topic: &str) -> Vec<Written> {
    let mut config = config();
    config.set("group.id", "tests-reader").set("enable.partition.eof", "true");
    let consumer: BaseConsumer = config.create().unwrap();
    let mut assigned = TopicPartitionList::new();
    assigned.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
    consumer.assign(&assigned).unwrap();
    let mut records = Vec::new();
    loop {
        match consumer.poll(TIMEOUT).expect("Kafka responds") {
            Err(KafkaError::PartitionEOF(_)) => return records,
            message => {
                let message = message.unwrap();
                let timestamp = message.timestamp().to_millis().unwrap();
                records.push((message.offset(), timestamp, message.payload().unwrap_or_default().to_vec()));
            }
        }
    }
}

/// Deletes a topic and waits until it is gone.
pub(crate) fn delete(topic: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let admin: AdminClient<DefaultClientContext> = config().create().unwrap();
        let deleted = admin.delete_topics(&[topic], &AdminOptions::new()).await.unwrap();
        assert!(deleted.iter().all(Result::is_ok), "{deleted:?}");
    });
    let began = Instant::now();
    while exists(topic) {
        assert!(began.elapsed() < TIMEOUT, "{topic} is still there");
    }
}

/// Makes an empty topic.
pub(crate) fn make(topic: &str) {
    make_with(topic, &[]);
}

/// Makes an empty topic with settings.
pub(crate) fn make_with(topic: &str, settings: &[(&str, &str)]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let admin: AdminClient<DefaultClientContext> = config().create().unwrap();
        let options = AdminOptions::new().operation_timeout(Some(TIMEOUT)).request_timeout(Some(TIMEOUT));
        // The records are older than Kafka's retention.
        let mut new = NewTopic::new(topic, 1, TopicReplication::Fixed(1)).set("retention.ms", "-1");
        for (name, value) in settings {
            new = new.set(name, value);
        }
        let made = admin.create_topics([&new], &options).await.unwrap();
        assert!(made.iter().all(Result::is_ok), "{made:?}");
    });
}

/// Whether Kafka has the topic.
pub(crate) fn exists(topic: &str) -> bool {
    let consumer: BaseConsumer = config().create().unwrap();
    let metadata = consumer.fetch_metadata(None, TIMEOUT).unwrap();
    metadata.topics().iter().any(|found| found.name() == topic)
}

/// Names of the consumer groups that Kafka knows: those with members or committed offsets.
pub(crate) fn groups() -> Vec<String> {
    let consumer: BaseConsumer = config().create().unwrap();
    let groups = consumer.fetch_group_list(None, TIMEOUT).unwrap();
    groups.groups().iter().map(|group| group.name().to_owned()).collect()
}
