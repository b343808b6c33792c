//! Random faults from a seed while events stream through the whole system, and the account at the end.

use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use integration_tests::live::soak::{self, Options, Servers};
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
    /// Into the clusters of a stack with three brokers and three search nodes.
    #[arg(long)]
    clusters: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Arguments { minutes, seed, rate, clusters } = Arguments::parse();
    let length = Duration::from_secs(60 * minutes);
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    let (servers, world) = if clusters {
        (Servers::Clusters, World::clustered().await?)
    } else {
        (Servers::Single, World::ready().await?)
    };
    soak::run(world, Options { servers, length, seed, rate }).await?.check().map(drop)
}
