//! The command line: reads the environment, and does what its arguments say.

use std::process::ExitCode;

use clap::Parser;
use lambda_support::secrets::secrets_manager;
use lambda_support::start::variable;
use provision_cluster::command_line::CommandLine;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> std::io::Result<ExitCode> {
    let command_line = CommandLine::parse();
    let secrets = secrets_manager();
    command_line.run(&variable, secrets.as_ref(), &mut std::io::stdout()).await
}
