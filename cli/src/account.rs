//! `account`: whether each record in Kafka has reached its place.

pub mod accountant;
pub mod broker;
pub mod destination;
pub mod documents;
pub mod heal;
pub mod mappings;
pub mod outcome;
pub mod report;
pub mod survey;
pub mod topic_account;

use std::collections::BTreeSet;
use std::io::{self, Write};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use lambda_support::aws::secrets_manager;
use lambda_support::variables::ConfigError;
use thiserror::Error;

use self::accountant::{AccountError, Accountant, Comparison};
use self::documents::Indices;
use self::heal::{Healed, Healer};
use self::mappings::{Mapping, MappingsError, mappings};
use self::report::Report;
use self::topic_account::{TopicAccount, TopicSource};
use crate::aws_api::{Aws, AwsError};
use crate::connection::{Connection, ConnectionError};
use crate::decider::Decider;
use crate::exit::Exit;
use crate::kafka_options::KafkaOptions;
use crate::output::Output;
use crate::search_options::SearchOptions;
use crate::setup::{SetupError, SetupOptions, rules};
use crate::since::{self, SinceText};
use crate::variables::{self, VariableTexts, VariablesError};

/// Show whether each record in Kafka has reached its place: the index, the dead letters, the on-failure destination, or nowhere
/// because a rule drops it. Ends with 0 if nothing is missing, 1 if records are, and 2 if that could not be found out
#[derive(Debug, Args)]
#[command(
    after_help = "Environment variables: those of the cluster (SEARCH_ENDPOINT or SEARCH_DOMAIN, SEARCH_AUTH, SEARCH_SECRET_ID, \
    SEARCH_CA_CERT) and of the registry (SCHEMA_REGISTRY_URL …), as the function has them, and AWS's (AWS_REGION, AWS_ACCESS_KEY_ID …, \
    AWS_ENDPOINT_URL), by which the function's mappings and variables are read. Without them, name --topic and --group. It commits no \
    offsets, publishes nothing and deletes nothing."
)]
pub struct AccountOptions {
    /// A topic, instead of those of the function's event source mappings. Repeatable
    #[arg(long = "topic")]
    topics: Vec<String>,
    /// The consumer group of these topics, instead of that of their mapping: records that it has not committed yet are pending
    #[arg(long, requires = "topics")]
    group: Option<String>,
    /// From when on: a span such as 24h, a time (RFC 3339), or `beginning`
    #[arg(long, default_value = "1h", value_parser = since::parse)]
    since: SinceText,
    /// Name of the function that indexes
    #[arg(long, default_value = "kafka-to-search-index-events")]
    function: String,
    #[command(flatten)]
    setup: SetupOptions,
    #[command(flatten)]
    kafka: KafkaOptions,
    #[command(flatten)]
    search: SearchOptions,
    /// Compare each record with its document by the id, instead of counts first
    #[arg(long)]
    exact: bool,
    /// Give missing records to the function again, then count again. Documents that are there stay as they are
    #[arg(long)]
    heal: bool,
    /// Text to read, or JSON
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// The same as --output json
    #[arg(long)]
    json: bool,
}

/// Why it can't be found out whether records are missing.
#[derive(Debug, Error)]
pub enum AccountCommandError {
    /// The settings can't be read.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// Variables have bad values.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The cluster or the registry can't be had.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// AWS can't be asked.
    #[error("{0}; without AWS, name --topic and --group")]
    Aws(#[from] AwsError),
    /// The mappings are not known.
    #[error("{0}; without AWS, name --topic and --group")]
    Mappings(#[from] MappingsError),
    /// Lambda does not give the function's variables.
    #[error(
        "the variables of the function {function} can't be had: {source}; name its variables by --env-file, or the function by --function"
    )]
    Configuration {
        /// The function.
        function: String,
        /// Why.
        source: AwsError,
    },
    /// The function's variables can't be read.
    #[error("the variables of the function {function} can't be read: {source}; name --env-file")]
    Variables {
        /// The function.
        function: String,
        /// Why.
        source: VariablesError,
    },
    /// The function has no mappings.
    #[error(
        "the function {0} has no event source mapping of a Kafka topic: name it by --function, or name --topic and --group"
    )]
    NoMappings(String),
    /// A topic has no mapping.
    #[error(
        "no event source mapping of {function} reads the topic {topic}: name its consumer group by --group"
    )]
    NoGroup {
        /// The function.
        function: String,
        /// The topic.
        topic: String,
    },
    /// The mapping decodes records.
    #[error(
        "the mapping of {0} decodes records by a schema registry, and only it can give them to the function: --heal can't"
    )]
    Decodes(String),
    /// There is no account.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The system refuses a runtime.
    #[error("the account can't start: {0}")]
    Start(#[source] io::Error),
    /// The output can't be written.
    #[error("standard output: {0}")]
    Write(#[source] io::Error),
}

/// Accounts for all records, and writes the report to `out`.
///
/// # Errors
/// [`AccountCommandError`] when that can't be found out.
pub fn run(options: &AccountOptions, out: &mut dyn Write) -> Result<Exit, AccountCommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(AccountCommandError::Start)?;
    let report = runtime.block_on(account(options))?;
    if options.json || options.output == Output::Json {
        report.write_json(out)
    } else {
        report.write_text(out)
    }
    .map_err(AccountCommandError::Write)?;
    Ok(if report.total().missing == 0 { Exit::Success } else { Exit::Found })
}

