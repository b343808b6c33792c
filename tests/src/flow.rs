//! A topic of a test's own with a mapping to a function: what is published to it must end in the index.

use std::io::Write as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use event_producer::generate::{Generator, TOPICS};
use reqwest::Method;
use serde_json::{Value, json};

use crate::account::{Account, RecordId};
use crate::destination::Destination;
use crate::kafka::{Kafka, NewRecord};
use crate::lambda::{BatchFailures, DEPLOYED, GiveUp, Lambda, NewMapping};
use crate::poll::{Look, until};
use crate::search::{DEAD_LETTERS, INDICES, Search};
use crate::stack::Stack;

/// Longer than a function may take to say something.
const LOG_WAIT: Duration = Duration::from_secs(60);

/// The servers, each with a client.
#[derive(Clone, Debug)]
pub struct World {
    /// The processes.
    pub stack: Stack,
    /// OpenSearch.
    pub search: Search,
    /// Kafka.
    pub kafka: Kafka,
    /// LocalStack.
    pub lambda: Lambda,
}

/// Which function a flow goes through.
#[derive(Clone, Copy, Debug)]
pub enum Function<'a> {
    /// The one that the template deploys.
    Deployed,
    /// One of the flow's own: the same code with these variables besides, and this timeout in seconds.
    Own(&'a [(&'a str, &'a str)], u32),
}

/// How a flow is made.
#[derive(Clone, Copy, Debug)]
pub struct FlowOptions<'a> {
    /// The topic's partitions.
    pub partitions: i32,
    /// The function.
    pub function: Function<'a>,
    /// Records in an invocation, at most.
    pub batch_size: u32,
    /// How failed records come back.
    pub batch_failures: BatchFailures,
    /// Retries after which failed records go to a destination; without, they are tried for ever.
    pub give_up: Option<(u32, &'a Destination)>,
}

impl Default for FlowOptions<'_> {
    fn default() -> Self {
        Self {
            partitions: 3,
            function: Function::Deployed,
            batch_size: 100,
            batch_failures: BatchFailures::Error,
            give_up: None,
        }
    }
}

/// A topic, its mapping and its function.
#[derive(Debug)]
pub struct Flow {
    world: World,
    /// The topic.
    pub topic: String,
    /// The function's name.
    pub function: String,
    mapping: NewMapping,
    uuid: String,
    owns_function: bool,
    destination: Option<Destination>,
    /// Records of the topic before it was deleted and made again.
    earlier: Vec<RecordId>,
}

impl World {
    /// Makes the stack ready: all servers run, and nothing of a test that failed is left in the way.
    ///
    /// # Errors
    /// When there is no stack.
    pub async fn ready() -> Result<Self> {
        let stack = Stack::ready().await?;
        let world = Self {
            search: Search::new(&stack.search_endpoint)?,
            kafka: Kafka::new(&stack.bootstrap_servers),
            lambda: Lambda::new(&stack.aws_endpoint)?,
            stack,
        };
        // LocalStack forgets everything when it ends.
        if !world.lambda.functions().await?.iter().any(|name| name == DEPLOYED) {
            world.stack.deploy(&[]).await?;
        }
        for mapping in world.lambda.mappings().await? {
            let topic = mapping["Topics"][0].as_str().unwrap_or_default();
            if !TOPICS.contains(&topic) {
                world.lambda.delete_mapping(mapping["UUID"].as_str().context("a mapping has an id")?).await?;
            }
        }
        for function in world.lambda.functions().await? {
            if function.starts_with("test-") {
                world.lambda.delete_function(&function).await?;
            }
        }
        world.reset_settings().await?;
        Ok(world)
    }

    /// Takes back the settings that a test which failed may have left.
    async fn reset_settings(&self) -> Result<()> {
        let cluster = json!({"transient": {"*": null}, "persistent": {"*": null}});
        self.search.request(Method::PUT, "_cluster/settings", Some(&cluster)).await?;
        let blocks = json!({"index.blocks.write": null, "index.blocks.read_only_allow_delete": null});
        let path = format!("{INDICES},{DEAD_LETTERS}/_settings?allow_no_indices=true");
        self.search.request(Method::PUT, &path, Some(&blocks)).await.map(drop)
    }

    /// Makes a topic named after the test, and a mapping from it.
    ///
    /// # Errors
    /// When Kafka or Lambda refuses.
    pub async fn flow(&self, name: &str, options: FlowOptions<'_>) -> Result<Flow> {
        let topic = format!("{name}-{}.events", unique());
        let group = format!("tests-{topic}");
        self.kafka.create_topic(&topic, options.partitions).await?;
        let (function, owns_function) = match options.function {
            Function::Deployed => (DEPLOYED.to_owned(), false),
            Function::Own(variables, timeout_s) => {
                let name = format!("test-{name}-{}", unique());
                self.lambda.copy_deployed(&name, variables, timeout_s).await?;
                (name, true)
            }
        };
        let new = NewMapping {
            function: function.clone(),
            bootstrap_servers: self.stack.bootstrap_servers.clone(),
            topic: topic.clone(),
            group,
            batch_size: options.batch_size,
            batch_failures: options.batch_failures,
            give_up: options
                .give_up
                .map(|(retries, destination)| GiveUp { retries, destination: destination.arn() }),
        };
        let uuid = self.lambda.create_mapping(&new).await?;
        Ok(Flow {
            world: self.clone(),
            topic,
            function,
            mapping: new,
            uuid,
            owns_function,
            destination: options.give_up.map(|(_, destination)| destination.clone()),
            earlier: Vec::new(),
        })
    }
}

