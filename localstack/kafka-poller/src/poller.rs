//! Serves one mapping until it is stopped.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tracing::{error, info};

use crate::activity::Activity;
use crate::aws::Aws;
use crate::batch::{Buffer, Limits};
use crate::causes::with_causes;
use crate::consumer::{self, ConsumerThread};
use crate::consumer_state::ConsumerState;
use crate::decoder::Decoder;
use crate::destination::{Destination, DestinationError};
use crate::dispatch::{self, Dispatcher};
use crate::event::EventShape;
use crate::filter::{Filter, FilterError};
use crate::intake::{Intake, Schemas};
use crate::mailbox::{Mailbox, Message};
use crate::mapping::{Mapping, Source};
use crate::registry::{Registry, RegistryError};
use crate::registry_config::RegistryConfig;
use crate::schemas::{self, Fetcher};
use crate::source_access::{self, AccessError, Transport};
use crate::stall::Stalls;
use crate::topic_id;

/// Waits between two starts of a poller that fails.
const RESTART_DELAYS: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
];

/// After a failure, a poller that served this long starts again with the shortest delay.
const SERVED_WELL: Duration = Duration::from_secs(120);

/// What all pollers of the process have in common.
#[derive(Clone, Debug)]
pub struct Options {
    /// Brokers for MSK mappings.
    pub bootstrap_servers: Option<String>,
    /// Whether SASL goes over TLS.
    pub transport: Transport,
    /// Invocations at once for a mapping without `MaximumPollers`.
    pub concurrency: usize,
    /// Bytes of records kept in memory for a mapping.
    pub memory: usize,
    /// How long a partition with records may make no progress before that is a problem.
    pub patience: Duration,
}

