//! Topics and records for the tests.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

use crate::wait;

const TIMEOUT: Duration = Duration::from_secs(20);

/// How a transaction ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Transaction {
    Committed,
    Aborted,
}

/// A topic for one test.
pub(crate) struct Topic {
    pub(crate) name: String,
    producer: BaseProducer,
}

pub(crate) fn bootstrap_servers() -> String {
    std::env::var("KAFKA_BOOTSTRAP_SERVERS")
        .expect("KAFKA_BOOTSTRAP_SERVERS names a Kafka in which the tests may create topics")
}

fn config() -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap_servers())
        .set("message.max.bytes", "20000000")
        .set("enable.auto.commit", "false");
    config
}

fn admin<T>(action: impl AsyncFnOnce(AdminClient<DefaultClientContext>, AdminOptions) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let options = AdminOptions::new().operation_timeout(Some(TIMEOUT)).request_timeout(Some(TIMEOUT));
    runtime.block_on(async { action(config().create().unwrap(), options).await })
}

impl Topic {
    pub(crate) fn new(about: &str, n_partitions: i32) -> Self {
        let topic = Self::not_made(about);
        topic.make(n_partitions);
        topic
    }

    /// A topic that does not exist yet.
    pub(crate) fn not_made(about: &str) -> Self {
        let name = format!("{about}-{:08x}", rand::random::<u32>());
        Self { name, producer: config().set("linger.ms", "0").create().unwrap() }
    }

    pub(crate) fn make(&self, n_partitions: i32) {
        let new = NewTopic::new(&self.name, n_partitions, TopicReplication::Fixed(1))
            .set("max.message.bytes", "20000000");
        wait::until("the topic is made", || {
            let made = admin(async |admin, options| admin.create_topics([&new], &options).await).unwrap();
            made.iter().all(Result::is_ok)
        });
    }

    fn delete(&self) {
        let deleted =
            admin(async |admin, options| admin.delete_topics(&[&self.name], &options).await).unwrap();
        assert!(deleted.iter().all(Result::is_ok), "{deleted:?}");
    }

    pub(crate) fn grow_to(&mut self, n_partitions: usize) {
        let new = NewPartitions::new(&self.name, n_partitions);
        let grown = admin(async |admin, options| admin.create_partitions([&new], &options).await).unwrap();
        assert!(grown.iter().all(Result::is_ok), "{grown:?}");
        // The old producer does not know the new partitions.
        self.producer = config().set("linger.ms", "0").create().unwrap();
    }

    /// Writes `values` to a partition.
    pub(crate) fn produce(&self, partition: i32, values: impl IntoIterator<Item = impl AsRef<[u8]>>) {
        for value in values {
            self.send(BaseRecord::<[u8], [u8]>::to(&self.name).partition(partition).payload(value.as_ref()));
        }
        self.flush();
    }

    /// Writes the numbers of `range` to a partition.
    pub(crate) fn produce_numbers(&self, partition: i32, range: std::ops::Range<i64>) {
        self.produce(partition, range.map(|number| number.to_string()));
    }

    /// Writes the numbers of `range` to a partition in one transaction.
    pub(crate) fn transact(&self, partition: i32, range: std::ops::Range<i64>, end: Transaction) {
        let producer: BaseProducer =
            config().set("transactional.id", format!("{}-{partition}", self.name)).create().unwrap();
        producer.init_transactions(TIMEOUT).unwrap();
        producer.begin_transaction().unwrap();
        for number in range {
            let value = number.to_string();
            let record = BaseRecord::<[u8], str>::to(&self.name).partition(partition).payload(&value);
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        // An aborted transaction's records are in the topic too.
        producer.flush(TIMEOUT).unwrap();
        match end {
            Transaction::Committed => producer.commit_transaction(TIMEOUT).unwrap(),
            Transaction::Aborted => producer.abort_transaction(TIMEOUT).unwrap(),
        }
    }

    /// Deletes all records before `offset` from a partition.
    pub(crate) fn delete_before(&self, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.name, partition, Offset::Offset(offset)).unwrap();
        admin(async |admin, options| admin.delete_records(&list, &options).await).unwrap();
    }

    /// Writes a value with this timestamp.
    pub(crate) fn produce_at(&self, partition: i32, timestamp_ms: i64, value: &str) {
        let record = BaseRecord::<[u8], [u8]>::to(&self.name).partition(partition).timestamp(timestamp_ms);
        self.send(record.payload(value.as_bytes()));
        self.flush();
    }

    /// Writes a record with a key and headers.
    pub(crate) fn produce_whole(&self, key: &[u8], value: Option<&[u8]>, headers: &[(&str, Option<&[u8]>)]) {
        let headers = headers
            .iter()
            .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: *value }));
        let record = BaseRecord::<[u8], [u8]>::to(&self.name).partition(0).key(key).headers(headers);
        self.send(match value {
            Some(value) => record.payload(value),
            None => record,
        });
        self.flush();
    }

    /// Deletes the topic and creates it again, empty.
    pub(crate) fn recreate(&mut self, n_partitions: i32) {
        self.delete();
        self.make(n_partitions);
        self.producer = config().set("linger.ms", "0").create().unwrap();
    }

    fn send(&self, record: BaseRecord<'_, [u8], [u8]>) {
        let mut record = record;
        while let Err((error, back)) = self.producer.send(record) {
            assert_eq!(
                error.rdkafka_error_code(),
                Some(rdkafka::types::RDKafkaErrorCode::QueueFull),
                "{error}"
            );
            self.producer.poll(Duration::from_millis(10));
            record = back;
        }
    }

    fn flush(&self) {
        self.producer.flush(TIMEOUT).unwrap();
    }

    /// Commits an offset for a group.
    pub(crate) fn commit(&self, group_id: &str, partition: i32, offset: i64) {
        self.commit_with_metadata(group_id, partition, offset, "");
    }

    /// Commits an offset for a group, with metadata.
    pub(crate) fn commit_with_metadata(&self, group_id: &str, partition: i32, offset: i64, metadata: &str) {
        let consumer: BaseConsumer = config().set("group.id", group_id).create().unwrap();
        let mut list = TopicPartitionList::new();
        let mut element = list.add_partition(&self.name, partition);
        element.set_offset(Offset::Offset(offset)).unwrap();
        element.set_metadata(metadata);
        consumer.assign(&list).unwrap();
        consumer.commit(&list, rdkafka::consumer::CommitMode::Sync).unwrap();
    }

    /// The offset that a group committed for a partition.
    pub(crate) fn committed(&self, group_id: &str, partition: i32) -> Option<i64> {
        let consumer: BaseConsumer = config().set("group.id", group_id).create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.name, partition);
        let list = consumer.committed_offsets(list, TIMEOUT).unwrap();
        match list.elements().first()?.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        }
    }

    /// Reads everything in the topic's first partition.
    pub(crate) fn read(&self, n_records: usize) -> Vec<OwnedMessage> {
        let consumer: BaseConsumer = config().set("group.id", "reader").create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.name, 0, Offset::Beginning).unwrap();
        consumer.assign(&list).unwrap();
        let mut messages = Vec::new();
        wait::until("the topic has the records", || {
            if let Some(message) = consumer.poll(Duration::from_millis(100)) {
                messages.push(message.unwrap().detach());
            }
            messages.len() >= n_records
        });
        messages
    }
}
