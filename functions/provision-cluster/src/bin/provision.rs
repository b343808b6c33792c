//! The command line: reads the arguments and the environment, and runs the command.

use std::process::ExitCode;

use clap::Parser;
use lambda_support::aws::secrets_manager;
use lambda_support::variables::variable;
use provision_cluster::command_line::CommandLine;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> std::io::Result<ExitCode> {
    let command_line = CommandLine::parse();
    command_line.run(&variable, &secrets_manager(), &mut std::io::stdout()).await
}
