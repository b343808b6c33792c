//! Handles an invocation: counts, counts again what is missing, and reports.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use indicatif::ProgressBar;
use kafka_to_search::account::accountant::{Accountant, Comparison};
use kafka_to_search::account::documents::Indices;
use kafka_to_search::account::mappings::{MappingsError, mappings};
use kafka_to_search::account::report::{Report, Uncounted};
use kafka_to_search::account::topic_account::{TopicAccount, TopicSource};
use kafka_to_search::aws_api::{Aws, AwsError};
use kafka_to_search::connection::{Connection, ConnectionError};
use kafka_to_search::decider::Decider;
use kafka_to_search::kafka_options::KafkaOptions;
use kafka_to_search::msk_iam::MskIam;
use kafka_to_search::search_options::deployed_patterns;
use kafka_to_search::setup::{SetupError, rules};
use kafka_to_search::since::{self, SinceError, SinceText};
use lambda_runtime::Diagnostic;
use lambda_support::deadline::work_until;
use lambda_support::secrets::SecretStore;
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;
use tokio::time::{Instant, timeout_at};
use tracing::{error, info, warn};

use crate::config::{AccountConfig, DeployedError};
use crate::kafka::{self, KafkaError};
use crate::metrics;

/// Reserved for what follows the count: the metrics, the log and the response.
const MARGIN: Duration = Duration::from_secs(4);
/// Ranges of missing offsets in a response, which has at most 6 MB.
const MAX_RANGES: usize = 10_000;
/// Ranges of missing offsets in a log line of a partition.
const LOGGED_RANGES: usize = 50;

/// Why an invocation has no whole account.
#[derive(Debug, Error)]
pub enum InvocationError {
    /// The event is not valid.
    #[error("the event is no JSON object: {0}")]
    Event(#[source] serde_json::Error),
    /// The span of the event is not valid.
    #[error("`since` is {0}")]
    Since(#[from] SinceError),
    /// Lambda can't be asked.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// The mappings are not known.
    #[error(transparent)]
    Mappings(#[from] MappingsError),
    /// The function has no mappings.
    #[error(
        "the function {0} has no event source mapping of a Kafka topic: set IndexEvents to the function that indexes"
    )]
    NoMappings(String),
    /// The configuration of the function that indexes can't be used.
    #[error(transparent)]
    Deployed(#[from] DeployedError),
    /// The rules can't be read.
    #[error(transparent)]
    Rules(#[from] SetupError),
    /// The cluster or the registry can't be had.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// It is not known how to connect to the brokers.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// There was no time to begin.
    #[error(
        "the time was over before anything was counted: Lambda, the brokers or the cluster respond too slowly"
    )]
    NoTime,
    /// Not everything was counted. What was is in the metrics and in the log.
    #[error(
        "records of {topics} were not counted, so that it is not known whether some are missing there: {reasons}; {missing} records of \
         what was counted are missing"
    )]
    Unfinished {
        /// The topics.
        topics: String,
        /// Why.
        reasons: String,
        /// Records that are missing.
        missing: u64,
    },
}

impl From<InvocationError> for Diagnostic {
    fn from(error: InvocationError) -> Self {
        let error_type = match error {
            InvocationError::Event(_) | InvocationError::Since(_) => "BadRequest",
            InvocationError::Unfinished { .. } | InvocationError::NoTime => "AccountUnfinished",
            _ => "NoAccount",
        };
        Self { error_type: error_type.into(), error_message: error.to_string() }
    }
}

/// An event of a schedule has other members, which mean nothing here.
#[derive(Deserialize)]
struct Event {
    /// From when on, instead of the configured span.
    since: Option<String>,
}

/// Handles invocations. Create one and keep it.
pub struct Handler {
    config: AccountConfig,
    aws: Aws,
    iam: MskIam,
    secrets: Arc<dyn SecretStore>,
    function_name: String,
    confirm_after: Duration,
}

impl Handler {
    /// Creates a handler that asks Lambda and MSK by `aws`, and logs in to MSK by `iam`. What is missing is counted again after
    /// `confirm_after`: the cluster may show documents late.
    pub fn new(
        config: AccountConfig,
        aws: Aws,
        iam: MskIam,
        secrets: Arc<dyn SecretStore>,
        function_name: String,
        confirm_after: Duration,
    ) -> Self {
        Self { config, aws, iam, secrets, function_name, confirm_after }
    }

