//! A test's own topic with a mapping to a function: everything published to it must reach the index.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Result, ensure};
use event_producer::generate::Generator;
use serde_json::Value;

use crate::account::{Account, RecordId};
use crate::live::destination::Destination;
use crate::live::kafka::NewRecord;
use crate::live::lambda::{BatchFailures, DEPLOYED, NewMapping, OnFailure};
use crate::live::poll::{Check, until};
use crate::live::program::ProgramAccount;
use crate::live::search::{Hit, of_topic};
use crate::live::world::{World, now_ms, unique};

/// Longer than a function needs to log a line.
const LOG_WAIT: Duration = Duration::from_secs(60);

/// Which function a flow goes through.
#[derive(Clone, Copy, Debug)]
pub enum Function<'a> {
    /// The one that the template deploys.
    Deployed,
    /// The flow's own copy: the same code with these additional variables and this timeout in seconds.
    Own(&'a [(&'a str, &'a str)], u32),
}

/// The options of a flow.
#[derive(Clone, Copy, Debug)]
pub struct FlowOptions<'a> {
    /// The topic's partitions.
    pub partitions: i32,
    /// The function.
    pub function: Function<'a>,
    /// Most records in an invocation.
    pub batch_size: u32,
    /// How failed records are reported.
    pub batch_failures: BatchFailures,
    /// Retries after which failed records go to a destination. Without it, they are retried forever.
    pub on_failure: Option<(u32, &'a Destination)>,
}

impl Default for FlowOptions<'_> {
    fn default() -> Self {
        Self {
            partitions: 3,
            function: Function::Deployed,
            batch_size: 100,
            batch_failures: BatchFailures::Error,
            on_failure: None,
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
    /// The rules of topics of the flow's own function.
    rules: Option<String>,
    /// Records of the topic before it was deleted and recreated.
    earlier: Vec<RecordId>,
}

impl World {
    /// Creates a topic named after the test, and a mapping from it.
    ///
    /// # Errors
    /// When Kafka or Lambda rejects the request.
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
            on_failure: options
                .on_failure
                .map(|(retries, destination)| OnFailure { retries, destination: destination.arn() }),
        };
        let uuid = self.lambda.create_mapping(&new).await?;
        Ok(Flow {
            world: self.clone(),
            topic,
            function,
            mapping: new,
            uuid,
            owns_function,
            destination: options.on_failure.map(|(_, destination)| destination.clone()),
            rules: match options.function {
                Function::Deployed => None,
                Function::Own(variables, _) => {
                    let file = variables.iter().find(|(name, _)| *name == "PIPELINE_FILE");
                    file.map(|(_, path)| (*path).to_owned())
                }
            },
            earlier: Vec::new(),
        })
    }
}

impl Flow {
    /// Publishes realistic events; returns when Kafka has them.
    ///
    /// # Errors
    /// When Kafka does not accept them.
    pub fn publish_events(&self, count: usize) -> Result<()> {
        self.publish(&events(count))
    }

    /// Publishes records; returns when Kafka has them.
    ///
    /// # Errors
    /// When Kafka does not accept them.
    pub fn publish(&self, records: &[NewRecord]) -> Result<()> {
        self.world.kafka.publish(&self.topic, records)
    }

    /// Remembers the records of the topic, which is about to be deleted.
    ///
    /// # Errors
    /// When Kafka does not respond.
    pub fn remember_records(&mut self) -> Result<()> {
        self.earlier.extend(self.world.kafka.read(&self.topic)?);
        Ok(())
    }

    /// How many records the mapping's consumer group is behind.
    ///
    /// # Errors
    /// When Kafka does not respond.
    pub fn lag(&self) -> Result<i64> {
        self.world.kafka.lag(&self.mapping.group, &self.topic)
    }

    /// Waits until the topic has at least this many documents, and returns how many.
    ///
    /// # Errors
    /// When they are not in time.
    pub async fn wait_for_documents(&self, at_least: u64, within: Duration) -> Result<u64> {
        until(&format!("{at_least} documents of {}", self.topic), within, async || {
            let count = self.world.search.count_topic(&self.topic).await?;
            Ok(if count >= at_least { Check::Done(count) } else { Check::NotYet(format!("{count}")) })
        })
        .await
    }

