//! `simulate`: what a new file of rules would change of the events that Kafka has.

pub mod indexed;
pub mod leftover;
pub mod report;
pub mod salts;
pub mod scratch;
pub mod tally;
pub mod top;

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use clap::Args;
use event_pipeline::event::EventError;
use event_pipeline::sampling::{SampleRate, SampleRateError};
use indicatif::{ProgressBar, ProgressStyle};
use lambda_support::aws::secrets_manager;
use lambda_support::variables::ConfigError;
use search_client::client::SearchClient;
use thiserror::Error;
use tokio::sync::mpsc;

use self::indexed::{Indexed, IndexedDocuments};
use self::leftover::Mark;
use self::report::Report;
use self::salts::{SaltSource, SaltsError, salts};
use self::scratch::Scratch;
use self::tally::Tally;
use crate::cluster::CallError;
use crate::connection::{Connection, ConnectionError};
use crate::decider::Decider;
use crate::evaluate::{Decision, Document};
use crate::exit::Exit;
use crate::explain::{ExplainError, Explainer};
use crate::kafka_options::KafkaOptions;
use crate::output::Output;
use crate::pipeline;
use crate::record::Record;
use crate::search_options::SearchOptions;
use crate::setup::{SetupError, SetupOptions};
use crate::since::{self, SinceText};
use crate::source::{Source, SourceError};

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
    #[arg(long, default_value = "24h", value_parser = since::parse)]
    since: SinceText,
    #[command(flatten)]
    setup: SetupOptions,
    #[command(flatten)]
    kafka: KafkaOptions,
    #[command(flatten)]
    search: SearchOptions,
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
    /// Kafka can't be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The cluster or the registry can't be had.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
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
    let config = options.search.config(&options.setup.variables()?)?;
    let secrets = secrets_manager();
    let file = pipeline::load(&pipeline).map_err(SetupError::from)?;
    let salts = salts(&file, options.salts.as_ref(), secrets.as_ref()).await?;
    let patterns = file.index_patterns();
    let rules = file.rules(&salts).map_err(SetupError::from)?;
    let Connection { settings, client, registry } = Connection::open(config, rules, &secrets).await?;
    let client = Arc::new(client);
    let source = Source::open(&options.kafka, &options.topic, options.since.since)?;
    let dead_letters = format!("{}-", settings.dead_letter_prefix.as_str());
    let patterns = options.search.index_patterns(&settings, patterns);
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
        explainer: Explainer::new(settings.clone(), salts, registry.is_some().then(Arc::default)),
        decider: Decider::new(settings, registry),
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
    decider: Decider,
    explainer: Explainer,
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
        let decisions = self.decider.decide(&batch).await?;
        if let Some(known) = self.decider.known() {
            self.explainer.set_schemas(Arc::clone(known));
        }
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

fn sample(text: &str) -> Result<SampleRate, String> {
    let rate: f64 = text.parse().map_err(|_| format!("`{text}` is not a number between 0 and 1"))?;
    SampleRate::new(rate).map_err(|error: SampleRateError| error.to_string())
}
