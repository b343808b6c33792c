//! Random faults for a while, from a seed, on a stream of events through the whole system; ends with the account.

use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use integration_tests::flow::World;
use integration_tests::soak::{self, Options};

/// Strikes a stack with random faults while events flow, and keeps the account. Fails if a record is not indexed once.
#[derive(Parser)]
struct Arguments {
    /// How long faults go on.
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// The same seed gives the same faults in the same order; without one, one is chosen and told.
    #[arg(long)]
    seed: Option<u64>,
    /// Events a second.
    #[arg(long, default_value_t = 100)]
    rate: u32,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Arguments { minutes, seed, rate } = Arguments::parse();
    let length = Duration::from_secs(60 * minutes);
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    soak::run(World::ready().await?, Options { length, seed, rate }).await?.check().map(drop)
}
