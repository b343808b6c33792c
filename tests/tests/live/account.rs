//! Documents that someone deletes are found by `kafka-to-search account` and by the scheduled function, and healed.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use account_records::config::AccountConfig;
use account_records::handler::{Handler, InvocationError};
use account_records::metrics;
use anyhow::{Context as _, Result, ensure};
use integration_tests::live::flow::{Flow, FlowOptions, Function};
use integration_tests::live::lambda::BatchFailures;
use integration_tests::live::program::ProgramAccount;
use integration_tests::live::search::{Hit, INDICES};
use integration_tests::live::world::World;
use integration_tests::workspace::repository;
use kafka_to_search::account::report::Report;
use kafka_to_search::aws_api::Aws;
use kafka_to_search::exit::Exit;
use kafka_to_search::msk_iam::MskIam;
use lambda_support::role::role_services;
use lambda_support::variables::variable;
use reqwest::Method;
use serde_json::{Value, json};

const DELIVERY: Duration = Duration::from_secs(90);
const N_EVENTS: usize = 20_000;
const N_DELETED: usize = 1_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_documents_deleted_at_random_are_found_and_healed() -> Result<()> {
    let world = World::ready().await?;
    let options = FlowOptions { batch_size: 1_000, ..FlowOptions::default() };
    let flow = world.flow("healed", options).await?;
    flow.publish_events(N_EVENTS)?;
    flow.completed(DELIVERY).await?;
    let before = flow.documents(INDICES).await?;

    let mut chosen = BTreeSet::new();
    while chosen.len() < N_DELETED {
        chosen.insert(fastrand::usize(..before.len()));
    }
    let deleted: Vec<&Hit> = chosen.iter().filter_map(|position| before.get(*position)).collect();
    delete(&world, &deleted).await?;

    let ProgramAccount { exit, report } = flow.program_account(&[]).await?;
    assert_eq!((exit, &report["total"]["missing"]), (Exit::Found, &json!(N_DELETED)));
    let expected: BTreeSet<_> = deleted.iter().map(|hit| place(&hit.source)).collect();
    assert_eq!(missing(&report), expected);
    ensure!(world.kafka.read(&flow.topic)?.len() == N_EVENTS, "nothing is published");

    let ProgramAccount { exit, report } = flow.program_account(&["--heal"]).await?;
    assert_eq!((exit, &report["complete"]), (Exit::Success, &json!(true)), "{report:#}");
    assert_eq!((&report["healed"]["records"], &report["healed"]["failed"]), (&json!(N_DELETED), &json!(0)));
    flow.completed(DELIVERY).await?;
    assert_eq!(flow.documents(INDICES).await?, before, "the same documents under the same ids");
    ensure!(world.kafka.read(&flow.topic)?.len() == N_EVENTS, "nothing is published");
    flow.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn records_that_the_function_fails_stay_missing_and_are_counted() -> Result<()> {
    let world = World::ready().await?;
    let options = FlowOptions { batch_failures: BatchFailures::Report, ..FlowOptions::default() };
    let flow = world.flow("unhealed", options).await?;
    flow.publish_events(50)?;
    flow.completed(DELIVERY).await?;
    let before = flow.documents(INDICES).await?;
    delete(&world, &before.iter().take(10).collect::<Vec<_>>()).await?;

    let path = format!("{INDICES}/_settings");
    let block = |value| json!({"index.blocks.write": value});
    world.search.request(Method::PUT, &path, Some(&block(json!(true)))).await?;
    let healed = flow.program_account(&["--heal"]).await;
    world.search.request(Method::PUT, &path, Some(&block(json!(null)))).await?;
    let ProgramAccount { exit, report } = healed?;
    assert_eq!((exit, &report["total"]["missing"]), (Exit::Found, &json!(10)), "{report:#}");
    assert_eq!((&report["healed"]["records"], &report["healed"]["failed"]), (&json!(0), &json!(10)));

    heal(&flow, 10).await?;
    assert_eq!(flow.documents(INDICES).await?, before);
    flow.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_scheduled_function_raises_its_alarm_while_records_are_missing() -> Result<()> {
    let world = World::ready().await?;
    let options = FlowOptions { function: Function::Own(&[], 30), ..FlowOptions::default() };
    let flow = world.flow("scheduled", options).await?;
    flow.publish_events(500)?;
    flow.completed(DELIVERY).await?;
    let handler = scheduled(&flow.function)?;
    let whole = handler.account(b"{}", in_a_minute()).await?;
    assert_eq!((whole.total().records(), whole.total().missing, whole.is_whole()), (500, 0, true));
    assert!(!raises_alarm(&whole)?);

    let documents = flow.documents(INDICES).await?;
    let deleted: Vec<&Hit> = documents.iter().skip(100).take(3).collect();
    delete(&world, &deleted).await?;
    let report = handler.account(b"{}", in_a_minute()).await?;
    assert_eq!((report.total().missing, report.is_whole()), (3, true));
    assert!(raises_alarm(&report)?);
    let response = handler.handle(br#"{"since": "1h"}"#, in_a_minute()).await?;
    assert_eq!(response["total"]["missing"], json!(3));
    assert_eq!(missing(&response), deleted.iter().map(|hit| place(&hit.source)).collect());

    // Without time, it is not known whether something is missing.
    let late = handler.handle(b"{}", 0).await;
    assert!(matches!(late, Err(InvocationError::NoTime)), "{late:?}");

    heal(&flow, 3).await?;
    assert!(!raises_alarm(&handler.account(b"{}", in_a_minute()).await?)?);
    flow.finish().await
}

/// The function, as infra/account.yaml configures it beside a function that indexes.
fn scheduled(index_function: &str) -> Result<Handler> {
    let rules = repository()?.join("infra/pipeline.yaml");
    let variables = [
        ("INDEX_FUNCTION".to_owned(), index_function.to_owned()),
        ("PIPELINE_FILE".to_owned(), rules.display().to_string()),
    ];
    let config = AccountConfig::parse(&variables.into())?;
    let (aws, secrets) = (Aws::new(variable)?, role_services(&variable));
    let iam = MskIam::new("unused", "unused", None, "eu-central-1");
    Ok(Handler::new(config, aws, iam, secrets, "account-records".into(), Duration::from_secs(1)))
}

fn in_a_minute() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (now + Duration::from_secs(60)).as_millis() as u64
}

/// Whether the metrics of a report are above the threshold of the template's alarm.
fn raises_alarm(report: &Report) -> Result<bool> {
    let template = std::fs::read_to_string(repository()?.join("infra/account.yaml"))?;
    let (_, alarm) = template.split_once("  MissingRecordsAlarm:\n").context("the template has the alarm")?;
    let property = |name: &str| {
        let line = alarm.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(": "));
        line.with_context(|| format!("the alarm has {name}"))
    };
    ensure!(property("ComparisonOperator")? == "GreaterThanThreshold" && property("Statistic")? == "Maximum");
    let line = metrics::lines(report, 0, "account-records").into_iter().next().context("a line")?;
    let line: Value = serde_json::from_str(&line)?;
    ensure!(line["_aws"]["CloudWatchMetrics"][0]["Namespace"] == property("Namespace")?);
    let value = line[property("MetricName")?].as_u64().context("the function has the metric of the alarm")?;
    Ok(value > property("Threshold")?.parse()?)
}

async fn heal(flow: &Flow, n: u64) -> Result<()> {
    let ProgramAccount { exit, report } = flow.program_account(&["--heal"]).await?;
    ensure!((exit, report["healed"]["records"].as_u64()) == (Exit::Success, Some(n)), "{report:#}");
    Ok(())
}

async fn delete(world: &World, hits: &[&Hit]) -> Result<()> {
    for index in hits.iter().map(|hit| &hit.index).collect::<BTreeSet<_>>() {
        let ids: Vec<&str> =
            hits.iter().filter(|hit| hit.index == *index).map(|hit| hit.id.as_str()).collect();
        let query = json!({"query": {"ids": {"values": ids}}});
        let path = format!("{index}/_delete_by_query?refresh=true");
        let response = world.search.request(Method::POST, &path, Some(&query)).await?;
        assert_eq!(response["deleted"], json!(ids.len()), "{response}");
    }
    Ok(())
}

fn place(source: &Value) -> (i64, i64) {
    let number = |name: &str| source[name].as_i64().unwrap_or(-1);
    (number("kafka_partition"), number("kafka_offset"))
}

/// Partitions and offsets of what a report calls missing.
fn missing(report: &Value) -> BTreeSet<(i64, i64)> {
    let number = |value: &Value| value.as_i64().unwrap_or(-1);
    let mut all = BTreeSet::new();
    for partition in report["topics"][0]["partitions"].as_array().into_iter().flatten() {
        for range in partition["missing_offsets"].as_array().into_iter().flatten() {
            let offsets = number(&range["first"])..=number(&range["last"]);
            all.extend(offsets.map(|offset| (number(&partition["partition"]), offset)));
        }
    }
    all
}
