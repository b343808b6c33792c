//! Topics of the tests.

use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

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

/// Makes an empty topic.
pub(crate) fn make(topic: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let admin: AdminClient<DefaultClientContext> = config().create().unwrap();
        let options = AdminOptions::new().operation_timeout(Some(TIMEOUT)).request_timeout(Some(TIMEOUT));
        let new = NewTopic::new(topic, 1, TopicReplication::Fixed(1));
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