impl Flow {
    /// Publishes realistic events; returns when Kafka has them.
    ///
    /// # Errors
    /// When Kafka does not take them.
    pub fn publish_events(&self, count: usize) -> Result<()> {
        self.publish(&events(count))
    }

    /// Publishes records; returns when Kafka has them.
    ///
    /// # Errors
    /// When Kafka does not take them.
    pub fn publish(&self, records: &[NewRecord]) -> Result<()> {
        self.world.kafka.publish(&self.topic, records)
    }

    /// Records the topic's content, which is about to be deleted.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub fn remember_records(&mut self) -> Result<()> {
        self.earlier.extend(self.world.kafka.read(&self.topic)?);
        Ok(())
    }

    /// How many records the mapping's consumer group is behind.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub fn lag(&self) -> Result<i64> {
        self.world.kafka.lag(&self.mapping.group, &self.topic)
    }

    /// Waits until some documents of the topic are there.
    ///
    /// # Errors
    /// When they are not in time.
    pub async fn wait_for_documents(&self, at_least: u64, within: Duration) -> Result<u64> {
        until(&format!("{at_least} documents of {}", self.topic), within, async || {
            let count = self.world.search.count_topic(&self.topic).await?;
            Ok(if count >= at_least { Look::Done(count) } else { Look::NotYet(format!("{count}")) })
        })
        .await
    }

    /// Waits until a line with `text` is in the function's log, which has to be of the flow's own.
    ///
    /// # Errors
    /// When it is not in time; tells what is.
    pub async fn wait_for_log(&self, text: &str) -> Result<()> {
        ensure!(self.owns_function, "the log of {} has lines of other tests too", self.function);
        until(&format!("`{text}` in the log of {}", self.function), LOG_WAIT, async || {
            let log = self.world.lambda.log(&self.function).await?;
            Ok(Look::at(log.iter().any(|line| line.contains(text)), || log.join("\n")))
        })
        .await
    }

    /// Waits until the offsets of all records are committed.
    ///
    /// # Errors
    /// When they are not in time.
    pub async fn drained(&self, within: Duration) -> Result<()> {
        until(&format!("all records of {} to be committed", self.topic), within, async || {
            let lag = self.lag()?;
            Ok(Look::at(lag == 0, || format!("{lag} records behind")))
        })
        .await
    }

    /// Reads Kafka from end to end and holds it against the index, the dead letters and the destination.
    ///
    /// # Errors
    /// When one of them does not answer.
    pub async fn account(&self) -> Result<Account> {
        let mut records = self.world.kafka.read(&self.topic)?;
        records.extend(self.earlier.iter().cloned());
        let mut found = self.world.search.find_topic(&self.topic).await?;
        if let Some(destination) = &self.destination {
            found.extend(destination.found(&records).await?);
        }
        Ok(Account::of(&records, &found))
    }

    /// Waits until all offsets are committed and the account is whole, tells it and returns it. By then nothing may
    /// be missing any more: what is committed is not delivered again.
    ///
    /// # Errors
    /// When records are lost, doubled or extra; names them.
    pub async fn settled(&self, within: Duration) -> Result<Account> {
        self.drained(within).await?;
        let account = self.account().await?;
        ensure!(account.is_whole(), "{}: {account}", self.topic);
        say(&format!("    {}: {account}", self.topic))?;
        Ok(account)
    }

    /// The documents of the topic in the daily indices, by Kafka partition and offset.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub async fn documents(&self, indices: &str) -> Result<Vec<crate::search::Hit>> {
        let mut hits = self.world.search.all(indices, &crate::search::of_topic(&self.topic)).await?;
        let place = |hit: &crate::search::Hit| {
            (hit.source["kafka_partition"].as_i64(), hit.source["kafka_offset"].as_i64())
        };
        hits.sort_by_key(place);
        Ok(hits)
    }

    /// Makes the mapping again, after a LocalStack that forgot it.
    ///
    /// # Errors
    /// When Lambda refuses.
    pub async fn map_again(&mut self) -> Result<()> {
        self.uuid = self.world.lambda.create_mapping(&self.mapping).await?;
        Ok(())
    }

    /// Removes the mapping and the function of its own.
    ///
    /// # Errors
    /// When Lambda refuses.
    pub async fn finish(self) -> Result<()> {
        self.world.lambda.delete_mapping(&self.uuid).await?;
        if self.owns_function {
            self.world.lambda.delete_function(&self.function).await?;
        }
        Ok(())
    }
}

/// Writes a line to the terminal, where a test that passes is otherwise silent.
///
/// # Errors
/// When standard output is closed.
pub fn say(line: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout().lock(), "{line}")?)
}

/// Realistic events of all services, as records without a topic.
#[must_use]
pub fn events(count: usize) -> Vec<NewRecord> {
    let now_ms = now_ms();
    Generator::new(fastrand::u64(..), now_ms)
        .take(count)
        .map(|event| NewRecord {
            headers: event.headers().map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec())).to_vec(),
            key: Some(event.key.into_bytes()),
            value: Some(event.value.into_bytes()),
            timestamp_ms: Some(now_ms),
            partition: None,
        })
        .collect()
}

/// Now, in milliseconds since the epoch.
#[must_use]
pub fn now_ms() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}

/// The name of the daily index of a time.
#[must_use]
pub fn daily(prefix: &str, document: &Value) -> String {
    let day = document["@timestamp"].as_str().and_then(|time| time.get(..10)).unwrap_or_default();
    format!("{prefix}-{}", day.replace('-', "."))
}

/// A word that no other topic or function of this stack has.
pub(crate) fn unique() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{:x}-{count}", now_ms() % 0x1000_0000)
}
