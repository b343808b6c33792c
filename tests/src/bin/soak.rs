//! Random faults from a seed while events stream through the whole system, and the account at the end.

use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use integration_tests::live::soak::{self, Options};
use integration_tests::live::world::World;

/// Injects random faults into a stack while events flow. Fails if a record is not indexed exactly once.
#[derive(Parser)]
struct Arguments {
    /// How long faults are injected.
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// The same seed injects the same faults in the same order. By default, a random one is chosen and printed.
    #[arg(long)]
    seed: Option<u64>,
    /// Events per second.
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
