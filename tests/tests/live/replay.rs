//! The deployed function replays dead letters under the same ids and removes each only when its record is indexed.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration_tests::live::flow::{Flow, FlowOptions, Function};
use integration_tests::live::kafka::NewRecord;
use integration_tests::live::poll::{Check, until};
use integration_tests::live::search::{DEAD_LETTERS, INDICES};
use integration_tests::live::world::World;
use reqwest::Method;
use serde_json::{Value, json};

const REPLAY: &str = "kafka-to-search-replay-dead-letters";
const RECOVERY: Duration = Duration::from_secs(120);
/// Indices of these tests only, so that no other index rejects what theirs do.
const PREFIX: &str = "microservices-replayed";
const DEAD: &str = "dead-letters-microservices-replayed";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn dead_letters_are_indexed_under_the_same_ids_once_the_index_is_fixed() -> Result<()> {
    let world = World::ready().await?;
    let (flow, replay) = rejected_records(&world, "replay", 60).await?;
    let before = ids(&flow, DEAD_LETTERS).await?;
    assert_eq!((before.len(), ids(&flow, INDICES).await?.len()), (60, 0));

    let event = json!({"service": flow.topic, "error_type": "mapper_parsing_exception", "dry_run": true});
    let dry = invoke(&world, &replay, &event).await?;
    assert_eq!((&dry["matched"], &dry["complete"]), (&json!(60), &json!(true)), "{dry}");
    assert_eq!(ids(&flow, DEAD_LETTERS).await?, before, "a dry run changes nothing");

    // Nothing is fixed yet: each is tried once, rejected again, and kept.
    let event = json!({"service": flow.topic});
    let refused = invoke(&world, &replay, &event).await?;
    let counts = (&refused["complete"], &refused["read"], &refused["refused"], &refused["removed"]);
    assert_eq!(counts, (&json!(true), &json!(60), &json!(60), &json!(0)), "{refused}");
    assert_eq!(ids(&flow, DEAD_LETTERS).await?, before);

    fix_index(&world).await?;
    let replayed = invoke(&world, &replay, &event).await?;
    let counts = (&replayed["complete"], &replayed["indexed"], &replayed["removed"], &replayed["refused"]);
    assert_eq!(counts, (&json!(true), &json!(60), &json!(60), &json!(0)), "{replayed}");
    let account = flow.account().await?;
    ensure!(account.is_complete(), "{account}");
    assert_eq!((account.indexed, account.dead_lettered), (60, 0), "{account}");
    assert_eq!(ids(&flow, INDICES).await?, before, "the documents have the ids of the dead letters");
    finish(&world, flow, &replay).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_replay_killed_in_the_middle_ends_in_the_same_place_when_it_is_run_again() -> Result<()> {
    let world = World::ready().await?;
    let (flow, replay) = rejected_records(&world, "replay-killed", 3_000).await?;
    let before = ids(&flow, DEAD_LETTERS).await?;
    fix_index(&world).await?;
    let event = json!({"service": flow.topic});
    let running = tokio::spawn({
        let (world, replay, event) = (world.clone(), replay.clone(), event.clone());
        async move { world.lambda.invoke(&replay, event.to_string().as_bytes()).await }
    });
    until("documents of the replay", RECOVERY, async || {
        let n_documents = ids(&flow, INDICES).await?.len();
        Ok(Check::at(n_documents > 0, || "none".to_owned()))
    })
    .await?;
    // It may have finished on a fast machine; the rest must hold either way.
    let _killed = world.stack.kill_function(&replay).await?;
    let _response = running.await?;
    let (documents, dead_letters) = (ids(&flow, INDICES).await?, ids(&flow, DEAD_LETTERS).await?);
    assert_eq!(
        &documents | &dead_letters,
        before,
        "each record is in the index or a dead letter, at any time"
    );

    let again = invoke(&world, &replay, &event).await?;
    assert_eq!(again["complete"], json!(true), "{again}");
    let account = flow.account().await?;
    ensure!(account.is_complete(), "{account}");
    assert_eq!((account.indexed, account.dead_lettered), (3_000, 0), "{account}");
    finish(&world, flow, &replay).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_invalid_request_is_rejected_with_an_example() -> Result<()> {
    let world = World::ready().await?;
    let response = world.lambda.invoke(REPLAY, b"{}").await?;
    ensure!(response.function_error.is_some(), "{response:?}");
    assert_eq!(response.payload["errorType"], json!("BadRequest"));
    ensure!(
        response.payload["errorMessage"].as_str().is_some_and(|text| text.contains("\"all\": true")),
        "{response:?}"
    );
    Ok(())
}

/// Publishes records that the index rejects in every form, for a field of ours, and waits until all of them are dead letters. Also returns the name of a replay
/// function with the same configuration.
async fn rejected_records(world: &World, name: &str, n_records: usize) -> Result<(Flow, String)> {
    let template = json!({
        "index_patterns": [format!("{PREFIX}-*")], "priority": 900,
        "template": {"mappings": {"properties": {"@timestamp": {"type": "date"}, "platform": {"type": "ip"}}}},
    });
    // An index left by an earlier test has another template and rejects nothing.
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
    let account = flow.completed(RECOVERY).await?;
    assert_eq!((account.records, account.dead_lettered), (n_records, n_records), "{account}");
    Ok((flow, replay))
}

/// Removes the template that made the indices reject the records, and those indices.
async fn fix_index(world: &World) -> Result<()> {
    world.search.request(Method::DELETE, "_index_template/tests-replayed", None).await?;
    world.search.request(Method::DELETE, &format!("{PREFIX}-*"), None).await.map(drop)
}

async fn invoke(world: &World, function: &str, event: &Value) -> Result<Value> {
    let response = world.lambda.invoke(function, event.to_string().as_bytes()).await?;
    ensure!(response.function_error.is_none(), "{response:?}");
    Ok(response.payload)
}

async fn ids(flow: &Flow, indices: &str) -> Result<BTreeSet<String>> {
    Ok(flow.documents(indices).await?.into_iter().map(|hit| hit.id).collect())
}

async fn finish(world: &World, flow: Flow, replay: &str) -> Result<()> {
    world.lambda.delete_function(replay).await.context("the replay function of the test")?;
    flow.finish().await
}