async fn account(options: &AccountOptions) -> Result<Report, AccountCommandError> {
    let aws = aws(options)?;
    let mappings = match &aws {
        Some(aws) => mappings(aws, &options.function).await?,
        None => Vec::new(),
    };
    let sources = sources(options, mappings)?;
    let variables = variables(options, aws.as_ref()).await?;
    let config = options.search.config(&variables)?;
    let (topic_rules, patterns) = match options.setup.pipeline() {
        Some(path) => rules(&path).map(|(rules, _, patterns)| (rules, patterns))?,
        None => Default::default(),
    };
    let Connection { settings, client, registry } =
        Connection::open(config, topic_rules, &secrets_manager()).await?;
    let patterns = options.search.index_patterns(&settings, patterns);
    let mut accountant = Accountant {
        client: &client,
        indices: Indices::new(patterns, settings.dead_letter_prefix.as_str()),
        kafka: options.kafka.clone(),
        aws: aws.as_ref(),
        decider: Decider::new(settings, registry),
        since: options.since.since,
        comparison: if options.exact { Comparison::Ids } else { Comparison::Counts },
        deadline: None,
        progress: progress_bar(),
    };
    let mut topics = count(&mut accountant, &sources).await?;
    let mut healed = None;
    let is_missing = topics.iter().flat_map(|topic| &topic.partitions).any(|each| each.counts.missing > 0);
    if let (true, true, Some(aws)) = (options.heal, is_missing, &aws) {
        healed = Some(heal(options, &accountant, &topics, aws).await?);
        topics = count(&mut accountant, &sources).await?;
    }
    accountant.progress.finish_and_clear();
    Ok(Report { since: options.since.text.clone(), topics, uncounted: Vec::new(), healed })
}

async fn count(
    accountant: &mut Accountant<'_>,
    sources: &[TopicSource],
) -> Result<Vec<TopicAccount>, AccountCommandError> {
    accountant.progress.reset();
    accountant.progress.set_length(0);
    let mut topics = Vec::new();
    for source in sources {
        topics.push(accountant.topic(source).await?);
    }
    Ok(topics)
}

/// Gives the missing records to the functions of their mappings.
async fn heal(
    options: &AccountOptions,
    accountant: &Accountant<'_>,
    topics: &[TopicAccount],
    aws: &Aws,
) -> Result<Healed, AccountCommandError> {
    let mut all = Healed::default();
    for topic in topics {
        let mapping = topic.source.mapping.as_ref();
        if mapping.is_some_and(|mapping| mapping.decodes) {
            return Err(AccountCommandError::Decodes(topic.source.topic.clone()));
        }
        let function = mapping.map_or(&options.function, |mapping| &mapping.function_arn);
        let mut healer = Healer::new(aws, function.clone());
        accountant.heal(topic, &mut healer).await?;
        all += healer.finish().await.map_err(AccountError::from)?;
    }
    Ok(all)
}

/// The client of AWS. It is not needed where topics and their group are named, and nothing is to be healed.
fn aws(options: &AccountOptions) -> Result<Option<Aws>, AwsError> {
    match Aws::new(|name| std::env::var(name).ok()) {
        Ok(aws) => Ok(Some(aws)),
        Err(AwsError::NotSet(_)) if options.group.is_some() && !options.heal => Ok(None),
        Err(error) => Err(error),
    }
}

