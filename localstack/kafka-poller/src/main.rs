//! The command line of kafka-poller.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool reports to its terminal")]

use std::io::{IsTerminal, stderr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use kafka_poller::activity::Registry;
use kafka_poller::aws::{Aws, use_ring};
use kafka_poller::lag::{self, Lag};
use kafka_poller::lambda::list_mappings;
use kafka_poller::mapping::Mapping;
use kafka_poller::poller::{Options, bootstrap_servers, client_config};
use kafka_poller::source_access::{self, Transport};
use kafka_poller::{http, offset_lag, supervisor, table};
use kafka_poller::{stall, status};
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;
use tracing_subscriber::EnvFilter;

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the Kafka event source mappings until SIGTERM or SIGINT
    Serve(Serve),
    /// Show how far each mapping is behind, partition by partition, as Kafka reports it
    Lag(Connection),
    /// Show what a running poller is doing
    Status(Status),
}

#[derive(Args)]
struct Connection {
    /// The Lambda API, such as http://127.0.0.1:4566 for LocalStack. Without it, AWS
    #[arg(long, env = "AWS_ENDPOINT_URL")]
    endpoint_url: Option<String>,
    /// The AWS region
    #[arg(long, env = "AWS_REGION")]
    region: Option<String>,
    /// Comma-separated HOST:PORT of the brokers, for Amazon MSK mappings. Others contain theirs
    #[arg(long)]
    bootstrap_servers: Option<String>,
    /// Use SASL without TLS, for brokers without certificates
    #[arg(long)]
    plaintext_sasl: bool,
}

#[derive(Args)]
struct Status {
    /// The URL that the poller serves with `serve --listen`
    #[arg(long, env = "KAFKA_POLLER_URL")]
    url: String,
}

#[derive(Args)]
struct Serve {
    #[command(flatten)]
    connection: Connection,
    /// How often to look for changes of the mappings, in milliseconds
    #[arg(long, default_value_t = 1_000)]
    refresh_ms: u64,
    /// Concurrent invocations for a mapping without ProvisionedPollerConfig. Never more than its partitions
    #[arg(long, default_value_t = 16)]
    concurrency: usize,
    /// Serve /health, /status and /metrics on this HOST:PORT
    #[arg(long)]
    listen: Option<String>,
    /// How often to write each mapping's OffsetLag to CloudWatch at the endpoint, in milliseconds. AWS, without an endpoint,
    /// writes it itself
    #[arg(long, default_value_t = u64::try_from(offset_lag::INTERVAL.as_millis()).unwrap_or(u64::MAX))]
    offset_lag_ms: u64,
    /// After how many seconds without progress a partition that has records is a problem of /health
    #[arg(long, default_value_t = stall::PATIENCE.as_secs())]
    stalled_after_s: u64,
    /// Megabytes of records to keep in memory for each mapping, not counting those of running invocations
    #[arg(long, default_value_t = 32)]
    buffer_mb: usize,
}

#[tokio::main]
async fn main() -> ExitCode {
    use_ring();
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info")))
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal())
        .with_target(false)
        .init();
    let done = match Cli::parse().command {
        Command::Serve(command) => serve(command).await,
        Command::Lag(connection) => print_lag(&connection).await,
        Command::Status(status) => print_status(&status.url).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kafka-poller: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(command: Serve) -> anyhow::Result<()> {
    let aws = command.connection.aws()?;
    let patience = Duration::from_secs(command.stalled_after_s);
    let options = Options { patience, ..command.connection.options(command.concurrency, command.buffer_mb) };
    let mut terminate = signal(SignalKind::terminate()).context("waiting for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("waiting for SIGINT")?;
    let endpoint = command.connection.endpoint_url.as_deref().unwrap_or("AWS");
    info!(endpoint, pid = std::process::id(), "serving Kafka event source mappings");
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        // A second signal ends the process at once: the records of running invocations are delivered again later.
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            std::process::exit(130);
        });
    };
    let registry = Arc::new(Registry::default());
    if let Some(address) = &command.listen {
        let listening = http::listen(address, Arc::clone(&registry)).await;
        let (_, serving) = listening.with_context(|| format!("listening on {address}"))?;
        tokio::spawn(serving);
    }
    if command.connection.endpoint_url.is_some() {
        let (aws, registry) = (aws.clone(), Arc::clone(&registry));
        let interval = Duration::from_millis(command.offset_lag_ms.max(1));
        tokio::spawn(async move { offset_lag::run(&aws, &registry, interval).await });
    }
    supervisor::run(&aws, &options, &registry, Duration::from_millis(command.refresh_ms), stop).await;
    info!("stopped");
    Ok(())
}

