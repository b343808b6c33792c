//! Random faults on a stream of events. `make soak` runs longer ones.

use std::time::Duration;

use anyhow::Result;
use integration_tests::live::soak::{self, Options, Servers};
use integration_tests::live::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_minutes_of_random_faults_lose_nothing() -> Result<()> {
    let options = Options { servers: Servers::Single, length: Duration::from_secs(120), seed: 20, rate: 100 };
    soak::run(World::ready().await?, options).await?.check().map(drop)
}