/// The topics that were asked for, with their groups.
fn sources(
    options: &AccountOptions,
    mappings: Vec<Mapping>,
) -> Result<Vec<TopicSource>, AccountCommandError> {
    let source = |topic: &str, group: &str, mapping: Option<&Mapping>| TopicSource {
        topic: topic.to_owned(),
        group: group.to_owned(),
        mapping: mapping.cloned(),
    };
    if options.topics.is_empty() {
        if mappings.is_empty() {
            return Err(AccountCommandError::NoMappings(options.function.clone()));
        }
        return Ok(mappings.iter().map(|each| source(&each.topic, &each.group, Some(each))).collect());
    }
    let topics: BTreeSet<&String> = options.topics.iter().collect();
    let mut sources = Vec::new();
    for topic in topics {
        let mut of_topic = mappings.iter().filter(|mapping| mapping.topic == *topic);
        sources.push(match &options.group {
            Some(group) => source(topic, group, of_topic.find(|mapping| mapping.group == *group)),
            None => {
                let no_group = || AccountCommandError::NoGroup {
                    function: options.function.clone(),
                    topic: topic.clone(),
                };
                let mapping = of_topic.next().ok_or_else(no_group)?;
                source(topic, &mapping.group, Some(mapping))
            }
        });
    }
    Ok(sources)
}

/// The function's variables: from the file that was named, or those that are deployed. How the function connects is its own affair.
async fn variables(
    options: &AccountOptions,
    aws: Option<&Aws>,
) -> Result<VariableTexts, AccountCommandError> {
    let (None, Some(aws)) = (&options.setup.env_file, aws) else { return Ok(options.setup.variables()?) };
    let refused = |source| AccountCommandError::Configuration { function: options.function.clone(), source };
    let configuration = aws.function_configuration(&options.function).await.map_err(refused)?;
    let text = String::from_utf8_lossy(&configuration);
    let mut deployed = variables::parse(&text)
        .map_err(|source| AccountCommandError::Variables { function: options.function.clone(), source })?;
    deployed.retain(|name, _| !["SEARCH_", "SCHEMA_REGISTRY_"].iter().any(|start| name.starts_with(start)));
    Ok(deployed)
}

/// A bar on standard error, if that is a terminal.
fn progress_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} offsets, {per_sec}, {eta} left  {msg}");
    let bar = ProgressBar::new(0);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::account::mappings::KafkaSource;

    #[derive(Parser)]
    struct Words {
        #[command(flatten)]
        options: AccountOptions,
    }

    fn options(words: &[&str]) -> AccountOptions {
        let all = ["account", "--bootstrap", "b:1"].iter().chain(words);
        Words::try_parse_from(all).unwrap_or_else(|error| panic!("{error}")).options
    }

    fn mapping(topic: &str, group: &str) -> Mapping {
        Mapping {
            uuid: format!("u-{group}"),
            topic: topic.into(),
            group: group.into(),
            function_arn: "arn:aws:lambda:r:1:function:f".into(),
            destination: None,
            decodes: false,
            filters: false,
            kafka: KafkaSource::default(),
        }
    }

    fn found(words: &[&str]) -> Result<Vec<(String, String, bool)>, String> {
        let mappings = vec![mapping("a", "ga"), mapping("b", "gb"), mapping("a", "other")];
        let sources = sources(&options(words), mappings).map_err(|error| error.to_string())?;
        Ok(sources.into_iter().map(|it| (it.topic, it.group, it.mapping.is_some())).collect())
    }

    #[test]
    fn the_topics_of_all_mappings_are_accounted_for_unless_some_are_named() {
        let source =
            |topic: &str, group: &str, has_mapping| (topic.to_owned(), group.to_owned(), has_mapping);
        assert_eq!(
            found(&[]).unwrap(),
            [source("a", "ga", true), source("b", "gb", true), source("a", "other", true)]
        );
        assert_eq!(found(&["--topic", "b", "--topic", "b"]).unwrap(), [source("b", "gb", true)]);
        assert_eq!(
            found(&["--topic", "a", "--topic", "c", "--group", "other"]).unwrap(),
            [source("a", "other", true), source("c", "other", false)]
        );
    }

    #[test]
    fn a_topic_whose_group_is_not_known_is_an_error_that_says_what_to_name() {
        let error = found(&["--topic", "c"]).unwrap_err();
        let expected = "no event source mapping of kafka-to-search-index-events reads the topic c: name its consumer group by --group";
        assert_eq!(error, expected);
        let error = sources(&options(&["--function", "f"]), Vec::new()).unwrap_err().to_string();
        assert!(error.starts_with("the function f has no event source mapping"), "{error}");
    }
}
