//! Publishes realistic order, inventory and notification events, or the lines of the user's own file, to Kafka.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool reports to its terminal")]

use std::fs::File;
use std::io::{BufRead, BufReader, Read, stdin};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use chrono::DateTime;
use clap::{Args, Parser, Subcommand};
use event_producer::generate::{Generator, TOPICS};
use event_producer::publish::{PARTITIONS, Publisher, Record, Report, create_missing_topics};
use serde_json::Value;

const BROKER_TIMEOUT: Duration = Duration::from_secs(20);
const FLUSH_TIMEOUT: Duration = Duration::from_secs(120);
/// Refused records that are named one by one. The rest are counted.
const NAMED: usize = 20;

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Publish realistic events to order.events, inventory.events and notification.events, or to topics of your own
    Generate(Generate),
    /// Publish each line of a file as an event
    File(FromFile),
}

#[derive(Args)]
struct Kafka {
    /// Comma-separated HOST:PORT of the brokers
    #[arg(long, env = "KAFKA_BOOTSTRAP_SERVERS")]
    bootstrap_servers: String,
    /// Don't create missing topics. By default they are created with 3 partitions
    #[arg(long)]
    no_create_topics: bool,
}

#[derive(Args)]
struct Generate {
    #[command(flatten)]
    kafka: Kafka,
    /// How many events to publish
    #[arg(long)]
    count: u64,
    /// Seed of the events, which is random by default. It is printed, so that a run can be repeated
    #[arg(long)]
    seed: Option<u64>,
    /// The latest time of an event: RFC 3339 or milliseconds since the epoch. By default now
    #[arg(long, value_parser = parse_time)]
    now: Option<i64>,
    /// Events per second. By default as many as Kafka takes
    #[arg(long)]
    rate: Option<u64>,
    /// Comma-separated topics that the events go to in turn, instead of the topic of their service
    #[arg(long, value_delimiter = ',')]
    topics: Vec<String>,
}

#[derive(Args)]
struct FromFile {
    #[command(flatten)]
    kafka: Kafka,
    /// The topic to publish to
    #[arg(long)]
    topic: String,
    /// A top-level field of the events whose value becomes the record's key
    #[arg(long)]
    key_field: Option<String>,
    /// NDJSON with one event per line; `-` is standard input. A line is published byte for byte, JSON or not
    file: PathBuf,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Generate(options) => generate(&options),
        Command::File(options) => from_file(&options),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("event-producer: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn generate(options: &Generate) -> anyhow::Result<ExitCode> {
    let now_ms = match options.now {
        Some(now_ms) => now_ms,
        None => clock_ms()?,
    };
    let seed = match options.seed {
        Some(seed) => seed,
        None => u64::try_from(clock_ms()?).context("the clock is before 1970")?,
    };
    let chosen: Vec<&str> = options.topics.iter().map(String::as_str).collect();
    let publisher = connect(&options.kafka, if chosen.is_empty() { &TOPICS } else { &chosen })?;
    println!("publishing {} events of seed {seed}", options.count);
    let started = Instant::now();
    let mut in_turn = chosen.iter().cycle();
    for (number, event) in (1..=options.count).zip(Generator::new(seed, now_ms)) {
        publisher.publish(&Record {
            topic: in_turn.next().copied().unwrap_or(event.topic),
            key: Some(event.key.as_bytes()),
            value: event.value.as_bytes(),
            headers: &event.headers(),
            timestamp_ms: Some(event.timestamp_ms),
            origin: number,
        });
        if let Some(rate) = options.rate {
            keep_rate(started, number, rate);
        }
    }
    let report = publisher.finish(FLUSH_TIMEOUT)?;
    Ok(print_report(&report, "event", started))
}

fn from_file(options: &FromFile) -> anyhow::Result<ExitCode> {
    let mut lines = BufReader::new(open(&options.file)?);
    let publisher = connect(&options.kafka, &[&options.topic])?;
    let started = Instant::now();
    let (mut number, mut n_empty, mut n_keyless) = (0, 0_u64, 0_u64);
    let mut line = Vec::new();
    loop {
        line.clear();
        let n_read = lines
            .read_until(b'\n', &mut line)
            .with_context(|| format!("reading {} after line {number}", options.file.display()))?;
        if n_read == 0 {
            break;
        }
        number += 1;
        let value = line.trim_ascii_end();
        if value.is_empty() {
            n_empty += 1;
            continue;
        }
        let key = options.key_field.as_deref().and_then(|field| key_of(value, field));
        if options.key_field.is_some() && key.is_none() {
            n_keyless += 1;
        }
        publisher.publish(&Record {
            topic: &options.topic,
            key: key.as_deref().map(str::as_bytes),
            value,
            headers: &[],
            timestamp_ms: None,
            origin: number,
        });
    }
    let report = publisher.finish(FLUSH_TIMEOUT)?;
    if n_empty > 0 {
        println!("{n_empty} empty lines left out");
    }
    if let (Some(field), 1..) = (&options.key_field, n_keyless) {
        println!("{n_keyless} lines have no field {field} of text or number: published without a key");
    }
    Ok(print_report(&report, "line", started))
}

/// Takes the record's key from a top-level field, as text.
fn key_of(value: &[u8], field: &str) -> Option<String> {
    let parsed: Value = serde_json::from_slice(value).ok()?;
    match parsed.get(field)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn connect(kafka: &Kafka, topics: &[&str]) -> anyhow::Result<Publisher> {
    let publisher = Publisher::connect(&kafka.bootstrap_servers, BROKER_TIMEOUT)?;
    if !kafka.no_create_topics {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let made =
            runtime.block_on(create_missing_topics(&kafka.bootstrap_servers, topics, BROKER_TIMEOUT))?;
        for topic in made {
            println!("created topic {topic} with {PARTITIONS} partitions");
        }
    }
    Ok(publisher)
}

fn open(path: &Path) -> anyhow::Result<Box<dyn Read>> {
    if path == Path::new("-") {
        return Ok(Box::new(stdin().lock()));
    }
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    Ok(Box::new(file))
}

fn keep_rate(started: Instant, n_published: u64, rate: u64) {
    let Some(due_ms) = (n_published * 1_000).checked_div(rate) else { return };
    let due = Duration::from_millis(due_ms);
    if let Some(early) = due.checked_sub(started.elapsed()) {
        std::thread::sleep(early);
    }
}

fn print_report(report: &Report, unit: &str, started: Instant) -> ExitCode {
    for (topic, n_delivered) in &report.delivered {
        println!("{n_delivered:>9} to {topic}");
    }
    let total: u64 = report.delivered.values().sum();
    println!("{total:>9} {unit}s published in {:.1} s", started.elapsed().as_secs_f64());
    if report.refused.is_empty() {
        return ExitCode::SUCCESS;
    }
    for refused in report.refused.iter().take(NAMED) {
        eprintln!("{unit} {} was not published: {}", refused.origin, refused.error);
    }
    eprintln!("{} {unit}s were not published", report.refused.len());
    ExitCode::FAILURE
}

fn clock_ms() -> anyhow::Result<i64> {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    i64::try_from(since_epoch.as_millis()).context("the clock is far in the future")
}

fn parse_time(text: &str) -> anyhow::Result<i64> {
    if let Ok(ms) = text.parse::<i64>() {
        return Ok(ms);
    }
    match DateTime::parse_from_rfc3339(text) {
        Ok(time) => Ok(time.timestamp_millis()),
        Err(error) => bail!("`{text}` is neither RFC 3339 nor milliseconds since the epoch: {error}"),
    }
}
