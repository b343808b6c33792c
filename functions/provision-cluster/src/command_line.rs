//! The command line `provision`.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use lambda_support::secrets::SecretStore;
use lambda_support::variables::ConfigError;
use search_client::engine::Engine;
use tokio::time::Instant;

use crate::product::Product;
use crate::provision::{Done, Mode, Request, Rotation, apply, delete};
use crate::settings::{Config, DeleteData, PROPERTIES, Settings, variable_of};
use crate::show;

/// A run of the command line may take so long. A single request is given up much earlier.
const RUN: Duration = Duration::from_secs(600);

/// Prepares a search cluster for the events: index templates, lifecycle, access, monitors and dashboards.
#[derive(Debug, Parser)]
#[command(name = "provision", version, about, after_help = variables())]
pub struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes the cluster hold what the variables say. A second run finds nothing to do.
    Apply(Apply),
    /// Takes away credentials, roles and monitors. Indices stay, with their templates and their lifecycle.
    Delete(Delete),
    /// Shows the requests of `apply`, as the console of Dashboards or Kibana takes them. Needs no cluster where
    /// SEARCH_ENGINE names the product.
    Show,
}

#[derive(Debug, Args)]
struct Apply {
    /// Changes nothing; tells what would be changed.
    #[arg(long)]
    dry_run: bool,
    /// Makes the functions' credentials anew. The ones before stay valid until the next time.
    #[arg(long)]
    rotate: bool,
}

#[derive(Debug, Args)]
struct Delete {
    /// Deletes the indices too, with their templates, lifecycle and dashboards. As DELETE_DATA=true.
    #[arg(long)]
    delete_data: bool,
}

fn variables() -> String {
    let settings: Vec<_> = PROPERTIES.iter().map(|property| variable_of(property)).collect();
    format!(
        "Environment variables:\n  the cluster   SEARCH_ENDPOINT or SEARCH_DOMAIN, SEARCH_CA_CERT, SEARCH_ENGINE\n  \
         its administrator   SEARCH_USERNAME and SEARCH_PASSWORD, or SEARCH_API_KEY, or SEARCH_AUTH with \
         SEARCH_SECRET_ID\n  settings   {}\nfunctions/provision-cluster/README.md explains them.",
        settings.join(", ")
    )
}

impl CommandLine {
    /// Does what the command line says, with variables read by `lookup`, and writes to `out`.
    ///
    /// # Errors
    /// When `out` takes no more.
    pub async fn run(
        &self,
        lookup: &dyn Fn(&str) -> Option<String>,
        secrets: &dyn SecretStore,
        out: &mut (dyn Write + Send),
    ) -> std::io::Result<ExitCode> {
        let until = Instant::now() + RUN;
        let request = |mode, rotation| Request { mode, rotation, until };
        let done = match &self.command {
            Command::Show => return show_requests(lookup, until, out).await,
            Command::Apply(Apply { dry_run, rotate }) => match Config::of_command_line(lookup) {
                Ok(config) => {
                    let mode = if *dry_run { Mode::DryRun } else { Mode::Apply };
                    let rotation = if *rotate { Rotation::Asked } else { Rotation::IfNeeded };
                    apply(&config, secrets, request(mode, rotation)).await
                }
                Err(error) => return refused(&error, out),
            },
            Command::Delete(Delete { delete_data }) => match Config::of_command_line(lookup) {
                Ok(mut config) => {
                    if *delete_data {
                        config.settings.delete_data = DeleteData::Yes;
                    }
                    delete(&config, secrets, request(Mode::Apply, Rotation::IfNeeded)).await
                }
                Err(error) => return refused(&error, out),
            },
        };
        tell(&done, out)
    }
}

fn refused(error: &ConfigError, out: &mut dyn Write) -> std::io::Result<ExitCode> {
    writeln!(out, "{error}")?;
    Ok(ExitCode::from(2))
}

fn tell(done: &Done, out: &mut dyn Write) -> std::io::Result<ExitCode> {
    if let Some(product) = done.product {
        writeln!(out, "{product}")?;
    }
    write!(out, "{}", done.report)?;
    Ok(if done.report.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn show_requests(
    lookup: &dyn Fn(&str) -> Option<String>,
    until: Instant,
    out: &mut dyn Write,
) -> std::io::Result<ExitCode> {
    let settings = match Settings::of_command_line(lookup) {
        Ok(settings) => settings,
        Err(error) => return refused(&error, out),
    };
    let product = match settings.engine {
        Some(engine) => Product { engine, version: None },
        None => match Config::of_command_line(lookup) {
            Err(error) => {
                writeln!(out, "SEARCH_ENGINE is not set, so the cluster would be asked, but {error}")?;
                return Ok(ExitCode::from(2));
            }
            Ok(config) => match show::asked(&config, until).await {
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

/// Comment in front of shown requests: who they are for.
pub(crate) fn heading(product: Product) -> String {
    let console = match product.engine {
        Engine::OpenSearch => "Dashboards",
        Engine::Elasticsearch => "Kibana",
    };
    format!("# {product}; for the console of {console}\n")
}