    /// Waits until the function's log has a line with `text`. The function must be the flow's own.
    ///
    /// # Errors
    /// When it is not there in time; the error shows the log.
    pub async fn wait_for_log(&self, text: &str) -> Result<()> {
        ensure!(self.owns_function, "the log of {} also has lines of other tests", self.function);
        until(&format!("`{text}` in the log of {}", self.function), LOG_WAIT, async || {
            let log = self.world.lambda.log(&self.function).await?;
            Ok(Check::at(log.iter().any(|line| line.contains(text)), || log.join("\n")))
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
            Ok(Check::at(lag == 0, || format!("{lag} records behind")))
        })
        .await
    }

    /// Reads Kafka from end to end and compares it with the index, the dead letters and the destination.
    ///
    /// # Errors
    /// When one of them does not respond.
    pub async fn account(&self) -> Result<Account> {
        let mut records = self.world.kafka.read(&self.topic)?;
        records.extend(self.earlier.iter().cloned());
        let mut found = self.world.search.find_topic(&self.topic).await?;
        if let Some(destination) = &self.destination {
            found.extend(destination.found(&records).await?);
        }
        Ok(Account::of(&records, &found))
    }

    /// Waits until all offsets are committed, then prints and returns the account, which must be complete: what is committed
    /// is not delivered again. `kafka-to-search account` has to find the same.
    ///
    /// # Errors
    /// When records are lost, duplicated or extra; the error names them.
    pub async fn completed(&self, within: Duration) -> Result<Account> {
        self.drained(within).await?;
        let account = self.account().await?;
        ensure!(account.is_complete(), "{}: {account}", self.topic);
        print_line(&format!("    {}: {account}", self.topic))?;
        self.compare_with_program(&account).await?;
        Ok(account)
    }

    /// The account of `kafka-to-search account`, with more options.
    ///
    /// # Errors
    /// When it can't be taken.
    pub async fn program_account(&self, more: &[&str]) -> Result<ProgramAccount> {
        let rules = self.rules.as_deref().map_or(vec![], |rules| vec!["--pipeline", rules]);
        let options = ["--topic", &self.topic, "--function", &self.function, "--since", "beginning"];
        self.world.program_account(&[&options, rules.as_slice(), more].concat()).await
    }

    async fn compare_with_program(&self, account: &Account) -> Result<()> {
        let ProgramAccount { report, .. } = self.program_account(&[]).await?;
        let count = |name: &str| report["total"][name].as_u64().and_then(|n| usize::try_from(n).ok());
        let is_read = self.destination.as_ref().is_none_or(Destination::is_read_by_program);
        let (at_destination, missing) =
            if is_read { (account.to_destinations, 0) } else { (0, account.to_destinations) };
        ensure!(count("missing") == Some(missing), "{}: {account}, but: {report:#}", self.topic);
        if self.earlier.is_empty() {
            let indexed = count("indexed").zip(count("rescued")).map(|(usual, rescued)| usual + rescued);
            let found = [indexed, count("dead_lettered"), count("at_destination")];
            let expected = [account.indexed, account.dead_lettered, at_destination].map(Some);
            ensure!(found == expected, "{}: {account}, but: {report:#}", self.topic);
        }
        Ok(())
    }

    /// The documents of the topic in the daily indices, by Kafka partition and offset.
    ///
    /// # Errors
    /// When the cluster does not respond.
    pub async fn documents(&self, indices: &str) -> Result<Vec<Hit>> {
        let mut hits = self.world.search.all(indices, &of_topic(&self.topic)).await?;
        let place = |hit: &Hit| (hit.source["kafka_partition"].as_i64(), hit.source["kafka_offset"].as_i64());
        hits.sort_by_key(place);
        Ok(hits)
    }

    /// Recreates the mapping after a restart of LocalStack, which forgets it.
    ///
    /// # Errors
    /// When Lambda rejects the request.
    pub async fn recreate_mapping(&mut self) -> Result<()> {
        self.uuid = self.world.lambda.create_mapping(&self.mapping).await?;
        Ok(())
    }

    /// Deletes the mapping, and the function if it is the flow's own.
    ///
    /// # Errors
    /// When Lambda rejects the request.
    pub async fn finish(self) -> Result<()> {
        self.world.lambda.delete_mapping(&self.uuid).await?;
        if self.owns_function {
            self.world.lambda.delete_function(&self.function).await?;
        }
        Ok(())
    }
}

/// Prints a line that cargo does not capture, so that it shows for tests that pass too.
///
/// # Errors
/// When standard output is closed.
pub fn print_line(line: &str) -> Result<()> {
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

/// The name of a document's daily index.
#[must_use]
pub fn daily(prefix: &str, document: &Value) -> String {
    let day = document["@timestamp"].as_str().and_then(|time| time.get(..10)).unwrap_or_default();
    format!("{prefix}-{}", day.replace('-', "."))
}
