//! How a program connects to Kafka.

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use clap::Args;
use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaResult;

use crate::msk_iam::MskIam;

/// How often a client is asked for the token that it wants first, 100 ms each: it wants it as soon as it is made.
const TOKEN_POLLS: usize = 50;

/// A Kafka consumer that can log in with IAM.
pub type Consumer = BaseConsumer<KafkaContext>;

/// The brokers, and how to connect to them.
#[derive(Debug, Clone, Args)]
pub struct KafkaOptions {
    /// Comma-separated HOST:PORT of the brokers
    #[arg(long, env = "KAFKA_BOOTSTRAP_SERVERS")]
    pub bootstrap: String,
    /// A property of the Kafka client librdkafka, such as security.protocol=SASL_SSL. Repeatable
    #[arg(long = "kafka", value_name = "NAME=VALUE", value_parser = property)]
    pub properties: Vec<(String, String)>,
    /// Logs in to an MSK cluster with IAM.
    #[arg(skip)]
    pub iam: Option<MskIam>,
}

/// Gives the Kafka client its tokens.
pub struct KafkaContext {
    iam: Option<MskIam>,
    has_token: AtomicBool,
}

impl ClientContext for KafkaContext {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, _config: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        let iam = self.iam.as_ref().ok_or("tokens are made for MSK's IAM alone")?;
        let token = iam.token(SystemTime::now())?;
        self.has_token.store(true, Ordering::Relaxed);
        Ok(OAuthToken {
            token: token.text,
            principal_name: "kafka-to-search".into(),
            lifetime_ms: token.expires_ms,
        })
    }
}

impl ConsumerContext for KafkaContext {}

impl KafkaOptions {
    /// Makes a consumer with the name of this group: see [`Self::consumer_config`].
    ///
    /// # Errors
    /// When a property is unknown or has a bad value.
    pub fn consumer(&self, group: &str) -> KafkaResult<Consumer> {
        let context = KafkaContext { iam: self.iam.clone(), has_token: AtomicBool::new(false) };
        let consumer: Consumer = self.consumer_config(group).create_with_context(context)?;
        if self.iam.is_some() {
            // The client asks for its token when it is polled, and calls for metadata and offsets do not poll it. Nothing is assigned, so
            // that no record is read.
            for _ in 0..TOKEN_POLLS {
                if consumer.client().context().has_token.load(Ordering::Relaxed) {
                    break;
                }
                let _ = consumer.poll(Duration::from_millis(100));
            }
        }
        Ok(consumer)
    }

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
        if self.iam.is_some() {
            config.set("security.protocol", "SASL_SSL").set("sasl.mechanism", "OAUTHBEARER");
        }
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
