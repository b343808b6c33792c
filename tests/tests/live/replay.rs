//! Dead letters are replayed by the deployed function: to the same ids, each removed only when its record is indexed.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration_tests::flow::{Flow, FlowOptions, Function, World};
use integration_tests::kafka::NewRecord;
use integration_tests::search::{DEAD_LETTERS, INDICES};
use reqwest::Method;
use serde_json::{Value, json};

const REPLAY: &str = "kafka-to-search-replay-dead-letters";
const RECOVERY: Duration = Duration::from_secs(120);
/// Indices of these tests alone, so that what their template refuses, only they do.
const PREFIX: &str = "microservices-replayed";
const DEAD: &str = "dead-letters-microservices-replayed";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn dead_letters_are_indexed_under_the_same_ids_once_the_index_is_mended() -> Result<()> {
    let world = World::ready().await?;
    let (flow, replay) = refused_records(&world, "replay", 60).await?;
    let before = ids(&flow, DEAD_LETTERS).await?;
    assert_eq!((before.len(), ids(&flow, INDICES).await?.len()), (60, 0));

    let event = json!({"service": flow.topic, "error_type": "mapper_parsing_exception", "dry_run": true});
    let dry = invoke(&world, &replay, &event).await?;
    assert_eq!((&dry["matched"], &dry["complete"]), (&json!(60), &json!(true)), "{dry}");
    assert_eq!(ids(&flow, DEAD_LETTERS).await?, before, "a dry run changes nothing");

    // Nothing is mended yet: each is refused again, met once, and kept.
    let event = json!({"service": flow.topic});
    let refused = invoke(&world, &replay, &event).await?;
    let counts = (&refused["complete"], &refused["read"], &refused["refused"], &refused["removed"]);
    assert_eq!(counts, (&json!(true), &json!(60), &json!(60), &json!(0)), "{refused}");
    assert_eq!(ids(&flow, DEAD_LETTERS).await?, before);

    mend(&world).await?;
    let replayed = invoke(&world, &replay, &event).await?;
    let counts = (&replayed["complete"], &replayed["indexed"], &replayed["removed"], &replayed["refused"]);
    assert_eq!(counts, (&json!(true), &json!(60), &json!(60), &json!(0)), "{replayed}");
    let account = flow.account().await?;
    ensure!(account.is_whole(), "{account}");
    assert_eq!((account.indexed, account.dead_lettered), (60, 0), "{account}");
    assert_eq!(ids(&flow, INDICES).await?, before, "the documents have the ids of the dead letters");
    finish(&world, flow, &replay).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_replay_killed_in_the_middle_ends_in_the_same_place_when_it_is_run_again() -> Result<()> {
    let world = World::ready().await?;
    let (flow, replay) = refused_records(&world, "replay-killed", 3_000).await?;
    let before = ids(&flow, DEAD_LETTERS).await?;
    mend(&world).await?;
    let event = json!({"service": flow.topic});
    let running = tokio::spawn({
        let (world, replay, event) = (world.clone(), replay.clone(), event.clone());
        async move { world.lambda.invoke(&replay, event.to_string().as_bytes()).await }
    });
    integration_tests::poll::until("documents of the replay", RECOVERY, async || {
        let n_documents = ids(&flow, INDICES).await?.len();
        Ok(integration_tests::poll::Look::at(n_documents > 0, || "none".to_owned()))
    })
    .await?;
    // It may have ended by itself on a quick machine; what follows has to hold all the same.
    let _killed = world.stack.kill_function(&replay).await?;
    let _answer = running.await?;
    let (documents, letters) = (ids(&flow, INDICES).await?, ids(&flow, DEAD_LETTERS).await?);
    assert_eq!(&documents | &letters, before, "each record is in the index or a dead letter, at any time");

    let again = invoke(&world, &replay, &event).await?;
    assert_eq!(again["complete"], json!(true), "{again}");
    let account = flow.account().await?;
    ensure!(account.is_whole(), "{account}");
    assert_eq!((account.indexed, account.dead_lettered), (3_000, 0), "{account}");
    finish(&world, flow, &replay).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_request_that_is_not_valid_is_refused_with_the_mend() -> Result<()> {
    let world = World::ready().await?;
    let answer = world.lambda.invoke(REPLAY, b"{}").await?;
    ensure!(answer.function_error.is_some(), "{answer:?}");
    assert_eq!(answer.payload["errorType"], json!("BadRequest"));
    ensure!(
        answer.payload["errorMessage"].as_str().is_some_and(|text| text.contains("\"all\": true")),
        "{answer:?}"
    );
    Ok(())
}

/// Publishes records that the index refuses, and returns when all of them are dead letters; with the name of a replay
/// function that has the same set-up.
async fn refused_records(world: &World, name: &str, n_records: usize) -> Result<(Flow, String)> {
    let template = json!({
        "index_patterns": [format!("{PREFIX}-*")], "priority": 900,
        "template": {"mappings": {"properties": {"@timestamp": {"type": "date"}, "amount": {"type": "integer"}}}},
    });
    // An index that an earlier test has left was made by another template, and refuses nothing.
    world.search.request(Method::DELETE, &format!("{PREFIX}-*"), None).await?;
    world.search.request(Method::PUT, "_index_template/tests-replayed", Some(&template)).await?;
    let variables: &[(&str, &str)] = &[("INDEX_PREFIX", PREFIX), ("DEAD_LETTER_PREFIX", DEAD)];
    let function = Function::Own(variables, 60);
    let flow = world.flow(name, FlowOptions { function, ..FlowOptions::default() }).await?;
    let replay = format!("test-{}", flow.topic.replace('.', "-"));
    world.lambda.copy(REPLAY, &replay, variables, 300).await?;
    let value = |n: usize| json!({"n": n, "amount": format!("{n} euros")}).to_string();
    let records: Vec<_> = (0..n_records).map(|n| NewRecord::of(value(n))).collect();
    flow.publish(&records)?;
    let account = flow.settled(RECOVERY).await?;
    assert_eq!((account.records, account.dead_lettered), (n_records, n_records), "{account}");
    Ok((flow, replay))
}

/// Mends what refused the records: the template, and the indices that were made by it.
async fn mend(world: &World) -> Result<()> {
    world.search.request(Method::DELETE, "_index_template/tests-replayed", None).await?;
    world.search.request(Method::DELETE, &format!("{PREFIX}-*"), None).await.map(drop)
}

async fn invoke(world: &World, function: &str, event: &Value) -> Result<Value> {
    let answer = world.lambda.invoke(function, event.to_string().as_bytes()).await?;
    ensure!(answer.function_error.is_none(), "{answer:?}");
    Ok(answer.payload)
}

async fn ids(flow: &Flow, indices: &str) -> Result<BTreeSet<String>> {
    Ok(flow.documents(indices).await?.into_iter().map(|hit| hit.id).collect())
}

async fn finish(world: &World, flow: Flow, replay: &str) -> Result<()> {
    world.lambda.delete_function(replay).await.context("the replay function of the test")?;
    flow.finish().await
}
