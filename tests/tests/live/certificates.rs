//! The cluster presents a certificate that the function does not trust: nothing is sent to it. The records wait and get
//! through once either side is fixed.

use std::time::Duration;

use anyhow::{Result, ensure};
use integration_tests::live::certificate::Authority;
use integration_tests::live::flow::{Flow, FlowOptions, Function};
use integration_tests::live::tls_proxy::TlsProxy;
use integration_tests::live::world::World;

const N_EVENTS: usize = 50;
const RECOVERY: Duration = Duration::from_secs(90);
const COMPLAINT: &str = "invalid peer certificate: UnknownIssuer";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_sent_to_a_cluster_of_an_unknown_ca_until_the_ca_is_configured() -> Result<()> {
    let world = World::ready().await?;
    let authority = Authority::new()?;
    let proxy = TlsProxy::start(&world.stack.search_endpoint, authority.server()?).await?;
    let endpoint = proxy.endpoint();
    let flow = world.flow("unknown-ca", through(&[("SEARCH_ENDPOINT", &endpoint)])).await?;
    nothing_gets_through(&world, &flow, &proxy).await?;
    world.lambda.set_variables(&flow.function, &[("SEARCH_CA_CERT", &authority.pem())]).await?;
    everything_gets_through(flow).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_sent_to_a_cluster_that_presents_another_ca_until_that_is_fixed() -> Result<()> {
    let world = World::ready().await?;
    let (authority, another) = (Authority::new()?, Authority::new()?);
    let proxy = TlsProxy::start(&world.stack.search_endpoint, another.server()?).await?;
    let (endpoint, ca) = (proxy.endpoint(), authority.pem());
    let variables = [("SEARCH_ENDPOINT", endpoint.as_str()), ("SEARCH_CA_CERT", &ca)];
    let flow = world.flow("changed-ca", through(&variables)).await?;
    nothing_gets_through(&world, &flow, &proxy).await?;
    proxy.present(authority.server()?);
    everything_gets_through(flow).await
}

fn through<'a>(variables: &'a [(&'a str, &'a str)]) -> FlowOptions<'a> {
    FlowOptions { function: Function::Own(variables, 10), partitions: 1, ..FlowOptions::default() }
}

async fn nothing_gets_through(world: &World, flow: &Flow, proxy: &TlsProxy) -> Result<()> {
    flow.publish_events(N_EVENTS)?;
    flow.wait_for_log("records failed").await?;
    let log = world.lambda.log(&flow.function).await?;
    let line =
        log.iter().find(|line| line.contains("records failed")).map(String::as_str).unwrap_or_default();
    ensure!(line.contains(COMPLAINT), "the function logs the reason: {line}");
    ensure!(proxy.rejected() > 0, "the function closed the connection");
    let found = world.search.find_topic(&flow.topic).await?;
    ensure!(found.is_empty(), "nothing was written, not even a dead letter: {found:?}");
    assert_eq!(flow.lag()?, i64::try_from(N_EVENTS)?, "the records wait");
    Ok(())
}

async fn everything_gets_through(flow: Flow) -> Result<()> {
    let account = flow.completed(RECOVERY).await?;
    assert_eq!((account.records, account.indexed), (N_EVENTS, N_EVENTS), "{account}");
    flow.finish().await
}
