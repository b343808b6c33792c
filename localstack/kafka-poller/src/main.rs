//! The command line of kafka-poller.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool reports to its terminal")]

use std::io::{IsTerminal, stderr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use kafka_poller::aws::Aws;
use kafka_poller::lag::{self, table};
use kafka_poller::lambda::list_mappings;
use kafka_poller::mapping::Mapping;
use kafka_poller::poller::{Options, bootstrap_servers, client_config};
use kafka_poller::source_access::{self, Transport};
use kafka_poller::supervisor;
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
    /// Serves the Kafka event source mappings until SIGTERM or SIGINT.
    Serve(Serve),
    /// Tells how far each mapping is behind.
    Lag(Connection),
}

#[derive(Args)]
struct Connection {
    /// The Lambda API, such as http://127.0.0.1:4566 for LocalStack; AWS without it.
    #[arg(long, env = "AWS_ENDPOINT_URL")]
    endpoint_url: Option<String>,
    /// The AWS region.
    #[arg(long, env = "AWS_REGION")]
    region: Option<String>,
    /// Comma-separated HOST:PORT of the brokers for Amazon MSK mappings; others name theirs.
    #[arg(long)]
    bootstrap_servers: Option<String>,
    /// Speaks SASL without TLS, to brokers without certificates.
    #[arg(long)]
    plaintext_sasl: bool,
}

#[derive(Args)]
struct Serve {
    #[command(flatten)]
    connection: Connection,
    /// How often changes of the mappings are looked for, in milliseconds.
    #[arg(long, default_value_t = 1_000)]
    refresh_ms: u64,
    /// Invocations at once for a mapping without ProvisionedPollerConfig; never more than it has partitions.
    #[arg(long, default_value_t = 16)]
    concurrency: usize,
    /// Megabytes of records kept in memory for each mapping, besides those of running invocations.
    #[arg(long, default_value_t = 64)]
    buffer_mb: usize,
}

#[tokio::main]
async fn main() -> ExitCode {
    // With another provider linked in, rustls would not choose one by itself.
    let _ = rustls::crypto::ring::default_provider().install_default();
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info")))
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal())
        .with_target(false)
        .init();
    let done = match Cli::parse().command {
        Command::Serve(command) => serve(command).await,
        Command::Lag(connection) => print_lag(&connection).await,
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
    let options = command.connection.options(command.concurrency, command.buffer_mb);
    let mut terminate = signal(SignalKind::terminate()).context("waiting for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("waiting for SIGINT")?;
    let endpoint = command.connection.endpoint_url.as_deref().unwrap_or("AWS");
    info!(endpoint, pid = std::process::id(), "serving Kafka event source mappings");
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        // Whoever asks twice is in a hurry: what runs is delivered again later.
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            std::process::exit(130);
        });
    };
    supervisor::run(&aws, &options, Duration::from_millis(command.refresh_ms), stop).await;
    info!("stopped");
    Ok(())
}

async fn print_lag(connection: &Connection) -> anyhow::Result<()> {
    let aws = connection.aws()?;
    let options = connection.options(1, 1);
    let heading = ["MAPPING", "TOPIC", "PARTITION", "COMMITTED", "END", "LAG"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for configuration in list_mappings(&aws).await? {
        let Some(mapping) = Mapping::read(&configuration?) else { continue };
        let mapping = mapping?;
        let mut config = client_config(&bootstrap_servers(&mapping, &options)?);
        for (name, value) in source_access::settings(&aws, &mapping.source_access, options.transport).await? {
            config.set(name, value);
        }
        let (uuid, topic) = (mapping.uuid.clone(), mapping.topic.clone());
        let lags = tokio::task::spawn_blocking(move || lag::of_mapping(&mapping, &config)).await?;
        for lag in lags.with_context(|| format!("the lag of mapping {uuid}, topic {topic}"))? {
            let committed = lag.committed.map_or_else(|| "-".to_owned(), |offset| offset.to_string());
            let numbers =
                [lag.partition.to_string(), committed, lag.end.to_string(), lag.records().to_string()];
            rows.push([uuid.clone(), topic.clone()].into_iter().chain(numbers).collect());
        }
    }
    print!("{}", table(&rows));
    Ok(())
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
        }
    }
}
