//! `try`: what the function makes of each line of a file.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use serde::Serialize;
use serde_json::value::RawValue;
use thiserror::Error;

use crate::evaluate::{Decision, Evaluator};
use crate::exit::Exit;
use crate::explain::{ExplainError, Explainer, Step};
use crate::output::Output;
use crate::pretty::pretty;
use crate::record::Record;
use crate::record_text::{Defaults, RecordText, RecordTextError, parse_time};
use crate::schemas::{SchemaFile, SchemasError, compile};
use crate::setup::{Setup, SetupError, SetupOptions};

/// Show what the function makes of each line of a file, without a server. Status: 0 all lines are records, 1 some are not, 2 a
/// file can't be used
#[derive(Debug, Args)]
pub struct TryOptions {
    /// NDJSON with a payload in each line; `-` is standard input. A line that is not JSON is an event of text, as in production
    #[arg(long)]
    file: PathBuf,
    /// The topic of the lines
    #[arg(long, required_unless_present = "records")]
    topic: Option<String>,
    /// The lines are whole records: {"topic", "partition", "offset", "key", "headers", "value", "timestamp"}, each of which may be
    /// left out, with key_base64 and value_base64 for bytes
    #[arg(long)]
    records: bool,
    /// Time of records that have none: RFC 3339 or milliseconds since the epoch. By default now
    #[arg(long, value_parser = time)]
    timestamp: Option<i64>,
    /// A schema of Avro, Protobuf or JSON Schema that values in a registry's frame name by this number. Repeatable. Values of
    /// other schemas, of Glue and of schemas with references need a registry, which `try` does not ask
    #[arg(long = "schema", value_name = "ID=FILE")]
    schemas: Vec<SchemaFile>,
    #[command(flatten)]
    setup: SetupOptions,
    /// Text to read, or JSON with a line for each event
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// Why the lines can't be tried.
#[derive(Debug, Error)]
pub enum TryError {
    /// The settings can't be read.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// A schema can't be used.
    #[error(transparent)]
    Schemas(#[from] SchemasError),
    /// The file can't be read.
    #[error("{file}: {source}")]
    Read {
        /// The file.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// The lines can't be decided on.
    #[error(transparent)]
    Explain(#[from] ExplainError),
    /// The output can't be written.
    #[error("standard output: {0}")]
    Write(#[source] io::Error),
    /// The clock is before 1970.
    #[error("this machine's clock is before 1970: give --timestamp")]
    Clock,
}

/// Why a line is no record.
#[derive(Debug, Error)]
pub enum LineError {
    /// It is not the JSON of one.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// It has something that no record has.
    #[error(transparent)]
    Text(#[from] RecordTextError),
}

/// Lines that are decided together: a batch of the function.
const BATCH: usize = 500;

/// What is printed of a line as JSON.
#[derive(Serialize)]
struct Line<'l> {
    line: i64,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<&'l str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'l str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<Vec<String>>,
    /// What the steps of its topic's rules did; `None` if it has no rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<Vec<Step>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<&'l RawValue>,
}

/// How many lines have which outcome.
#[derive(Debug, Default)]
struct Totals {
    indexed: usize,
    dropped: usize,
    dead_letters: usize,
    undecided: usize,
    no_records: usize,
    empty: usize,
}

/// Decides on lines and prints what becomes of them.
struct Trier {
    output: Output,
    evaluator: Evaluator,
    explainer: Explainer,
    totals: Totals,
}

impl Trier {
    fn new(options: &TryOptions) -> Result<Self, TryError> {
        let Setup { settings, salts, has_registry, .. } = options.setup.load()?;
        let schemas = compile(&options.schemas)?;
        let schemas = (has_registry || !schemas.is_empty()).then(|| Arc::new(schemas));
        Ok(Self {
            output: options.output,
            evaluator: Evaluator::new(settings.clone(), schemas.clone()),
            explainer: Explainer::new(settings, salts, schemas),
            totals: Totals::default(),
        })
    }

    fn print_batch(
        &mut self,
        batch: &[(i64, Result<Record, LineError>)],
        out: &mut dyn Write,
    ) -> Result<(), TryError> {
        let records: Vec<Record> =
            batch.iter().filter_map(|(_, record)| record.as_ref().ok()).cloned().collect();
        let mut decisions = self.evaluator.decide(&records).map_err(ExplainError::from)?.into_iter();
        for (number, record) in batch {
            let record = match record {
                Ok(record) => record,
                Err(error) => {
                    self.totals.no_records += 1;
                    print_line(self.output, &of_error(*number, error), None, out).map_err(TryError::Write)?;
                    continue;
                }
            };
            let Some(decision) = &decisions.next() else { break };
            match decision {
                Decision::Indexed(_) => self.totals.indexed += 1,
                Decision::Dropped => self.totals.dropped += 1,
                Decision::DeadLetter(..) => self.totals.dead_letters += 1,
                Decision::NeedsSchema(_) => self.totals.undecided += 1,
            }
            let steps = self.explainer.explain(record, decision)?;
            let line = Line { steps, ..of_decision(*number, decision) };
            print_line(self.output, &line, Some(&record.topic), out).map_err(TryError::Write)?;
        }
        Ok(())
    }
}

/// Tries each line, and writes what becomes of it to `out`.
///
/// # Errors
/// [`TryError`]
pub fn run(options: &TryOptions, out: &mut dyn Write) -> Result<Exit, TryError> {
    let mut trier = Trier::new(options)?;
    let timestamp_ms = options.timestamp.or_else(now_ms).ok_or(TryError::Clock)?;
    let name = options.file.display().to_string();
    let read_error = |source| TryError::Read { file: name.clone(), source };
    let mut lines = BufReader::new(open(&options.file).map_err(read_error)?);
    let mut batch = Vec::new();
    let (mut number, mut line) = (0, Vec::new());
    loop {
        line.clear();
        let n_read = lines.read_until(b'\n', &mut line).map_err(read_error)?;
        if n_read == 0 {
            break;
        }
        number += 1;
        let text = line.trim_ascii_end();
        if text.is_empty() {
            trier.totals.empty += 1;
            continue;
        }
        let defaults = Defaults { topic: options.topic.as_deref(), offset: number - 1, timestamp_ms };
        batch.push((number, to_record(options, text, defaults)));
        if batch.len() == BATCH {
            trier.print_batch(&batch, out)?;
            batch.clear();
        }
    }
    trier.print_batch(&batch, out)?;
    if options.output == Output::Text {
        print_totals(&trier.totals, out).map_err(TryError::Write)?;
    }
    Ok(if trier.totals.no_records == 0 { Exit::Success } else { Exit::Found })
}

fn to_record(options: &TryOptions, line: &[u8], defaults: Defaults<'_>) -> Result<Record, LineError> {
    if options.records {
        return Ok(serde_json::from_slice::<RecordText<Box<RawValue>>>(line)?.to_record(defaults)?);
    }
    Ok(Record {
        topic: defaults.topic.ok_or(RecordTextError::NoTopic)?.to_owned(),
        partition: 0,
        offset: defaults.offset,
        timestamp_ms: Some(defaults.timestamp_ms),
        key: None,
        value: Some(line.to_vec()),
        headers: Vec::new(),
    })
}

fn of_error(line: i64, error: &LineError) -> Line<'static> {
    Line {
        line,
        outcome: "not a record",
        reason: Some(error.to_string()),
        index: None,
        id: None,
        tags: None,
        steps: None,
        document: None,
    }
}

fn of_decision(line: i64, decision: &Decision) -> Line<'_> {
    let (outcome, reason, document) = match decision {
        Decision::Indexed(document) => ("indexed", None, Some(document)),
        Decision::Dropped => ("dropped", None, None),
        Decision::DeadLetter(document, error) => {
            ("dead letter", Some(format!("{}: {}", error.kind, error.reason)), Some(document))
        }
        Decision::NeedsSchema(ids) => {
            let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
            let reason = format!("the schema {} is not known: give its file by --schema", ids.join(", "));
            ("not known", Some(reason), None)
        }
    };
    Line {
        line,
        outcome,
        reason,
        index: document.map(|document| document.index.as_str()),
        id: document.and_then(|document| document.id.as_deref()),
        tags: document.map(|document| document.tags()),
        steps: None,
        document: document.and_then(|document| serde_json::from_str(&document.json).ok()),
    }
}

fn print_line(output: Output, line: &Line<'_>, topic: Option<&str>, out: &mut dyn Write) -> io::Result<()> {
    if output == Output::Json {
        serde_json::to_writer(&mut *out, line)?;
        return writeln!(out);
    }
    let topic = topic.map(|topic| format!(", {topic}")).unwrap_or_default();
    writeln!(out, "line {}{topic}: {}", line.line, line.outcome)?;
    let rows = [
        ("reason", line.reason.as_deref()),
        ("index", line.index),
        ("id", line.index.map(|_| line.id.unwrap_or("made by the cluster"))),
    ];
    for (name, text) in rows {
        if let Some(text) = text {
            writeln!(out, "  {name:<9} {text}")?;
        }
    }
    if let Some(tags) = line.tags.as_ref().filter(|tags| !tags.is_empty()) {
        writeln!(out, "  {:<9} {}", "tags", tags.join(", "))?;
    }
    for (position, Step { step, did }) in line.steps.iter().flatten().enumerate() {
        let name = if position == 0 { "steps" } else { "" };
        writeln!(out, "  {name:<9} {step:<10} {did}")?;
    }
    if let Some(document) = line.document {
        writeln!(out, "  {:<9} {}", "document", pretty(document.get(), 2))?;
    }
    writeln!(out)
}

fn print_totals(totals: &Totals, out: &mut dyn Write) -> io::Result<()> {
    let Totals { indexed, dropped, dead_letters, undecided, no_records, empty } = totals;
    let n = indexed + dropped + dead_letters + undecided;
    write!(out, "{n} {}: {indexed} indexed", if n == 1 { "event" } else { "events" })?;
    for (n, what) in [
        (dropped, "dropped"),
        (dead_letters, if *dead_letters == 1 { "dead letter" } else { "dead letters" }),
        (undecided, "of schemas that are not known"),
    ] {
        if *n > 0 {
            write!(out, ", {n} {what}")?;
        }
    }
    writeln!(out)?;
    for (n, one, many) in [
        (no_records, "line is not a record", "lines are not records"),
        (empty, "empty line left out", "empty lines left out"),
    ] {
        if *n > 0 {
            writeln!(out, "{n} {}", if *n == 1 { one } else { many })?;
        }
    }
    Ok(())
}

fn open(path: &Path) -> io::Result<Box<dyn Read>> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin().lock()));
    }
    Ok(Box::new(File::open(path)?))
}

fn now_ms() -> Option<i64> {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since_epoch.as_millis()).ok()
}

fn time(text: &str) -> Result<i64, RecordTextError> {
    parse_time(text).ok_or(RecordTextError::Timestamp)
}
