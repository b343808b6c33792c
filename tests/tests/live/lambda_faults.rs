//! The function is replaced or dies, or Lambda goes down: the batch is redelivered and indexed exactly once.

use std::time::Duration;

use anyhow::{Result, ensure};
use integration_tests::live::flow::{FlowOptions, Function};
use integration_tests::live::kafka::NewRecord;
use integration_tests::live::lambda::DEPLOYED;
use integration_tests::live::poll::{Check, until};
use integration_tests::live::proxy::{Fault, Proxy, Reached};
use integration_tests::live::search::INDICES;
use integration_tests::live::stack::Server;
use integration_tests::live::stream::Stream;
use integration_tests::live::world::World;
use serde_json::json;

/// Events a second.
const RATE: u32 = 200;
const RECOVERY: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_function_redeployed_mid_stream_loses_nothing() -> Result<()> {
    let world = World::ready().await?;
    let flow = world.flow("redeployed", FlowOptions::default()).await?;
    let stream = Stream::start(&world, &flow, RATE)?;
    flow.wait_for_documents(200, RECOVERY).await?;
    world.lambda.update_code(DEPLOYED).await?;
    stream.wait_for_more(300).await?;
    world.lambda.set_variables(DEPLOYED, &[("PLATFORM", "other")]).await?;
    stream.wait_for_more(300).await?;
    world.lambda.set_variables(DEPLOYED, &[("PLATFORM", "demo-micro")]).await?;
    stream.wait_for_more(300).await?;
    let sent = stream.stop().await?;
    let account = flow.completed(RECOVERY).await?;
    assert_eq!((account.records, account.indexed), (sent, sent), "{account}");
    let documents = flow.documents(INDICES).await?;
    let n_other = documents.iter().filter(|hit| hit.source["platform"] == "other").count();
    ensure!(
        n_other > 0 && n_other < sent,
        "{n_other} of {sent} documents come from the second configuration"
    );
    flow.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_function_killed_in_the_middle_of_an_invocation_loses_nothing() -> Result<()> {
    for reached in [Reached::Written, Reached::NotWritten] {
        let world = World::ready().await?;
        let proxy = Proxy::start(&world.stack.search_endpoint).await?;
        proxy.plan([(Fault::Silence, reached)]);
        let endpoint = proxy.endpoint();
        let function = Function::Own(&[("SEARCH_ENDPOINT", &endpoint)], 60);
        let flow =
            world.flow("killed", FlowOptions { function, partitions: 1, ..FlowOptions::default() }).await?;
        flow.publish_events(100)?;
        until("the function to wait for a response", RECOVERY, async || {
            let (injected, _) = proxy.injected();
            Ok(Check::at(!injected.is_empty(), || "no request".to_owned()))
        })
        .await?;
        let killed = world.stack.kill_function(&flow.function).await?;
        ensure!(killed > 0, "a process of the function was killed");
        let account = flow.completed(RECOVERY).await?;
        assert_eq!((account.records, account.indexed), (100, 100), "{reached:?}: {account}");
        let log = world.lambda.log(&flow.function).await?;
        ensure!(log.iter().any(|line| line.contains("Runtime.ExitError")), "Lambda logs it: {log:?}");
        flow.finish().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_function_that_hangs_past_its_timeout_loses_nothing() -> Result<()> {
    for reached in [Reached::Written, Reached::NotWritten] {
        let world = World::ready().await?;
        let proxy = Proxy::start(&world.stack.search_endpoint).await?;
        proxy.plan([(Fault::Silence, reached)]);
        let endpoint = proxy.endpoint();
        let function = Function::Own(&[("SEARCH_ENDPOINT", &endpoint)], 10);
        let flow =
            world.flow("hangs", FlowOptions { function, partitions: 1, ..FlowOptions::default() }).await?;
        flow.publish_events(100)?;
        until("the function to wait for a response", RECOVERY, async || {
            let (injected, _) = proxy.injected();
            Ok(Check::at(!injected.is_empty(), || "no request".to_owned()))
        })
        .await?;
        let hanging = world.stack.hang_function(&flow.function).await?;
        ensure!(hanging > 0, "a process of the function hangs");
        let account = flow.completed(RECOVERY).await?;
        assert_eq!((account.records, account.indexed), (100, 100), "{reached:?}: {account}");
        flow.wait_for_log(r#""status": "timeout""#).await?;
        flow.finish().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_function_out_of_memory_loses_nothing() -> Result<()> {
    const N_EVENTS: usize = 2_000;
    let world = World::ready().await?;
    let options = FlowOptions {
        function: Function::Own(&[], 30),
        partitions: 1,
        batch_size: 10_000,
        ..FlowOptions::default()
    };
    let flow = world.flow("memory", options).await?;
    // Enough to start, but not for a batch of megabytes.
    world.lambda.set_memory(&flow.function, 16).await?;
    let text = "x".repeat(2_000);
    let records: Vec<_> =
        (0..N_EVENTS).map(|n| NewRecord::of(json!({"n": n, "text": text}).to_string())).collect();
    flow.publish(&records)?;
    flow.wait_for_log("Runtime.ExitError").await?;
    ensure!(flow.lag()? > 0, "records wait for memory");
    world.lambda.set_memory(&flow.function, 512).await?;
    let account = flow.completed(RECOVERY).await?;
    assert_eq!((account.records, account.indexed), (N_EVENTS, N_EVENTS), "{account}");
    flow.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_recreated_mapping_resumes_where_it_was_after_localstack_restarts() -> Result<()> {
    let world = World::ready().await?;
    let mut flow = world.flow("localstack", FlowOptions::default()).await?;
    let stream = Stream::start(&world, &flow, RATE)?;
    flow.wait_for_documents(200, RECOVERY).await?;
    world.stack.stop(Server::LocalStack).await?;
    stream.wait_for_more(200).await?;
    world.stack.start(Server::LocalStack).await?;
    world.stack.deploy(&[]).await?;
    flow.recreate_mapping().await?;
    stream.wait_for_more(200).await?;
    let sent = stream.stop().await?;
    let account = flow.completed(RECOVERY).await?;
    assert_eq!((account.records, account.indexed), (sent, sent), "{account}");
    flow.finish().await
}
