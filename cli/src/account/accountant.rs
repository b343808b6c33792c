//! Accounts for the records of a topic, partition by partition, chunk by chunk.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use event_pipeline::event::EventError;
use indicatif::ProgressBar;
use search_client::client::SearchClient;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::broker::Broker;
use super::destination::{AtDestination, DestinationError};
use super::documents::{CountError, Form, Indices, PartitionDocuments, Refreshed};
use super::heal::{HealError, Healer};
use super::outcome::{Counts, Outcome};
use super::survey::{chunks, survey};
use super::topic_account::{PartitionAccount, TopicAccount, TopicSource, notes};
use crate::aws_api::Aws;
use crate::cluster::CallError;
use crate::decider::Decider;
use crate::evaluate::Decision;
use crate::kafka_options::KafkaOptions;
use crate::offsets::{OffsetRange, OffsetSet};
use crate::record::Record;
use crate::since::Since;
use crate::source::SourceError;

/// Ranges of missing offsets that are kept of a partition. What is missing beyond is counted alone.
const MAX_RANGES: usize = 1_000_000;

/// How documents are compared with records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// By the counts of ranges of offsets, and by ids where they differ.
    Counts,
    /// By the id of each record.
    Ids,
}

/// Why there is no account.
#[derive(Debug, Error)]
pub enum AccountError {
    /// Kafka can't be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The documents can't be counted.
    #[error(transparent)]
    Count(#[from] CountError),
    /// The cluster fails.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A batch can't be decided on.
    #[error(transparent)]
    Event(#[from] EventError),
    /// An on-failure destination can't be read.
    #[error(transparent)]
    Destination(#[from] DestinationError),
    /// Records can't be given to the function.
    #[error(transparent)]
    Heal(#[from] HealError),
    /// The time was over before the first partition was counted.
    #[error("the time was over before the first partition of {0} was counted")]
    NoTime(String),
    /// The thread that read Kafka ended without a result.
    #[error("the thread that reads Kafka ended early")]
    Thread,
    /// The counts do not add up, because documents were deleted or written meanwhile.
    #[error(
        "the counts of {topic}-{partition} do not add up to its offsets: documents changed meanwhile, count again"
    )]
    Unbalanced {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
}

/// Accounts for records by the brokers and the cluster.
pub struct Accountant<'a> {
    /// The cluster.
    pub client: &'a SearchClient,
    /// Where its documents are.
    pub indices: Indices,
    /// The brokers.
    pub kafka: KafkaOptions,
    /// Reads buckets; `None` where there are no credentials.
    pub aws: Option<&'a Aws>,
    /// Decides as the function does.
    pub decider: Decider,
    /// From when on.
    pub since: Since,
    /// How.
    pub comparison: Comparison,
    /// Until when: partitions that are not counted by then are left out, and named. `None` takes any time.
    pub deadline: Option<Instant>,
    /// Shows how far it is.
    pub progress: ProgressBar,
}

/// What there is to count of a topic.
struct Begun {
    broker: Arc<Broker>,
    ranges: BTreeMap<i32, OffsetRange>,
    committed: BTreeMap<i32, i64>,
    refreshed: Refreshed,
}

/// What is judged of a partition.
struct Partition<'p> {
    broker: &'p Arc<Broker>,
    source: &'p TopicSource,
    number: i32,
    refreshed: Refreshed,
}

/// What was found at offsets that were judged by ids.
#[derive(Default)]
struct Judged {
    counts: Counts,
    missing: OffsetSet,
    doubled: u64,
    /// Whether a document is that of another record at the same offset.
    has_foreign: bool,
}

impl Accountant<'_> {
    /// Accounts for the records of a topic. Partitions for which no time is left are named in it.
    ///
    /// # Errors
    /// [`AccountError`] when that can't be found out.
    pub async fn topic(&mut self, source: &TopicSource) -> Result<TopicAccount, AccountError> {
        let deadline = self.deadline;
        let Some(begun) = until(deadline, self.begin(source)).await else {
            return Err(AccountError::NoTime(source.topic.clone()));
        };
        let Begun { broker, ranges, committed, refreshed } = begun?;
        let mut account = TopicAccount {
            source: source.clone(),
            partitions: Vec::new(),
            uncounted: Vec::new(),
            notes: first_notes(source, &ranges, &committed),
        };
        let mut destination = None;
        for (number, range) in ranges {
            let partition = Partition { broker: &broker, source, number, refreshed };
            let committed = committed.get(&number).copied();
            let counting =
                self.partition_account(&partition, range, committed, &mut destination, &mut account.notes);
            match until(deadline, counting).await {
                Some(counted) => account.partitions.push(counted?),
                None => account.uncounted.push(number),
            }
        }
        if !account.is_whole() {
            account.notes.push(format!(
                "{}: the time was over before {} of its partitions were counted",
                source.topic,
                account.uncounted.len()
            ));
        }
        account.notes.extend(notes(&account, destination.as_ref(), refreshed));
        Ok(account)
    }