/// A mapping that is being served.
#[derive(Debug)]
pub struct Poller {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// Why a mapping is not served at the moment.
#[derive(Debug, thiserror::Error)]
pub enum PollerError {
    /// The brokers' addresses are not given.
    #[error("mapping {uuid} is for Amazon MSK; give its brokers with --bootstrap-servers")]
    NoBrokers {
        /// The mapping's id.
        uuid: String,
    },
    /// The settings of access to the brokers are wrong.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The destination can't be used.
    #[error(transparent)]
    Destination(#[from] DestinationError),
    /// The filter can't be applied.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The schema registry can't be used.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The Kafka client gave up.
    #[error("the Kafka client failed")]
    Kafka(#[from] KafkaError),
    /// The consumer's thread could not be started or panicked.
    #[error("the consumer thread panicked or could not start")]
    Thread,
}

impl Poller {
    /// Starts to serve a mapping. After a failure, which is logged, it starts again until it is stopped.
    #[must_use]
    pub fn start(mapping: Mapping, aws: Aws, options: Options, activity: Arc<Activity>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(keep_serving(mapping, aws, options, activity, stopped));
        Self { stop, task }
    }

    /// Waits for running invocations, commits what is done and leaves the consumer group.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        if let Err(panic) = self.task.await {
            error!(error = %panic, "a poller panicked");
        }
    }
}

async fn keep_serving(
    mapping: Mapping,
    aws: Aws,
    options: Options,
    activity: Arc<Activity>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut delays = RESTART_DELAYS.iter().copied();
    let mut delay = Duration::ZERO;
    loop {
        let started = Instant::now();
        let Err(error) = serve(&mapping, &aws, &options, &activity, &mut stopped).await else { return };
        if started.elapsed() > SERVED_WELL {
            delays = RESTART_DELAYS.iter().copied();
        }
        delay = delays.next().unwrap_or(delay);
        let error = with_causes(&error);
        activity.not_served(&error);
        error!(mapping = %mapping.uuid, topic = %mapping.topic, error, retry_in = ?delay, "mapping is not served");
        if tokio::time::timeout(delay, stopped.wait_for(|stop| *stop)).await.is_ok() {
            return;
        }
    }
}

/// Serves a mapping until it is stopped.
async fn serve(
    mapping: &Mapping,
    aws: &Aws,
    options: &Options,
    activity: &Arc<Activity>,
    stopped: &mut watch::Receiver<bool>,
) -> Result<(), PollerError> {
    let filter = Filter::parse(&mapping.filters)?;
    let servers = bootstrap_servers(mapping, options)?;
    let mut config = client_config(&servers);
    for (name, value) in source_access::settings(aws, &mapping.source_access, options.transport).await? {
        config.set(name, value);
    }
    let shape = EventShape::new(mapping, &servers);
    let destination = Destination::new(mapping, aws, &config, &shape)?;
    let concurrency = mapping.maximum_pollers.unwrap_or(options.concurrency).max(1);
    let limits = Limits::new(mapping.batch_size, mapping.window, concurrency, options.memory);
    let (mailbox, inbox) = Mailbox::new();
    let (batches, pending_batches) = mpsc::unbounded_channel();
    let (interrupts, interrupted) = watch::channel(());
    let mapping = Arc::new(mapping.clone());
    let schemas = match &mapping.registry {
        Some(config) => Some(start_fetching(&mapping, config, aws, activity, &mailbox).await?),
        None => None,
    };

    consumer_settings(&mut config, &mapping);
    let thread = ConsumerThread {
        mapping: Arc::clone(&mapping),
        activity: Arc::clone(activity),
        intake: Intake::new(filter, schemas),
        state: ConsumerState::new(
            Buffer::new(shape.clone(), limits),
            Stalls::new(options.patience, mapping.window),
        ),
        inbox,
        mailbox: mailbox.clone(),
        batches,
        interrupts,
    };
    let mut consumer = spawn_consumer(thread, config)?;
    let dispatcher = Dispatcher {
        mapping: Arc::clone(&mapping),
        activity: Arc::clone(activity),
        shape,
        aws: aws.clone(),
        destination,
        mailbox: mailbox.clone(),
    };
    let dispatching = tokio::spawn(dispatch::run(Arc::new(dispatcher), pending_batches, interrupted));
    activity.serving();
    info!(
        mapping = %mapping.uuid, topic = %mapping.topic, group = %mapping.group_id, function = %mapping.function_arn,
        "serving mapping"
    );
    let early = tokio::select! {
        _ = stopped.wait_for(|stop| *stop) => None,
        ended = &mut consumer => Some(ended),
    };
    let ended = match early {
        Some(ended) => ended,
        None => {
            // A thread that ended in the meantime needs no message.
            let _ = mailbox.send(Message::Stop);
            consumer.await
        }
    };
    // The thread held the batches' sender: the dispatcher ends after the last delivery.
    if let Err(panic) = dispatching.await {
        error!(mapping = %mapping.uuid, error = %panic, "the dispatcher panicked");
    }
    ended.map_err(|_| PollerError::Thread)??;
    info!(mapping = %mapping.uuid, topic = %mapping.topic, "mapping is no longer served");
    Ok(())
}

/// Starts the task that fetches the mapping's schemas. It ends with the consumer thread, which has the way to ask it.
async fn start_fetching(
    mapping: &Arc<Mapping>,
    config: &RegistryConfig,
    aws: &Aws,
    activity: &Arc<Activity>,
    mailbox: &Mailbox,
) -> Result<Schemas, PollerError> {
    let fetcher = Fetcher {
        mapping: Arc::clone(mapping),
        activity: Arc::clone(activity),
        registry: Registry::connect(aws, config).await?,
        mailbox: mailbox.clone(),
    };
    let (requests, requested) = mpsc::unbounded_channel();
    tokio::spawn(schemas::run(Arc::new(fetcher), requested));
    Ok(Schemas::new(Decoder::new(config.format, config.validated), requests))
}

/// Runs the consumer in a thread of its own, since the Kafka client blocks while it is closed.
fn spawn_consumer(
    thread: ConsumerThread,
    config: ClientConfig,
) -> Result<oneshot::Receiver<Result<(), KafkaError>>, PollerError> {
    let (ended, wait) = oneshot::channel();
    thread::Builder::new()
        .name(format!("consumer-{}", thread.mapping.topic))
        .spawn(move || {
            let _ = ended.send(consumer::run(thread, &config));
        })
        .map_err(|_| PollerError::Thread)?;
    Ok(wait)
}

/// The brokers of a mapping.
///
/// # Errors
/// When it is an MSK mapping and no brokers are given.
pub fn bootstrap_servers(mapping: &Mapping, options: &Options) -> Result<String, PollerError> {
    match &mapping.source {
        Source::SelfManaged { bootstrap_servers } => Ok(bootstrap_servers.join(",")),
        Source::Msk { .. } => options
            .bootstrap_servers
            .clone()
            .ok_or_else(|| PollerError::NoBrokers { uuid: mapping.uuid.clone() }),
    }
}

/// Settings for all clients of a mapping's cluster.
#[must_use]
pub fn client_config(bootstrap_servers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap_servers)
        .set("client.id", "kafka-poller")
        .set("reconnect.backoff.max.ms", "2000")
        .set("topic.metadata.refresh.interval.ms", "5000");
    config
}

fn consumer_settings(config: &mut ClientConfig, mapping: &Mapping) {
    config
        .set("debug", topic_id::DEBUG)
        .set_log_level(RDKafkaLogLevel::Debug)
        .set("group.id", &mapping.group_id)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        // Marks the end in each partition's queue (`passed_over.rs`).
        .set("enable.partition.eof", "true")
        // The starting position is looked up where there is no offset. This is for an offset that the topic no longer
        // has, because of retention or because the topic was created again. For every starting position it is the
        // oldest record, since LATEST would lose what was written in the meantime.
        .set("auto.offset.reset", "earliest")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", "10000")
        .set("heartbeat.interval.ms", "2000")
        .set("max.poll.interval.ms", "300000")
        .set("queued.max.messages.kbytes", "8192")
        .set("statistics.interval.ms", "2000")
        .set("fetch.wait.max.ms", "100")
        .set("fetch.queue.backoff.ms", "20")
        .set("fetch.error.backoff.ms", "200");
}
