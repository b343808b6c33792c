//! `simulate`: what a new file of rules would change of the events that Kafka has.

pub mod cluster;
pub mod indexed;
pub mod leftover;
pub mod report;
pub mod salts;
pub mod scratch;
pub mod source;
pub mod tally;
pub mod top;

use std::collections::{BTreeSet, HashMap};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use event_pipeline::event::EventError;
use event_pipeline::sampling::{SampleRate, SampleRateError};
use event_pipeline::settings::{DocumentId, Settings};
use indexing::config::Config;
use indicatif::{ProgressBar, ProgressStyle};
use lambda_support::aws::secrets_manager;
use lambda_support::registry::RegistryConfigError;
use lambda_support::search::ConnectError;
use lambda_support::variables::ConfigError;
use schema_registry::registry::Registry;
use search_client::client::SearchClient;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::Instant;

use self::cluster::{CallError, call};
use self::indexed::{Indexed, IndexedDocuments};
use self::leftover::Mark;
use self::report::Report;
use self::salts::{SaltSource, SaltsError, salts};
use self::scratch::Scratch;
use self::source::{Since, Source, SourceError};
use self::tally::Tally;
use crate::evaluate::{Decision, Document, Evaluator};
use crate::exit::Exit;
use crate::explain::{ExplainError, Explainer};
use crate::output::Output;
use crate::pipeline;
use crate::record::Record;
use crate::record_text::parse_time;
use crate::setup::{SetupError, SetupOptions};
use crate::variables::VariableTexts;

