//! Responses of the cluster that a proxy breaks on their way to the function: documents that were written are not written
//! twice, and documents that were not are never taken for written.

use std::time::Duration;

use anyhow::{Result, ensure};
use integration_tests::live::flow::{FlowOptions, Function};
use integration_tests::live::proxy::Fault::{
    self, CutShort, NotJson, Reset, Silence, Slow, Status, WrongItemCount,
};
use integration_tests::live::proxy::Proxy;
use integration_tests::live::proxy::Reached::{self, NotWritten, Written};
use integration_tests::live::world::World;

const N_EVENTS: usize = 200;

/// Sends events through a proxy that breaks the first responses. Every fault must occur, and the account be complete.
async fn survives(name: &str, timeout_s: u32, faults: &[(Fault, Reached)]) -> Result<()> {
    let world = World::ready().await?;
    let proxy = Proxy::start(&world.stack.search_endpoint).await?;
    proxy.plan(faults.iter().copied());
    let endpoint = proxy.endpoint();
    let function = Function::Own(&[("SEARCH_ENDPOINT", &endpoint)], timeout_s);
    let flow = world.flow(name, FlowOptions { function, partitions: 1, ..FlowOptions::default() }).await?;
    flow.publish_events(N_EVENTS)?;
    let account = flow.completed(Duration::from_secs(90)).await?;
    assert_eq!((account.records, account.indexed), (N_EVENTS, N_EVENTS), "{account}");
    let (injected, passed) = proxy.injected();
    assert_eq!(injected, faults);
    ensure!(passed > 0, "a request passed unbroken");
    let log = world.lambda.log(&flow.function).await?;
    let timed_out = log.iter().find(|line| line.contains(r#""status": "timeout""#));
    ensure!(timed_out.is_none(), "the function ran into its timeout: {timed_out:?}");
    flow.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_connection_reset_in_the_middle_of_a_response_loses_nothing() -> Result<()> {
    survives("reset", 30, &[(Reset, Written), (Reset, NotWritten), (Reset, Written)]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_truncated_response_loses_nothing() -> Result<()> {
    survives("cut-short", 30, &[(CutShort, NotWritten), (CutShort, Written), (CutShort, NotWritten)]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_response_that_is_not_json_counts_as_not_written() -> Result<()> {
    survives("not-json", 30, &[(NotJson, NotWritten), (NotJson, Written), (NotJson, NotWritten)]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_response_with_too_few_items_counts_as_not_written() -> Result<()> {
    let faults = [(WrongItemCount, NotWritten), (WrongItemCount, Written), (WrongItemCount, NotWritten)];
    survives("item-count", 30, &faults).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_gateway_that_rejects_requests_only_delays_them() -> Result<()> {
    let faults =
        [429, 502, 503, 504].map(|status| [(Status(status), NotWritten), (Status(status), Written)]).concat();
    survives("turned-away", 30, &faults).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_rejection_that_blames_the_configuration_redelivers_the_batch() -> Result<()> {
    survives("set-up", 30, &[(Status(401), NotWritten), (Status(403), NotWritten), (Status(404), NotWritten)])
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn slow_responses_never_run_the_function_into_its_timeout() -> Result<()> {
    survives("slow", 6, &[(Slow(20_000), Written), (Silence, NotWritten), (Slow(3_500), Written)]).await
}
