//! `plan`: what a load needs of the mappings, the function, Kafka and the cluster, what it costs, and how it bears trouble.

pub mod cost;
pub mod figures;
pub mod load;
pub mod plot;
pub mod report;
pub mod scaling;
pub mod sizing;

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use thiserror::Error;

use self::figures::{Figures, FiguresError};
use self::load::Load;
use self::plot::PlotError;
use self::report::Report;
use self::sizing::Choices;
use crate::exit::Exit;
use crate::output::Output;

/// Show what a load needs: settings of the mappings and the function, partitions, the cluster, and the cost a month beside other
/// ways. Status: 0, or 1 if something is in the way
#[derive(Debug, Args)]
pub struct PlanOptions {
    /// Events a second, on average over a month
    #[arg(long, value_parser = above_zero)]
    rate: f64,
    /// Bytes of a record's value, on average
    #[arg(long, default_value = "500", value_parser = above_zero)]
    bytes: f64,
    /// The peak's rate, in times of the average
    #[arg(long, default_value = "3", value_parser = one_or_more)]
    peak: f64,
    /// Topics that share the load
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    topics: u32,
    /// Headers of a record
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
    headers: u32,
    /// Partitions of all topics together, if they are given
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    partitions: Option<u32>,
    /// The function's memory in MB
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u32).range(128..=10_240))]
    memory: u32,
    /// Copies of a document besides its first
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=10))]
    replicas: u32,
    /// Days after which indices are deleted
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    retention_days: u32,
    /// Prices and throughputs to reckon with: a copy of cli/src/plan/figures.yaml
    #[arg(long, value_name = "FILE")]
    figures: Option<PathBuf>,
    /// Draw the simulated hours into this file (SVG)
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Text to read, or JSON
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// Why there is no plan.
#[derive(Debug, Error)]
pub enum PlanError {
    /// The file of figures can't be used.
    #[error(transparent)]
    Figures(#[from] FiguresError),
    /// The plot can't be drawn.
    #[error(transparent)]
    Plot(#[from] PlotError),
    /// The output can't be written.
    #[error("standard output: {0}")]
    Write(#[from] io::Error),
}

/// Plans, and writes the plan to `out`.
///
/// # Errors
/// [`PlanError`]
pub fn run(options: &PlanOptions, out: &mut dyn Write) -> Result<Exit, PlanError> {
    let figures = Figures::load(options.figures.as_deref())?;
    let load = Load {
        rate: options.rate,
        bytes: options.bytes,
        peak: options.peak,
        topics: options.topics,
        headers: options.headers,
    };
    let choices = Choices {
        memory: options.memory,
        replicas: options.replicas,
        retention_days: options.retention_days,
        partitions: options.partitions,
    };
    let sizing = sizing::size(&load, &choices, &figures);
    let costs = cost::costs(&load, &sizing, &figures);
    let hours: Vec<_> = scaling::scenarios(&load, &choices, &sizing, &figures)
        .into_iter()
        .map(|scenario| scaling::simulate(scenario, &load, &choices, &sizing, &figures))
        .collect();
    if let Some(path) = &options.plot {
        plot::draw(&hours, path)?;
    }
    let report = Report { load, choices, sizing, costs, hours };
    match options.output {
        Output::Text => report.write_text(out)?,
        Output::Json => report.write_json(out)?,
    }
    Ok(if report.sizing.obstacles.is_empty() { Exit::Success } else { Exit::Found })
}

fn above_zero(text: &str) -> Result<f64, String> {
    number(text, f64::MIN_POSITIVE, "above 0")
}

fn one_or_more(text: &str) -> Result<f64, String> {
    number(text, 1.0, "of 1 or more")
}

fn number(text: &str, least: f64, which: &str) -> Result<f64, String> {
    match text.replace([',', '_'], "").parse::<f64>() {
        Ok(number) if number.is_finite() && number >= least => Ok(number),
        _ => Err(format!("give a number {which}")),
    }
}
