//! The poller dies: records that it had not committed are redelivered, and are in the index once.

use std::time::Duration;

use anyhow::Result;
use integration_tests::live::flow::{FlowOptions, Function};
use integration_tests::live::proxy::Proxy;
use integration_tests::live::stack::Server;
use integration_tests::live::stream::Stream;
use integration_tests::live::world::World;

/// Events a second.
const RATE: u32 = 200;
/// The consumer group waits 10 s for a member that was killed.
const RECOVERY: Duration = Duration::from_secs(90);
const N_KILLS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_poller_killed_at_random_points_loses_nothing() -> Result<()> {
    let world = World::ready().await?;
    let proxy = slow_responses(&world).await?;
    let endpoint = proxy.endpoint();
    let function = Function::Own(&[("SEARCH_ENDPOINT", &endpoint)], 30);
    let options = FlowOptions { batch_size: 20, function, ..FlowOptions::default() };
    let flow = world.flow("poller-killed", options).await?;
    let stream = Stream::start(&world, &flow, RATE)?;
    flow.wait_for_documents(100, RECOVERY).await?;
    for _ in 0..N_KILLS {
        let before = world.search.count_topic(&flow.topic).await?;
        world.stack.kill(Server::Poller).await?;
        world.stack.start(Server::Poller).await?;
        // It must be working again before it is killed again, at a random point.
        flow.wait_for_documents(before + fastrand::u64(1..200), RECOVERY).await?;
    }
    let sent = stream.stop().await?;
    let account = flow.completed(RECOVERY).await?;
    assert_eq!((account.records, account.indexed), (sent, sent), "{account}");
    flow.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_restarted_poller_resumes_where_it_was() -> Result<()> {
    let world = World::ready().await?;
    let proxy = slow_responses(&world).await?;
    let endpoint = proxy.endpoint();
    let function = Function::Own(&[("SEARCH_ENDPOINT", &endpoint)], 30);
    let flow = world.flow("poller-stopped", FlowOptions { function, ..FlowOptions::default() }).await?;
    let stream = Stream::start(&world, &flow, RATE)?;
    flow.wait_for_documents(100, RECOVERY).await?;
    world.stack.stop(Server::Poller).await?;
    stream.wait_for_more(200).await?;
    world.stack.start(Server::Poller).await?;
    stream.wait_for_more(200).await?;
    let sent = stream.stop().await?;
    let account = flow.completed(RECOVERY).await?;
    assert_eq!((account.records, account.indexed), (sent, sent), "{account}");
    flow.finish().await
}

/// A slow cluster, so that there are always invocations in flight when the poller ends.
async fn slow_responses(world: &World) -> Result<Proxy> {
    let proxy = Proxy::start(&world.stack.search_endpoint).await?;
    proxy.slow_down(Duration::from_millis(150));
    Ok(proxy)
}
