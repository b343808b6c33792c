//! The program `kafka-to-search`.
#![expect(clippy::print_stderr, reason = "a command line tool reports to its terminal")]

use std::io::{BufWriter, Write as _, stdout};
use std::process::ExitCode;

use clap::Parser as _;
use kafka_to_search::command_line::CommandLine;

fn main() -> ExitCode {
    let mut out = BufWriter::new(stdout().lock());
    let outcome = CommandLine::parse().run(&mut out);
    let flushed = out.flush();
    match (outcome, flushed) {
        (Ok(exit), Ok(())) => exit.into(),
        (Ok(_), Err(error)) => failure(&error),
        (Err(error), _) => failure(&error),
    }
}

fn failure(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("kafka-to-search: {error}");
    ExitCode::from(2)
}