    /// Finds out what there is to count.
    async fn begin(&self, source: &TopicSource) -> Result<Begun, AccountError> {
        let broker = Arc::new(Broker::new(&self.kafka, &source.group)?);
        let (topic, since) = (source.topic.clone(), self.since);
        // The ends first: what is committed later belongs to records behind them, or counts as pending.
        let (ranges, committed) = on(&broker, move |broker| {
            let ranges = broker.ranges(&topic, since)?;
            let committed = broker.committed(&topic, ranges.keys().copied())?;
            Ok((ranges, committed))
        })
        .await?;
        // What is committed is written; from here on searches see it.
        let refreshed = self.indices.refresh(self.client).await?;
        let n_offsets: u64 = ranges.values().map(|range| range.len()).sum();
        self.progress.inc_length(n_offsets);
        self.progress.set_message(source.topic.clone());
        Ok(Begun { broker, ranges, committed, refreshed })
    }

    async fn partition_account(
        &mut self,
        partition: &Partition<'_>,
        range: OffsetRange,
        committed: Option<i64>,
        destination: &mut Option<AtDestination>,
        notes: &mut Vec<String>,
    ) -> Result<PartitionAccount, AccountError> {
        let settled =
            OffsetRange::new(range.start, committed.unwrap_or(range.start).clamp(range.start, range.end));
        let pending = range.len() - settled.len();
        let mut judged = self.partition(partition, settled, destination, notes).await?;
        judged.counts.offsets = range.len();
        judged.counts.pending = pending;
        self.progress.inc(pending);
        if !judged.counts.is_balanced() {
            let topic = partition.source.topic.clone();
            return Err(AccountError::Unbalanced { topic, partition: partition.number });
        }
        Ok(PartitionAccount {
            partition: partition.number,
            range,
            committed,
            counts: judged.counts,
            missing: judged.missing,
            doubled: judged.doubled,
        })
    }

    /// Gives the missing records of a topic to the function again.
    ///
    /// # Errors
    /// [`AccountError`]
    pub async fn heal(&self, account: &TopicAccount, healer: &mut Healer<'_>) -> Result<(), AccountError> {
        let TopicSource { topic, group, .. } = &account.source;
        let broker = Arc::new(Broker::new(&self.kafka, group)?);
        for partition in &account.partitions {
            let mut batches = read(&broker, topic, partition.partition, partition.missing.clone());
            while let Some(batch) = batches.receiver.recv().await {
                for record in &batch {
                    healer.add(record).await?;
                }
            }
            batches.end().await?;
        }
        Ok(())
    }

