//! The command line `provision`.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use lambda_support::secrets::SecretStore;
use lambda_support::variables::ConfigError;
use tokio::time::Instant;

use crate::config::Config;
use crate::product::Product;
use crate::provision::{RunOutcome, apply, delete};
use crate::run::{Mode, Rotation, RunOptions};
use crate::settings::{DeleteData, PROPERTIES, Settings, variable_of};
use crate::show;

/// Longest time of a run. A single request is given up much earlier.
const MAX_RUN: Duration = Duration::from_secs(600);

/// Prepares a search cluster for the events: index templates, lifecycle, access, monitors and dashboards.
#[derive(Debug, Parser)]
#[command(name = "provision", version, about, after_help = variables())]
pub struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes the cluster hold what the variables say. A second run changes nothing.
    Apply(Apply),
    /// Removes credentials, roles and monitors. Indices stay, with their templates and lifecycle.
    Delete(Delete),
    /// Prints the requests of `apply` for the console of Dashboards or Kibana. Needs no cluster if SEARCH_ENGINE names the
    /// product.
    Show,
}

#[derive(Debug, Args)]
struct Apply {
    /// Reports what would change, and changes nothing.
    #[arg(long)]
    dry_run: bool,
    /// Replaces the functions' credentials. The previous ones stay valid until the next rotation.
    #[arg(long)]
    rotate: bool,
}

#[derive(Debug, Args)]
struct Delete {
    /// Deletes the indices too, with their templates, lifecycle and dashboards. The same as DELETE_DATA=true.
    #[arg(long)]
    delete_data: bool,
}

fn variables() -> String {
    let settings: Vec<_> = PROPERTIES.iter().map(|property| variable_of(property)).collect();
    format!(
        "Environment variables:\n  the cluster   SEARCH_ENDPOINT or SEARCH_DOMAIN, SEARCH_CA_CERT, SEARCH_PLAINTEXT, SEARCH_ENGINE\n  \
         its administrator   SEARCH_USERNAME and SEARCH_PASSWORD, or SEARCH_API_KEY, or SEARCH_AUTH with \
         SEARCH_SECRET_ID\n  settings   {}\nfunctions/provision-cluster/README.md documents them.",
        settings.join(", ")
    )
}

impl CommandLine {
    /// Runs the command with variables read by `lookup`, and writes its output to `out`.
    ///
    /// # Errors
    /// When `out` can't be written to.
    pub async fn run(
        &self,
        lookup: &dyn Fn(&str) -> Option<String>,
        secrets: &Arc<dyn SecretStore>,
        out: &mut (dyn Write + Send),
    ) -> std::io::Result<ExitCode> {
        let deadline = Instant::now() + MAX_RUN;
        let options = |mode, rotation| RunOptions { mode, rotation, deadline };
        let outcome = match &self.command {
            Command::Show => return show_requests(lookup, secrets, deadline, out).await,
            Command::Apply(Apply { dry_run, rotate }) => match Config::of_command_line(lookup) {
                Ok(config) => {
                    let mode = if *dry_run { Mode::DryRun } else { Mode::Apply };
                    let rotation = if *rotate { Rotation::Requested } else { Rotation::IfNeeded };
                    apply(&config, secrets, options(mode, rotation)).await
                }
                Err(error) => return print_config_error(&error, out),
            },
            Command::Delete(Delete { delete_data }) => match Config::of_command_line(lookup) {
                Ok(mut config) => {
                    if *delete_data {
                        config.settings.delete_data = DeleteData::Yes;
                    }
                    delete(&config, secrets, options(Mode::Apply, Rotation::IfNeeded)).await
                }
                Err(error) => return print_config_error(&error, out),
            },
        };
        print_outcome(&outcome, out)
    }
}

fn print_config_error(error: &ConfigError, out: &mut dyn Write) -> std::io::Result<ExitCode> {
    writeln!(out, "{error}")?;
    Ok(ExitCode::from(2))
}

fn print_outcome(outcome: &RunOutcome, out: &mut dyn Write) -> std::io::Result<ExitCode> {
    if let Some(product) = outcome.product {
        writeln!(out, "{product}")?;
    }
    write!(out, "{}", outcome.report)?;
    Ok(if outcome.report.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn show_requests(
    lookup: &dyn Fn(&str) -> Option<String>,
    secrets: &Arc<dyn SecretStore>,
    deadline: Instant,
    out: &mut dyn Write,
) -> std::io::Result<ExitCode> {
    let settings = match Settings::of_command_line(lookup) {
        Ok(settings) => settings,
        Err(error) => return print_config_error(&error, out),
    };
    let product = match settings.engine {
        Some(engine) => Product { engine, version: None },
        None => match Config::of_command_line(lookup) {
            Err(error) => {
                writeln!(out, "SEARCH_ENGINE is not set, so the cluster must name its product, but {error}")?;
                return Ok(ExitCode::from(2));
            }
            Ok(config) => match show::detect_product(&config, secrets, deadline).await {
                Ok(product) => product,
                Err(error) => {
                    writeln!(out, "{error}")?;
                    return Ok(ExitCode::FAILURE);
                }
            },
        },
    };
    match show::requests(product, &settings) {
        Ok(text) => write!(out, "{text}").map(|()| ExitCode::SUCCESS),
        Err(error) => writeln!(out, "{error}").map(|()| ExitCode::FAILURE),
    }
}