    /// Handles one invocation, whose Lambda deadline is `deadline_ms` since the epoch, and returns the report.
    ///
    /// # Errors
    /// [`InvocationError`] when not everything was counted. Missing records are none.
    pub async fn handle(&self, payload: &[u8], deadline_ms: u64) -> Result<Value, InvocationError> {
        let result = self.account(payload, deadline_ms).await.and_then(|report| {
            self.publish(&report);
            if report.is_whole() { Ok(report.json(MAX_RANGES)) } else { Err(unfinished(&report)) }
        });
        if let Err(reason) = &result {
            // Nobody sees the response to a schedule.
            error!(reason = %reason, "not all records accounted for");
        }
        result
    }

    /// Counts what the event asks for. A report that is not whole says what was not counted.
    ///
    /// # Errors
    /// [`InvocationError`] when nothing was counted.
    pub async fn account(&self, payload: &[u8], deadline_ms: u64) -> Result<Report, InvocationError> {
        let now = Instant::now();
        let left = work_until(deadline_ms, SystemTime::now()) - now;
        let deadline = now + left - MARGIN.min(left / 4);
        let event: Event = serde_json::from_slice(payload).map_err(InvocationError::Event)?;
        let since = since::parse(event.since.as_deref().unwrap_or(&self.config.since))?;
        self.report(since, deadline).await
    }

    async fn report(&self, since: SinceText, deadline: Instant) -> Result<Report, InvocationError> {
        let prepared = timeout_at(deadline, self.prepare()).await;
        let Prepared { connection, indices, sources } = prepared.map_err(|_| InvocationError::NoTime)??;
        let Connection { settings, client, registry } = connection;
        let Some((_, first)) = sources.first() else {
            return Err(InvocationError::NoMappings(self.config.index_function.clone()));
        };
        let mut accountant = Accountant {
            client: &client,
            indices,
            kafka: first.clone(),
            aws: Some(&self.aws),
            decider: Decider::new(settings, registry),
            since: since.since,
            comparison: Comparison::Counts,
            deadline: Some(deadline),
            progress: ProgressBar::hidden(),
        };
        let mut counted = Vec::new();
        for (source, kafka) in &sources {
            counted.push(count(&mut accountant, source, kafka).await);
        }
        if counted.iter().any(Counted::is_in_doubt) && Instant::now() + self.confirm_after < deadline {
            tokio::time::sleep(self.confirm_after).await;
            for (before, (source, kafka)) in counted.iter_mut().zip(&sources) {
                if before.is_in_doubt() {
                    let again = count(&mut accountant, source, kafka).await;
                    if again.is_whole() {
                        *before = again;
                    }
                }
            }
        }
        let mut report =
            Report { since: since.text, topics: Vec::new(), uncounted: Vec::new(), healed: None };
        for each in counted {
            match each {
                Counted::Topic(topic) => report.topics.push(*topic),
                Counted::Failed(uncounted) => report.uncounted.push(uncounted),
            }
        }
        Ok(report)
    }

    async fn prepare(&self) -> Result<Prepared, InvocationError> {
        let function = &self.config.index_function;
        let mappings = mappings(&self.aws, function).await?;
        let configuration = self.aws.function_configuration(function).await?;
        let config = self.config.deployed(&configuration)?;
        let (topic_rules, of_rules) = match &self.config.pipeline_file {
            Some(path) => rules(path).map(|(rules, _, patterns)| (rules, patterns))?,
            None => Default::default(),
        };
        let connection = Connection::open(config, topic_rules, &self.secrets).await?;
        let patterns = deployed_patterns(&connection.settings, of_rules);
        let indices = Indices::new(patterns, connection.settings.dead_letter_prefix.as_str());
        let mut sources: Vec<(TopicSource, KafkaOptions)> = Vec::new();
        for mapping in mappings {
            let same = |(source, _): &&(TopicSource, _)| {
                source.mapping.as_ref().is_some_and(|other| other.kafka == mapping.kafka)
            };
            let kafka = match sources.iter().find(same) {
                Some((_, kafka)) => kafka.clone(),
                None => {
                    let secrets = self.secrets.as_ref();
                    kafka::options(&self.config, &mapping.kafka, &self.aws, &self.iam, secrets).await?
                }
            };
            sources.push((mapping.into(), kafka));
        }
        Ok(Prepared { connection, indices, sources })
    }