    /// Accounts for the offsets of a partition that are committed.
    async fn partition(
        &mut self,
        partition: &Partition<'_>,
        range: OffsetRange,
        destination: &mut Option<AtDestination>,
        notes: &mut Vec<String>,
    ) -> Result<Judged, AccountError> {
        let (topic, number) = (&partition.source.topic, partition.number);
        let mut judged = Judged::default();
        if range.is_empty() {
            return Ok(judged);
        }
        let name = topic.clone();
        let first = on(partition.broker, move |broker| broker.first(&name, number, range)).await?;
        // A topic that was deleted and created again has the same offsets. Documents of records that are older than its first one
        // are those of the earlier topic. Where times are not in order, some are not: these are found by their ids.
        let since_ms = first.and_then(|record| record.timestamp_ms).filter(|millis| *millis > 0);
        let client = self.client;
        let indices = self.indices.clone();
        let documents = PartitionDocuments::new(client, &indices, topic, number, since_ms);
        let by_ids = match self.comparison {
            Comparison::Ids => true,
            Comparison::Counts => match documents.latest_timestamp(range).await? {
                Some(latest) => {
                    let name = topic.clone();
                    !on(partition.broker, move |broker| broker.has_since(&name, number, latest)).await?
                }
                None => false,
            },
        };
        let before = self.progress.position();
        if !by_ids {
            self.by_counts(partition, range, &documents, destination, &mut judged).await?;
            if judged.has_foreign {
                notes.push(format!(
                    "{topic}-{number}: the cluster has documents of another topic of this name, so that each record was compared by \
                     its id"
                ));
            }
        }
        if by_ids || judged.has_foreign {
            judged = Judged::default();
            self.progress.set_position(before);
            let none = OffsetSet::default();
            self.judge_all(partition, &range.into(), &none, destination, &mut judged).await?;
        }
        let name = topic.clone();
        let oldest = on(partition.broker, move |broker| broker.oldest(&name, number)).await?;
        if oldest > range.start {
            notes.push(format!(
                "{topic}-{number}: Kafka's retention removed records below offset {oldest} meanwhile, which count as removed if they \
                 had no document"
            ));
        }
        Ok(judged)
    }

    async fn by_counts(
        &mut self,
        partition: &Partition<'_>,
        range: OffsetRange,
        documents: &PartitionDocuments<'_>,
        destination: &mut Option<AtDestination>,
        judged: &mut Judged,
    ) -> Result<(), AccountError> {
        let none = OffsetSet::default();
        let mut next = range.start;
        for chunk in chunks(documents, range).await? {
            let empty = OffsetRange::new(next, chunk.start);
            self.judge_all(partition, &empty.into(), &none, destination, judged).await?;
            let found = survey(documents, chunk).await?;
            judged.counts.add_tally(found.tally);
            self.progress.inc(found.tally.total());
            let mut unsettled = found.gaps;
            unsettled.extend(&found.doubles);
            self.judge_all(partition, &unsettled, &found.doubles, destination, judged).await?;
            next = chunk.end;
        }
        let rest = OffsetRange::new(next, range.end);
        self.judge_all(partition, &rest.into(), &none, destination, judged).await
    }

    /// Reads the records at `offsets` and looks for each by its id. At `doubles` the cluster has several documents.
    async fn judge_all(
        &mut self,
        partition: &Partition<'_>,
        offsets: &OffsetSet,
        doubles: &OffsetSet,
        destination: &mut Option<AtDestination>,
        judged: &mut Judged,
    ) -> Result<(), AccountError> {
        if offsets.is_empty() {
            return Ok(());
        }
        let before = self.progress.position();
        let mut n_records = 0;
        let mut batches = read(partition.broker, &partition.source.topic, partition.number, offsets.clone());
        while let Some(batch) = batches.receiver.recv().await {
            n_records += batch.len() as u64;
            if let (Some(first), Some(last)) = (batch.first(), batch.last()) {
                let done = offsets.count_in(OffsetRange::new(first.offset, last.offset + 1));
                self.progress.inc(done);
            }
            self.judge(partition, &batch, doubles, destination, judged).await?;
        }
        batches.end().await?;
        judged.counts.removed += offsets.len().saturating_sub(n_records);
        self.progress.set_position(before + offsets.len());
        Ok(())
    }

    async fn judge(
        &mut self,
        partition: &Partition<'_>,
        batch: &[Record],
        doubles: &OffsetSet,
        destination: &mut Option<AtDestination>,
        judged: &mut Judged,
    ) -> Result<(), AccountError> {
        let ids: Vec<String> = batch.iter().map(Record::document_id).collect();
        let found = self.indices.find(self.client, &ids).await?;
        let mut without = Vec::new();
        for (record, id) in batch.iter().zip(&ids) {
            let forms = found.get(id).map(Vec::as_slice).unwrap_or_default();
            judged.has_foreign |= doubles.contains(record.offset) && forms.len() < 2;
            judged.doubled += u64::from(forms.len() > 1);
            match forms.iter().min() {
                Some(form) => judged.counts.add(outcome(*form)),
                None => without.push(record.clone()),
            }
        }
        if without.is_empty() {
            return Ok(());
        }
        let decisions = self.decider.decide(&without).await?;
        let unseen = match partition.refreshed {
            Refreshed::Yes => HashMap::new(),
            Refreshed::Refused => self.indices.get(self.client, &decisions).await?,
        };
        for ((record, decision), id) in
            without.iter().zip(&decisions).zip(without.iter().map(Record::document_id))
        {
            let outcome = if let Some(form) = unseen.get(&id) {
                outcome(*form)
            } else if let Decision::Dropped = decision {
                Outcome::Dropped
            } else if self.at_destination(partition, destination).await?.has(record) {
                Outcome::AtDestination
            } else {
                if judged.missing.ranges().len() < MAX_RANGES {
                    judged.missing.insert(OffsetRange::new(record.offset, record.offset + 1));
                }
                Outcome::Missing
            };
            judged.counts.add(outcome);
        }
        Ok(())
    }