async fn print_status(url: &str) -> anyhow::Result<()> {
    let url = format!("{}/status", url.trim_end_matches('/'));
    let response = reqwest::get(&url).await.with_context(|| format!("no poller responds at {url}"))?;
    let status: status::Status =
        serde_json::from_slice(&response.bytes().await?).context("reading the status")?;
    print!("{}", status_table(&status));
    for message in status.problems().iter().chain(&status.warnings()) {
        println!("{message}");
    }
    Ok(())
}

fn status_table(status: &status::Status) -> String {
    let heading = [
        "MAPPING",
        "TOPIC",
        "PARTITIONS",
        "LAG",
        "RECORDS",
        "RETRIES",
        "DISCARDED",
        "LAST PROCESSING RESULT",
    ];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for mapping in &status.mappings {
        let counts = &mapping.counts;
        let discarded = counts.retry_attempts_exhausted
            + counts.record_age_exceeded
            + counts.maximum_payload_size_exceeded;
        let lag: i64 = mapping.partitions.iter().filter_map(status::PartitionStatus::lag).sum();
        let partitions: Vec<String> = mapping.partitions.iter().map(|it| it.partition.to_string()).collect();
        rows.push(vec![
            mapping.uuid.clone(),
            mapping.topic.clone(),
            if partitions.is_empty() { "-".to_owned() } else { partitions.join(",") },
            lag.to_string(),
            counts.delivered.to_string(),
            counts.retries.to_string(),
            discarded.to_string(),
            mapping.last_processing_result.clone(),
        ]);
    }
    table::lay_out(&rows)
}

async fn print_lag(connection: &Connection) -> anyhow::Result<()> {
    let aws = connection.aws()?;
    let options = connection.options(1, 1);
    let heading = ["MAPPING", "TOPIC", "PARTITION", "COMMITTED", "END", "LAG"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    let mut failures = Vec::new();
    for configuration in list_mappings(&aws).await? {
        let Some(mapping) = Mapping::parse(&configuration?) else { continue };
        let mapping = mapping?;
        let (uuid, topic) = (mapping.uuid.clone(), mapping.topic.clone());
        let lags = match lags(&aws, &options, mapping).await {
            Ok(lags) => lags,
            Err(error) => {
                failures.push(format!("mapping {uuid}, topic {topic}: {error:#}"));
                continue;
            }
        };
        for lag in lags {
            let committed = lag.committed.map_or_else(|| "-".to_owned(), |offset| offset.to_string());
            let numbers =
                [lag.partition.to_string(), committed, lag.end.to_string(), lag.records().to_string()];
            rows.push([uuid.clone(), topic.clone()].into_iter().chain(numbers).collect());
        }
    }
    print!("{}", table::lay_out(&rows));
    if failures.is_empty() { Ok(()) } else { anyhow::bail!("{}", failures.join("\n")) }
}

async fn lags(aws: &Aws, options: &Options, mapping: Mapping) -> anyhow::Result<Vec<Lag>> {
    let mut config = client_config(&bootstrap_servers(&mapping, options)?);
    for (name, value) in source_access::settings(aws, &mapping.source_access, options.transport).await? {
        config.set(name, value);
    }
    Ok(tokio::task::spawn_blocking(move || lag::of_mapping(&mapping, &config)).await??)
}

impl Connection {
    fn aws(&self) -> anyhow::Result<Aws> {
        let environment = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let region = self.region.clone().or_else(|| environment("AWS_DEFAULT_REGION"));
        let region = region.unwrap_or_else(|| "us-east-1".to_owned());
        Ok(Aws::new(self.endpoint_url.as_deref(), &region, environment)?)
    }

    fn options(&self, concurrency: usize, buffer_mb: usize) -> Options {
        Options {
            bootstrap_servers: self.bootstrap_servers.clone(),
            transport: if self.plaintext_sasl { Transport::Plaintext } else { Transport::Tls },
            concurrency: concurrency.max(1),
            memory: buffer_mb.saturating_mul(1 << 20),
            patience: stall::PATIENCE,
        }
    }
}
