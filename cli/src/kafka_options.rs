//! How a command connects to Kafka.

use clap::Args;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};

/// The brokers, and how to connect to them.
#[derive(Debug, Clone, Args)]
pub struct KafkaOptions {
    /// Comma-separated HOST:PORT of the brokers
    #[arg(long, env = "KAFKA_BOOTSTRAP_SERVERS")]
    pub bootstrap: String,
    /// A property of the Kafka client librdkafka, such as security.protocol=SASL_SSL. Repeatable
    #[arg(long = "kafka", value_name = "NAME=VALUE", value_parser = property)]
    pub properties: Vec<(String, String)>,
}

impl KafkaOptions {
    /// The configuration of a consumer that reads partitions by their offsets and commits nothing. With `assign` it joins no group;
    /// the client asks for the name of one all the same, and reads that group's committed offsets.
    pub fn consumer_config(&self, group: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap)
            .set("client.id", "kafka-to-search")
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("allow.auto.create.topics", "false")
            .set("enable.partition.eof", "true")
            .set("queued.max.messages.kbytes", "16384")
            .set("topic.metadata.refresh.interval.ms", "10000");
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        // What librdkafka would print to standard error is in the errors of each call.
        config.set_log_level(RDKafkaLogLevel::Emerg);
        config
    }
}

fn property(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("not NAME=VALUE")?;
    Ok((name.trim().to_owned(), value.to_owned()))
}