    /// What is at the destination of the topic's mapping, which is read when it is first needed.
    async fn at_destination<'d>(
        &self,
        partition: &Partition<'_>,
        destination: &'d mut Option<AtDestination>,
    ) -> Result<&'d AtDestination, AccountError> {
        let read = match destination.take() {
            Some(read) => read,
            None => match &partition.source.mapping {
                Some(mapping) => AtDestination::read(mapping, self.aws, &self.kafka, self.since).await?,
                None => AtDestination::default(),
            },
        };
        Ok(destination.insert(read))
    }
}

/// What a reader has to know before anything is counted.
fn first_notes(
    source: &TopicSource,
    ranges: &BTreeMap<i32, OffsetRange>,
    committed: &BTreeMap<i32, i64>,
) -> Vec<String> {
    let TopicSource { topic, group, mapping } = source;
    let mut notes = Vec::new();
    if committed.is_empty() {
        notes.push(format!(
            "{topic}: group {group} has committed no offset, so that all records count as pending"
        ));
    }
    if mapping.as_ref().is_some_and(|mapping| mapping.filters) {
        notes.push(format!(
            "{topic}: the mapping has an event filter, which drops records without a trace: they count as missing"
        ));
    }
    let n_behind = ranges
        .iter()
        .filter(|(number, range)| committed.get(number).is_some_and(|committed| *committed < range.start))
        .count();
    if n_behind > 0 {
        notes.push(format!(
            "{topic}: in {n_behind} partitions, group {group} has not yet read the records before this time, which are not counted: \
             count from an earlier time once it has"
        ));
    }
    notes
}

/// What `work` returns; `None` if the deadline comes first. After it, nothing begins: a thread that reads Kafka can't be stopped.
async fn until<T>(deadline: Option<Instant>, work: impl Future<Output = T>) -> Option<T> {
    match deadline {
        Some(deadline) if Instant::now() >= deadline => None,
        Some(deadline) => timeout_at(deadline, work).await.ok(),
        None => Some(work.await),
    }
}

fn outcome(form: Form) -> Outcome {
    match form {
        Form::Indexed => Outcome::Indexed,
        Form::Rescued => Outcome::Rescued,
        Form::DeadLetter => Outcome::DeadLettered,
    }
}

/// Batches of records that a thread reads.
struct Batches {
    receiver: mpsc::Receiver<Vec<Record>>,
    reader: tokio::task::JoinHandle<Result<(), SourceError>>,
}

impl Batches {
    async fn end(self) -> Result<(), AccountError> {
        Ok(self.reader.await.map_err(|_| AccountError::Thread)??)
    }
}

/// Reads the records at `offsets` in another thread. Two batches wait while one is worked on.
fn read(broker: &Arc<Broker>, topic: &str, partition: i32, offsets: OffsetSet) -> Batches {
    let (sender, receiver) = mpsc::channel(2);
    let (broker, topic) = (Arc::clone(broker), topic.to_owned());
    let reader = tokio::task::spawn_blocking(move || broker.read(&topic, partition, &offsets, &sender));
    Batches { receiver, reader }
}

/// Calls the broker in another thread: its calls block.
async fn on<T: Send + 'static>(
    broker: &Arc<Broker>,
    call: impl FnOnce(&Broker) -> Result<T, SourceError> + Send + 'static,
) -> Result<T, AccountError> {
    let broker = Arc::clone(broker);
    Ok(tokio::task::spawn_blocking(move || call(&broker)).await.map_err(|_| AccountError::Thread)??)
}
