//! Brokers and a cluster that are not the real ones: librdkafka's mock cluster, and a server without documents.

use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};
use testing::http_server::{HttpServer, ReceivedRequest, json_response};

pub(crate) const TOPIC: &str = "order.events";
pub(crate) const FUNCTION: &str = "kafka-to-search-index-events";
const GROUP: &str = "kafka-to-search-order.events";
const TIMEOUT: Duration = Duration::from_secs(10);

/// Brokers.
pub(crate) type Brokers = MockCluster<'static, DefaultProducerContext>;

/// Brokers with these records in the partitions of the topic, all of which the group has read.
pub(crate) fn brokers(partitions: &[&[&str]]) -> Brokers {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, partitions.len() as i32, 1).unwrap();
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.bootstrap_servers());
    let producer: BaseProducer = config.create().unwrap();
    let mut read = TopicPartitionList::new();
    for (partition, values) in (0..).zip(partitions) {
        for value in *values {
            let record = BaseRecord::to(TOPIC).partition(partition).key("").payload(*value);
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        read.add_partition_offset(TOPIC, partition, Offset::Offset(values.len() as i64)).unwrap();
    }
    producer.flush(TIMEOUT).unwrap();
    let consumer: BaseConsumer = config.set("group.id", GROUP).create().unwrap();
    consumer.commit(&read, CommitMode::Sync).unwrap();
    cluster
}

/// The mapping of the topic, as Lambda lists it.
pub(crate) fn mapping(brokers: &Brokers) -> Value {
    json!({
        "UUID": "00000000-0000-0000-0000-000000000000",
        "Topics": [TOPIC],
        "FunctionArn": format!("arn:aws:lambda:eu-central-1:123456789012:function:{FUNCTION}:live"),
        "SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": [brokers.bootstrap_servers()]}},
        "SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": GROUP},
    })
}

/// A cluster without documents, which lets nobody refresh it, and never responds to searches with `silent_on` in them.
pub(crate) async fn search(silent_on: Option<&'static str>) -> HttpServer {
    let server = HttpServer::start(move |request: ReceivedRequest| {
        let empty = json!({"timed_out": false, "_shards": {"total": 1, "failed": 0}, "hits": {"hits": []}});
        let (status, body) = match request.path() {
            "" => (200, json!({"version": {"number": "3.0.0", "distribution": "opensearch"}})),
            "_mget" => (200, json!({"docs": []})),
            path if path.ends_with("/_refresh") => (403, json!({"error": "no"})),
            path if path.ends_with("/_search") => (200, empty),
            _ => (404, json!({"error": "the function is not known to request this"})),
        };
        let text = String::from_utf8_lossy(&request.body).into_owned();
        async move {
            if silent_on.is_some_and(|part| text.contains(part)) {
                std::future::pending::<()>().await;
            }
            json_response(status, &body)
        }
    });
    server.await.unwrap()
}
