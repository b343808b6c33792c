//! `kafka-to-search account` as users run it, in this process.

use anyhow::{Context, Result};
use clap::Parser as _;
use kafka_to_search::command_line::CommandLine;
use kafka_to_search::exit::Exit;
use serde_json::Value;

use crate::live::world::World;

/// What the program found.
#[derive(Clone, Debug)]
pub struct ProgramAccount {
    /// How it ended.
    pub exit: Exit,
    /// What it wrote.
    pub report: Value,
}

impl World {
    /// Runs `kafka-to-search account` on the stack. Credentials of LocalStack are in the environment.
    ///
    /// # Errors
    /// When that can't be found out.
    pub async fn program_account(&self, options: &[&str]) -> Result<ProgramAccount> {
        let servers =
            ["--bootstrap", &self.stack.bootstrap_servers, "--search", &self.stack.search_endpoint, "--json"];
        let words = ["kafka-to-search", "account"].iter().chain(&servers).chain(options);
        let words: Vec<String> = words.map(|word| (*word).to_owned()).collect();
        // The program makes a runtime of its own.
        let run = tokio::task::spawn_blocking(move || {
            let mut out = Vec::new();
            let exit = CommandLine::try_parse_from(&words)?.run(&mut out)?;
            anyhow::Ok((exit, out))
        });
        let (exit, out) = run.await?.context("`kafka-to-search account` ended without an account")?;
        Ok(ProgramAccount { exit, report: serde_json::from_slice(&out)? })
    }
}
