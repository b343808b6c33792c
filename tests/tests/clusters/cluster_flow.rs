//! A stream of events through the clusters, and how it ends.

use std::time::Duration;

use anyhow::{Result, ensure};
use integration_tests::live::flow::{Flow, FlowOptions, print_line};
use integration_tests::live::stream::Stream;
use integration_tests::live::world::World;

/// Events a second.
pub(crate) const RATE: u32 = 200;
/// Longest time for the system to catch up.
pub(crate) const RECOVERY: Duration = Duration::from_secs(180);

/// Events that stream through the clusters.
pub(crate) struct ClusterFlow {
    pub(crate) world: World,
    pub(crate) flow: Flow,
    pub(crate) stream: Stream,
}

impl ClusterFlow {
    /// Starts the stream; returns when its first events are indexed.
    pub(crate) async fn start(name: &str, options: FlowOptions<'_>) -> Result<Self> {
        let world = World::clustered().await?;
        Self::start_in(world, name, options).await
    }

    /// The same in a world that is ready.
    pub(crate) async fn start_in(world: World, name: &str, options: FlowOptions<'_>) -> Result<Self> {
        let flow = world.flow(name, options).await?;
        let stream = Stream::start(&world, &flow, RATE)?;
        flow.wait_for_documents(200, RECOVERY).await?;
        Ok(Self { world, flow, stream })
    }

    /// Waits until this many more documents are indexed than are now.
    pub(crate) async fn wait_for_progress(&self, n_documents: u64) -> Result<()> {
        // The first attempts to count may go to shards whose node has just died.
        let before = self.flow.wait_for_documents(0, RECOVERY).await?;
        self.flow.wait_for_documents(before + n_documents, RECOVERY).await.map(drop)
    }

    /// Ends the stream. Every event that Kafka accepted must be indexed once.
    pub(crate) async fn ends_complete(self) -> Result<()> {
        let sent = self.stream.stop().await?;
        self.flow.drained(RECOVERY).await?;
        self.world.search.wait_for_green().await?;
        let account = self.flow.completed(RECOVERY).await?;
        ensure!((account.records, account.indexed) == (sent, sent), "{sent} were sent: {account}");
        print_line(&format!("    {sent} events, each indexed once"))?;
        self.flow.finish().await
    }
}
