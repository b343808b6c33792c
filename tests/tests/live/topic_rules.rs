//! The rules of topics in the deployed functions: routing, redaction, dropping, sampling, failures, and another file without a
//! build.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration_tests::live::flow::{Flow, FlowOptions, Function};
use integration_tests::live::kafka::NewRecord;
use integration_tests::live::lambda::{DEPLOYED, Invocation};
use integration_tests::live::search::{DEAD_LETTERS, Hit, INDICES, of_topic};
use integration_tests::live::world::{World, now_ms};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use testing::kafka_event::{EventRecord, payload};

const REPLAY: &str = "kafka-to-search-replay-dead-letters";
const DELIVERY: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn events_are_routed_by_a_field_and_lose_what_is_removed() -> Result<()> {
    let world = World::ready().await?;
    let rules = Rules::new(
        r#"
topics:
  - match: "routed-*"
    index: "microservices-routed-{payload.tenant|unknown}"
    remove: [card.cvv]
"#,
    )?;
    let flow = rules.flow(&world, "routed").await?;
    let card = json!({"holder": "A", "cvv": "987"});
    let values = (0..60).map(|n| match n % 3 {
        0 => json!({"n": n, "tenant": "acme", "card": card}),
        1 => json!({"n": n, "tenant": "Zeta Ltd", "card": card}),
        _ => json!({"n": n, "card": card}),
    });
    flow.publish(&records(values))?;

    let account = flow.completed(DELIVERY).await?;
    assert_eq!((account.indexed, account.dead_lettered), (60, 0), "{account}");
    for hit in flow.documents(INDICES).await? {
        let tenant = match hit.source["tenant"].as_str() {
            Some("acme") => "acme",
            Some(_) => "zeta",
            None => "unknown",
        };
        ensure!(hit.index.starts_with(&format!("microservices-routed-{tenant}")), "{hit:?}");
        assert_eq!(hit.source["card"], json!({"holder": "A"}), "{hit:?}");
    }
    flow.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn events_are_redacted_and_dropped_by_a_transform() -> Result<()> {
    let world = World::ready().await?;
    let rules = Rules::new(
        r#"
topics:
  - match: "redacted-*"
    transform: |
      if .level == "debug" { abort }
      .card = redact!(.card, filters: [r'\b(?:\d[ -]?){12,18}\d\b'])
"#,
    )?;
    let function = rules.function(&world, "redacted").await?;
    let topic = topic("redacted");
    let level = |n: usize| if n.is_multiple_of(4) { "debug" } else { "info" };
    let event = |n| json!({"n": n, "level": level(n), "card": {"number": "4111 1111 1111 1111"}});
    let values: Vec<_> = (0..100).map(event).collect();

    let delivered = deliver(&world, &function, &topic, 0, &values).await?;
    assert_eq!(["n_indexed", "n_dropped"].map(|name| delivered.logged(name)), [Some(75), Some(25)]);
    for hit in world.search.all(INDICES, &of_topic(&topic)).await? {
        assert_eq!(hit.source["card"], json!({"number": "[REDACTED]"}), "{hit:?}");
        ensure!(!hit.source.to_string().contains("4111"), "{hit:?}");
    }
    world.lambda.delete_function(&function).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_field_of_many_values_makes_no_more_indices_than_the_rules_allow() -> Result<()> {
    let world = World::ready().await?;
    let rules = Rules::new(
        r#"
max_indices: 3
topics:
  - match: "capped-*"
    index: "microservices-capped-{payload.tenant|unknown}"
"#,
    )?;
    let function = rules.function(&world, "capped").await?;
    let topic = topic("capped");
    let values: Vec<_> = (0..200).map(|n| json!({"n": n, "tenant": format!("t{}", n % 50)})).collect();

    let first = deliver(&world, &function, &topic, 0, &values).await?;
    assert_eq!(["n_received", "n_indexed"].map(|name| first.logged(name)), [Some(200), Some(200)]);
    let documents = world.search.all(INDICES, &of_topic(&topic)).await?;
    assert_eq!(documents.len(), 200, "all are there");
    let indices: BTreeSet<_> = documents.iter().map(|hit| hit.index.as_str()).collect();
    let fallback = |index: &str| index.starts_with("microservices-capped-unknown-");
    ensure!(indices.iter().filter(|index| !fallback(index)).count() <= 3, "{indices:?}");
    for hit in &documents {
        let is_tagged = has_tag(hit, "_indexoverflow");
        assert_eq!(
            is_tagged,
            fallback(&hit.index),
            "what is beyond is in the fallback, and says so: {hit:?}"
        );
    }
    let n_beyond = documents.iter().filter(|hit| fallback(&hit.index)).count();
    ensure!((188..200).contains(&n_beyond), "{n_beyond} are beyond");

    let second = deliver(&world, &function, &topic, 0, &values).await?;
    assert_eq!(["n_indexed", "n_duplicates"].map(|name| second.logged(name)), [Some(0), Some(200)]);
    world.lambda.delete_function(&function).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn records_are_dropped_and_sampled_alike_whenever_they_are_delivered() -> Result<()> {
    let world = World::ready().await?;
    let rules = Rules::new(
        r#"
topics:
  - match: "sampled-*"
    sample: 0.3
  - match: "dropped-*"
    drop: true
"#,
    )?;
    let function = rules.function(&world, "sampled").await?;
    let values: Vec<_> = (0..1_000).map(|n| json!({"n": n})).collect();
    let counts =
        |response: &Invocation| ["n_received", "n_indexed", "n_dropped"].map(|name| response.logged(name));

    let dropped = deliver(&world, &function, &topic("dropped"), 0, &values).await?;
    assert_eq!(counts(&dropped), [Some(1_000), Some(0), Some(1_000)]);

    let topic = topic("sampled");
    let sampled = deliver(&world, &function, &topic, 0, &values).await?;
    let before = ids(&world, &topic).await?;
    ensure!((250..350).contains(&before.len()), "{} of 1,000 are not 0.3", before.len());
    assert_eq!(sampled.logged("n_dropped"), Some(1_000 - before.len() as u64));
    // Another batch with other neighbours, as after a failure.
    let again = deliver(&world, &function, &topic, 500, values.get(500..).unwrap_or_default()).await?;
    assert_eq!(again.logged("n_indexed"), Some(0), "what was dropped stays dropped");
    assert_eq!(ids(&world, &topic).await?, before);
    world.lambda.delete_function(&function).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_record_whose_transform_fails_is_a_dead_letter_until_the_rules_are_fixed() -> Result<()> {
    let world = World::ready().await?;
    let rules = Rules::new(&totals("to_int!(.total)"))?;
    let flow = rules.flow(&world, "transformed").await?;
    let values =
        (0..50).map(|n| json!({"n": n, "total": if n % 5 == 0 { "many".to_owned() } else { n.to_string() }}));
    flow.publish(&records(values))?;

    let account = flow.completed(DELIVERY).await?;
    assert_eq!((account.indexed, account.dead_lettered), (40, 10), "{account}");
    let dead = flow.documents(DEAD_LETTERS).await?;
    for hit in &dead {
        ensure!(hit.source["error"]["type"] == "transform_failure", "{hit:?}");
        ensure!(hit.source.to_string().contains("many"), "the record as it came: {hit:?}");
    }
    let dead: BTreeSet<_> = dead.into_iter().map(|hit| hit.id).collect();

    rules.write(&totals("to_int(.total) ?? -1"))?;
    let replay = format!("test-replay-{:x}", now_ms());
    world.lambda.copy(REPLAY, &replay, &[("PIPELINE_FILE", rules.path()?)], 300).await?;
    let event = json!({"service": flow.topic}).to_string();
    let replayed = world.lambda.invoke(&replay, event.as_bytes()).await?;
    ensure!(replayed.function_error.is_none(), "{replayed:?}");
    let counts = ["indexed", "removed"].map(|name| replayed.payload[name].clone());
    assert_eq!(counts, [json!(10), json!(10)], "{}", replayed.payload);
    let account = flow.account().await?;
    ensure!(account.is_complete() && account.indexed == 50 && account.dead_lettered == 0, "{account}");
    for hit in flow.documents(INDICES).await? {
        let n = hit.source["n"].as_i64().context("n is there")?;
        assert_eq!(hit.source["total"], json!(if n % 5 == 0 { -1 } else { n }), "{hit:?}");
        assert_eq!(dead.contains(&hit.id), n % 5 == 0, "the id stays: {hit:?}");
    }
    world.lambda.delete_function(&replay).await?;
    flow.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_record_whose_transform_fails_is_indexed_as_it_came_where_the_rules_say_so() -> Result<()> {
    let world = World::ready().await?;
    let rules = Rules::new(&format!("{}    on_error: index\n", totals("to_int!(.total)")))?;
    let flow = rules.flow(&world, "transformed").await?;
    let values =
        (0..20).map(|n| json!({"n": n, "total": if n % 5 == 0 { "many".to_owned() } else { n.to_string() }}));
    flow.publish(&records(values))?;

    let account = flow.completed(DELIVERY).await?;
    assert_eq!((account.indexed, account.dead_lettered), (20, 0), "{account}");
    for hit in flow.documents(INDICES).await? {
        let n = hit.source["n"].as_i64().context("n is there")?;
        let failed = n % 5 == 0;
        assert_eq!(has_tag(&hit, "_transformfailure"), failed, "{hit:?}");
        assert_eq!(hit.source["total"], if failed { json!("many") } else { json!(n) }, "{hit:?}");
    }
    flow.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn another_file_takes_effect_by_a_deployment_without_a_build() -> Result<()> {
    let world = World::ready().await?;
    let shipped = world.stack.file("infra/pipeline.yaml");
    let flow = world.flow("deployed-rules", FlowOptions::default()).await?;
    let (code, layers) = world.lambda.code_and_layers(DEPLOYED).await?;
    flow.publish(&records((0..10).map(|n| json!({"n": n, "secret": "s3cr3t"}))))?;
    flow.completed(DELIVERY).await?;

    let rules = Rules::new(
        r#"
topics:
  - match: "deployed-rules-*"
    index: "microservices-shaped-{service}"
    remove: [secret]
  - match: "elsewhere.*"
    index: "test-elsewhere-{topic}"
"#,
    )?;
    world.stack.deploy_rules(Path::new(rules.path()?)).await?;
    let (same_code, other_layers) = world.lambda.code_and_layers(DEPLOYED).await?;
    assert_eq!(code, same_code, "nothing was built");
    assert_ne!(layers, other_layers);
    flow.publish(&records((10..20).map(|n| json!({"n": n, "secret": "s3cr3t"}))))?;
    flow.completed(DELIVERY).await?;
    for hit in flow.documents(INDICES).await? {
        let is_old = hit.source["n"].as_i64() < Some(10);
        assert_eq!(hit.source.get("secret").is_some(), is_old, "{hit:?}");
        assert_eq!(hit.index.starts_with("microservices-shaped-deployed-rules-"), !is_old, "{hit:?}");
    }
    // The cluster is provisioned for the indices that the file routes to, in the same deployment.
    let patterns = "/index_templates/0/index_template/index_patterns";
    let template = world.search.request(Method::GET, "_index_template/microservices", None).await?;
    let expected = json!(["microservices-*", "microservices-shaped-*", "test-elsewhere-*"]);
    assert_eq!(template.pointer(patterns), Some(&expected), "{template}");

    world.stack.deploy_rules(&shipped).await?;
    let template = world.search.request(Method::GET, "_index_template/microservices", None).await?;
    assert_eq!(template.pointer(patterns), Some(&json!(["microservices-*"])), "{template}");
    flow.finish().await
}

/// A file with rules of topics, for functions of the tests' own: they run on this machine and read it by its path.
struct Rules(NamedTempFile);

impl Rules {
    fn new(text: &str) -> Result<Self> {
        let rules = Self(NamedTempFile::with_suffix(".yaml")?);
        rules.write(text)?;
        Ok(rules)
    }

    /// Replaces the text. Functions that have started keep the earlier one.
    fn write(&self, text: &str) -> Result<()> {
        let mut file = self.0.reopen()?;
        file.set_len(0)?;
        Ok(file.write_all(text.as_bytes())?)
    }

    fn path(&self) -> Result<&str> {
        self.0.path().to_str().context("the path is UTF-8")
    }

    /// A topic whose records go through a function with these rules.
    async fn flow(&self, world: &World, name: &str) -> Result<Flow> {
        let variables: &[(&str, &str)] = &[("PIPELINE_FILE", self.path()?)];
        let function = Function::Own(variables, 60);
        world.flow(name, FlowOptions { function, ..FlowOptions::default() }).await
    }

    /// A function with these rules, to be invoked by the test.
    async fn function(&self, world: &World, name: &str) -> Result<String> {
        let name = format!("test-{name}-{:x}", now_ms());
        world.lambda.copy_deployed(&name, &[("PIPELINE_FILE", self.path()?)], 60).await?;
        Ok(name)
    }
}

fn totals(script: &str) -> String {
    format!("topics:\n  - match: \"transformed-*\"\n    transform: |\n      .total = {script}\n")
}

fn topic(name: &str) -> String {
    format!("{name}-{:x}.events", now_ms())
}

fn records(values: impl IntoIterator<Item = Value>) -> Vec<NewRecord> {
    values.into_iter().map(|value| NewRecord::of(value.to_string())).collect()
}

/// Invokes a function with one batch of a partition, from an offset on. The same offset is the same record.
async fn deliver(
    world: &World,
    function: &str,
    topic: &str,
    first_offset: i64,
    values: &[Value],
) -> Result<Invocation> {
    let batch = (first_offset..).zip(values).map(|(offset, value)| EventRecord {
        topic: topic.to_owned(),
        partition: 0,
        offset,
        timestamp_ms: 1_795_000_000_000 + offset,
        key: None,
        value: Some(value.to_string().into_bytes()),
        headers: Vec::new(),
    });
    let response = world.lambda.invoke(function, payload(batch).to_string().as_bytes()).await?;
    ensure!(response.function_error.is_none(), "{response:?}");
    Ok(response)
}

async fn ids(world: &World, topic: &str) -> Result<BTreeSet<String>> {
    let documents = world.search.all(INDICES, &of_topic(topic)).await?;
    Ok(documents.into_iter().map(|hit| hit.id).collect())
}

fn has_tag(hit: &Hit, tag: &str) -> bool {
    hit.source["tags"].as_array().is_some_and(|tags| tags.iter().any(|each| each == tag))
}