    /// Writes the metrics and the log.
    fn publish(&self, report: &Report) {
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        let mut out = std::io::stdout().lock();
        for line in metrics::lines(report, now_ms, &self.function_name) {
            // Without standard output there are no metrics and no logs, and the response is the only report.
            let _ = writeln!(out, "{line}");
        }
        drop(out);
        for topic in &report.topics {
            for partition in topic.partitions.iter().filter(|partition| partition.counts.missing > 0) {
                let ranges = partition.missing.ranges();
                let listed: Vec<String> =
                    ranges.iter().take(LOGGED_RANGES).map(ToString::to_string).collect();
                error!(
                    topic = %topic.source.topic,
                    partition = partition.partition,
                    n_missing = partition.counts.missing,
                    offsets = %listed.join(", "),
                    n_ranges_left_out = ranges.len() - listed.len(),
                    "records are missing"
                );
            }
            for note in &topic.notes {
                warn!(note, "note on the account");
            }
        }
        let total = report.total();
        info!(
            since = %report.since,
            n_records = total.records(),
            n_missing = total.missing,
            n_pending = total.pending,
            is_whole = report.is_whole(),
            "records accounted for"
        );
    }
}

/// What an account needs.
struct Prepared {
    connection: Connection,
    indices: Indices,
    sources: Vec<(TopicSource, KafkaOptions)>,
}

/// What is known of a topic.
enum Counted {
    Topic(Box<TopicAccount>),
    Failed(Uncounted),
}

impl Counted {
    fn is_whole(&self) -> bool {
        matches!(self, Self::Topic(topic) if topic.is_whole())
    }

    /// Whether it may come out otherwise a little later.
    fn is_in_doubt(&self) -> bool {
        match self {
            Self::Topic(topic) => topic.total().missing > 0,
            Self::Failed(_) => true,
        }
    }
}

async fn count(accountant: &mut Accountant<'_>, source: &TopicSource, kafka: &KafkaOptions) -> Counted {
    accountant.kafka = kafka.clone();
    match accountant.topic(source).await {
        Ok(topic) => Counted::Topic(Box::new(topic)),
        Err(reason) => {
            warn!(topic = %source.topic, reason = %reason, "topic not counted");
            Counted::Failed(Uncounted { topic: source.topic.clone(), reason: reason.to_string() })
        }
    }
}

fn unfinished(report: &Report) -> InvocationError {
    let mut topics: Vec<&str> = report.uncounted.iter().map(|each| each.topic.as_str()).collect();
    let mut reasons: Vec<String> = report.uncounted.iter().map(|each| each.reason.clone()).collect();
    let partly: Vec<&str> = report
        .topics
        .iter()
        .filter(|topic| !topic.is_whole())
        .map(|topic| topic.source.topic.as_str())
        .collect();
    if !partly.is_empty() {
        reasons.push("the time was over: give the function more memory, or count more often".into());
        topics.extend(partly);
    }
    InvocationError::Unfinished {
        topics: topics.join(", "),
        reasons: reasons.join("; "),
        missing: report.total().missing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_of_a_schedule_counts_the_configured_span() {
        let event: Event =
            serde_json::from_str(r#"{"version":"0","source":"aws.events","detail":{}}"#).unwrap();
        assert_eq!(event.since, None);
    }

    #[test]
    fn an_account_with_a_topic_that_was_not_counted_is_an_error_that_names_it() {
        let part = TopicAccount {
            source: TopicSource { topic: "a".into(), group: "g".into(), mapping: None },
            partitions: Vec::new(),
            uncounted: vec![0],
            notes: Vec::new(),
        };
        let failed = Uncounted { topic: "b".into(), reason: "no broker".into() };
        let report = Report { since: "2h".into(), topics: vec![part], uncounted: vec![failed], healed: None };
        let error = Diagnostic::from(unfinished(&report));
        assert_eq!(error.error_type, "AccountUnfinished");
        assert!(
            error.error_message.starts_with("records of b, a were not counted"),
            "{}",
            error.error_message
        );
        assert!(error.error_message.contains("no broker; the time was over"), "{}", error.error_message);
    }
}