/// Show what a new file of rules would change of the events that Kafka has: it reads them, compares what becomes of them with what
/// is indexed, and tries the documents in hidden indices that it deletes again. It commits no offsets
#[derive(Debug, Args)]
#[command(
    after_help = "Environment variables: those of the cluster (SEARCH_ENDPOINT or SEARCH_DOMAIN, SEARCH_AUTH, SEARCH_SECRET_ID, \
    SEARCH_CA_CERT) and of the registry (SCHEMA_REGISTRY_URL …), as the function has them. The function's other variables are read \
    from --env-file alone. docs/CONFIGURATION.md documents them."
)]
pub struct SimulateOptions {
    /// The topic
    #[arg(long)]
    topic: String,
    /// From when on: a span such as 24h, a time (RFC 3339), or `beginning`
    #[arg(long, default_value = "24h", value_parser = since)]
    since: SinceText,
    #[command(flatten)]
    setup: SetupOptions,
    /// Comma-separated HOST:PORT of the brokers
    #[arg(long, env = "KAFKA_BOOTSTRAP_SERVERS")]
    bootstrap: String,
    /// A property of the Kafka client librdkafka, such as security.protocol=SASL_SSL. Repeatable
    #[arg(long = "kafka", value_name = "NAME=VALUE", value_parser = property)]
    kafka: Vec<(String, String)>,
    /// URL of the cluster, instead of SEARCH_ENDPOINT
    #[arg(long)]
    search: Option<String>,
    /// Pattern of indices that events are in so far, besides those of INDEX_PREFIX, of the new file and of infra/pipeline.yaml.
    /// Repeatable
    #[arg(long = "index", value_name = "PATTERN")]
    indices: Vec<String>,
    /// Compare a part of the events alone, such as 0.1, chosen by their ids
    #[arg(long, value_parser = sample)]
    sample: Option<SampleRate>,
    /// Compare at most so many events
    #[arg(long)]
    max: Option<u64>,
    /// The salts of `hash`, so that hashes are those of the functions: a file of YAML, `name of the secret: salt`, or
    /// `secrets-manager`. By default stand-ins, whose hashes differ
    #[arg(long, value_name = "FILE|secrets-manager")]
    salts: Option<SaltSource>,
    /// Text to read, or JSON
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// Where a simulation begins, and how it was given.
#[derive(Debug, Clone)]
struct SinceText {
    since: Since,
    text: String,
}

/// Why there is no simulation.
#[derive(Debug, Error)]
pub enum SimulateError {
    /// The settings can't be read.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// Variables have bad values.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The salts can't be had.
    #[error(transparent)]
    Salts(#[from] SaltsError),
    /// There are no rules to simulate.
    #[error("name the file of rules by --pipeline: {} is not there", pipeline::DEFAULT_FILE)]
    NoPipeline,
    /// Documents have no ids.
    #[error(
        "DOCUMENT_ID is `auto`, so that the cluster makes the ids, and no event can be compared with its document"
    )]
    AutoIds,
    /// Kafka can't be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The cluster's client can't be made.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The registry's client can't be made.
    #[error(transparent)]
    Registry(#[from] RegistryConfigError),
    /// The cluster fails.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A batch can't be decided on.
    #[error(transparent)]
    Event(#[from] EventError),
    /// A decision can't be explained.
    #[error(transparent)]
    Explain(#[from] ExplainError),
    /// Scratch indices are left.
    #[error("scratch indices could not be deleted, delete them by hand: {}", .0.join(", "))]
    Left(Vec<String>),
    /// The system refuses a runtime, a thread or a signal.
    #[error("the simulation can't start: {0}")]
    Start(#[source] io::Error),
    /// The thread that read Kafka ended without a result.
    #[error("the thread that reads Kafka ended early")]
    Thread,
    /// The output can't be written.
    #[error("standard output: {0}")]
    Write(#[source] io::Error),
}

/// How long the registry may take for the schemas of a batch.
const REGISTRY_TIME: Duration = Duration::from_secs(20);
/// Rounds of asking the registry: a record names the schema of its key and that of its value.
const REGISTRY_ROUNDS: usize = 3;

/// Simulates, and writes the report to `out`.
///
/// # Errors
/// [`SimulateError`]
pub fn run(options: &SimulateOptions, out: &mut dyn Write) -> Result<Exit, SimulateError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(SimulateError::Start)?;
    runtime.block_on(simulate(options, out))
}

async fn simulate(options: &SimulateOptions, out: &mut dyn Write) -> Result<Exit, SimulateError> {
    let pipeline = options.setup.pipeline().ok_or(SimulateError::NoPipeline)?;
    let config = config(options, &options.setup.variables()?)?;
    let secrets = secrets_manager();
    let file = pipeline::load(&pipeline).map_err(SetupError::from)?;
    let salts = salts(&file, options.salts.as_ref(), secrets.as_ref()).await?;
    let patterns = file.index_patterns();
    let rules = file.rules(&salts).map_err(SetupError::from)?;
    let settings = Settings { rules, ..config.settings };
    if settings.document_id == DocumentId::Auto {
        return Err(SimulateError::AutoIds);
    }
    let client = Arc::new(config.search.connect(&secrets).await?);
    // The cluster first: it responds at once, and Kafka's client tries for seconds.
    call(&client, reqwest::Method::GET, "", None).await?;
    let registry = match &config.registry {
        Some(registry) => Some(registry.connect(&secrets).await?),
        None => None,
    };
    let source = Source::open(&options.bootstrap, &options.kafka, &options.topic, options.since.since)?;
    let dead_letters = format!("{}-", settings.dead_letter_prefix.as_str());
    let patterns = index_patterns(options, &settings, patterns);
    let documents = IndexedDocuments::new(&patterns);
    let mut notes = Vec::new();
    if let Err(error) = documents.refresh(&client).await {
        notes.push(format!("what was indexed in the last seconds may count as not indexed: {error}"));
    }
    if !salts.is_empty() && options.salts.is_none() {
        notes.push(
            "hashes are made with stand-ins for the salts, so that fields of `hash` count as changed: --salts gives the real ones"
                .to_owned(),
        );
    }
    let mark = Mark::own();
    match leftover::remove(&client, &patterns, &mark).await {
        Ok(removed) if removed.is_empty() => {}
        Ok(removed) => {
            notes.push(format!(
                "scratch indices that a killed simulation left are deleted: {}",
                removed.join(", ")
            ));
        }
        Err(error) => {
            notes.push(format!("scratch indices that a killed simulation may have left stay: {error}"));
        }
    }
    let mut simulation = Simulation {
        client: Arc::clone(&client),
        documents,
        scratch: Scratch::new(client, mark),
        evaluator: Evaluator::new(settings.clone(), registry.is_some().then(Arc::default)),
        explainer: Explainer::new(settings, salts, registry.is_some().then(Arc::default)),
        registry,
        tally: Tally::new(dead_letters),
        sample: options.sample,
        max: options.max.unwrap_or(u64::MAX),
        progress: progress_bar(source.n_offsets()),
    };
    let ended = simulation.read(source).await;
    simulation.progress.finish_and_clear();
    let left = simulation.scratch.remove().await;
    if !left.is_empty() {
        let names = left.iter().map(|(name, error)| format!("{name} ({error})")).collect();
        return Err(SimulateError::Left(names));
    }
    let ended = ended?;
    notes.extend(simulation.scratch.not_tried().map(|why| format!("not all documents were tried: {why}")));
    let report = Report {
        topic: options.topic.clone(),
        since: options.since.text.clone(),
        pipeline: pipeline.display().to_string(),
        stopped: match ended {
            Ended::AtTheEnd => None,
            Ended::AtMax => Some("ended at --max"),
            Ended::Interrupted => Some("interrupted"),
        },
        notes,
        tally: simulation.tally,
    };
    match options.output {
        Output::Text => report.write_text(out),
        Output::Json => report.write_json(out),
    }
    .map_err(SimulateError::Write)?;
    Ok(if ended == Ended::Interrupted { Exit::Interrupted } else { Exit::Success })
}

/// Why a simulation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    AtTheEnd,
    AtMax,
    Interrupted,
}

struct Simulation {
    client: Arc<SearchClient>,
    documents: IndexedDocuments,
    scratch: Scratch,
    evaluator: Evaluator,
    explainer: Explainer,
    registry: Option<Registry>,
    tally: Tally,
    sample: Option<SampleRate>,
    max: u64,
    progress: ProgressBar,
}

impl Simulation {
    /// Reads everything, batch by batch. A signal ends it after the batch.
    async fn read(&mut self, source: Source) -> Result<Ended, SimulateError> {
        let stop = Arc::new(AtomicBool::new(false));
        let signals = tokio::spawn(set_at_signal(Arc::clone(&stop)));
        // Two batches wait while one is worked on.
        let (sender, mut batches) = mpsc::channel(2);
        let reader = {
            let stop = Arc::clone(&stop);
            thread::Builder::new()
                .name("kafka".into())
                .spawn(move || source.read(&stop, &sender))
                .map_err(SimulateError::Start)?
        };
        let mut outcome = Ok(Ended::AtTheEnd);
        while let Some(batch) = batches.recv().await {
            if stop.load(Ordering::Relaxed) {
                outcome = Ok(Ended::Interrupted);
                break;
            }
            self.progress.inc(batch.len() as u64);
            match self.work_on(batch).await {
                Ok(()) if self.tally.counts.events >= self.max => {
                    outcome = Ok(Ended::AtMax);
                    break;
                }
                Ok(()) => {}
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        if stop.swap(true, Ordering::Relaxed) && outcome.is_ok() {
            outcome = Ok(Ended::Interrupted);
        }
        drop(batches);
        signals.abort();
        let read = tokio::task::spawn_blocking(move || reader.join());
        match read.await {
            Ok(Ok(read)) => read?,
            _ => return Err(SimulateError::Thread),
        }
        outcome
    }

    async fn work_on(&mut self, mut batch: Vec<Record>) -> Result<(), SimulateError> {
        let ids: Vec<String> = batch.iter().map(Record::document_id).collect();
        let n_read = ids.len();
        let mut ids = ids.into_iter();
        let mut kept = Vec::new();
        batch.retain(|_| {
            let id = ids.next().unwrap_or_default();
            let is_kept = self.sample.is_none_or(|rate| rate.keeps(id.as_bytes()));
            if is_kept {
                kept.push(id);
            }
            is_kept
        });
        self.tally.counts.left_out += (n_read - batch.len()) as u64;
        let room = usize::try_from(self.max.saturating_sub(self.tally.counts.events)).unwrap_or(usize::MAX);
        batch.truncate(room);
        kept.truncate(room);
        if batch.is_empty() {
            return Ok(());
        }
        let decisions = self.decide(&batch).await?;
        let ids: Vec<&str> = kept.iter().map(String::as_str).collect();
        let so_far: HashMap<String, Vec<Indexed>> = self.documents.find(&self.client, &ids).await?;
        let places: Vec<String> = batch.iter().map(Record::place).collect();
        for (position, (record, decision)) in batch.iter().zip(&decisions).enumerate() {
            let dropped_by = match decision {
                Decision::Dropped => {
                    self.explainer.explain(record, decision)?.and_then(|mut steps| steps.pop())
                }
                _ => None,
            };
            let found =
                ids.get(position).and_then(|id| so_far.get(*id)).map(Vec::as_slice).unwrap_or_default();
            let place = places.get(position).map(String::as_str).unwrap_or_default();
            self.tally.add(place, found, decision, dropped_by.map(|step| step.step));
        }
        let (documents, events): (Vec<&Document>, Vec<&str>) = decisions
            .iter()
            .zip(&places)
            .filter_map(|(decision, place)| match decision {
                Decision::Indexed(document) => Some((document, place.as_str())),
                _ => None,
            })
            .unzip();
        let tried = self.scratch.try_documents(&documents).await?;
        self.tally.add_tried(&tried, &events);
        Ok(())
    }

    /// Decides on the records of a batch, with the schemas that the registry gives.
    async fn decide(&mut self, batch: &[Record]) -> Result<Vec<Decision>, SimulateError> {
        let mut decisions = self.evaluator.decide(batch)?;
        let Some(registry) = &self.registry else { return Ok(decisions) };
        for _ in 0..REGISTRY_ROUNDS {
            let missing: BTreeSet<_> = decisions
                .iter()
                .filter_map(|decision| match decision {
                    Decision::NeedsSchema(ids) => Some(ids),
                    _ => None,
                })
                .flatten()
                .copied()
                .collect();
            if missing.is_empty() {
                break;
            }
            let known = registry.resolve(&missing, Instant::now() + REGISTRY_TIME).await.known;
            self.evaluator.set_schemas(Arc::clone(&known));
            self.explainer.set_schemas(known);
            decisions = self.evaluator.decide(batch)?;
        }
        Ok(decisions)
    }
}

/// The configuration: the function's settings by the file of variables, and how to connect by it and the environment.
fn config(options: &SimulateOptions, variables: &VariableTexts) -> Result<Config, ConfigError> {
    let lookup = |name: &str| match (name, &options.search) {
        ("SEARCH_ENDPOINT", Some(url)) => Some(url.clone()),
        ("SEARCH_DOMAIN", Some(_)) | ("PIPELINE_FILE", _) => None,
        _ => {
            let is_of_connections =
                ["SEARCH_", "SCHEMA_REGISTRY_", "AWS_"].iter().any(|start| name.starts_with(start));
            let environment = || std::env::var(name).ok().filter(|_| is_of_connections);
            variables.get(name).cloned().or_else(environment)
        }
    };
    Config::parse(&lookup)
}

/// Patterns of the indices that events or their dead letters may be in so far.
fn index_patterns(options: &SimulateOptions, settings: &Settings, of_file: Vec<String>) -> BTreeSet<String> {
    let mut patterns: BTreeSet<String> = of_file.into_iter().chain(options.indices.iter().cloned()).collect();
    for prefix in [&settings.index_prefix, &settings.dead_letter_prefix] {
        patterns.insert(format!("{}-*", prefix.as_str()));
    }
    // What is deployed is likely to be that. One that can't be read has no part here.
    if let Ok(file) = pipeline::load(&PathBuf::from(pipeline::DEFAULT_FILE)) {
        patterns.extend(file.index_patterns());
    }
    patterns
}

async fn set_at_signal(stop: Arc<AtomicBool>) {
    let interrupted = async {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).ok()?;
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        Some(())
    };
    if interrupted.await.is_some() {
        stop.store(true, Ordering::Relaxed);
    }
}

/// A bar on standard error, if that is a terminal.
fn progress_bar(n: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} records, {per_sec}, {eta} left");
    let bar = ProgressBar::new(n);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn since(text: &str) -> Result<SinceText, String> {
    let since = if text == "beginning" {
        Since::Beginning
    } else if let Some(millis) = parse_time(text) {
        Since::Time(millis)
    } else {
        let span = humantime::parse_duration(text).map_err(|error| {
            format!("neither a span such as 24h, a time (RFC 3339) nor `beginning`: {error}")
        })?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|error| error.to_string())?;
        let millis = now.saturating_sub(span).as_millis();
        Since::Time(i64::try_from(millis).map_err(|error| error.to_string())?)
    };
    Ok(SinceText { since, text: text.to_owned() })
}

fn property(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("not NAME=VALUE")?;
    Ok((name.trim().to_owned(), value.to_owned()))
}

fn sample(text: &str) -> Result<SampleRate, String> {
    let rate: f64 = text.parse().map_err(|_| format!("`{text}` is not a number between 0 and 1"))?;
    SampleRate::new(rate).map_err(|error: SampleRateError| error.to_string())
}
