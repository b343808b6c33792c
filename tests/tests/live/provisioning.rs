//! The cluster's configuration as a CloudFormation custom resource: created, updated and deleted by the deployed function, and
//! failures that name their reason.
//!
//! The tests have stacks of their own with only the custom resource, which invoke the function that the template deployed.
//! CloudFormation is LocalStack's, with the project's provider of custom resources.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::Method;
use integration_tests::live::poll::{Check, until};
use integration_tests::live::world::World;
use kafka_poller::aws::{Aws, Call};
use reqwest::Url;
use serde_json::{Value, json};

/// The function that the template deploys.
const DEPLOYED: &str = "kafka-to-search-provision-cluster";
/// The template's own stack.
const STACK: &str = "kafka-to-search";
/// Longer than a failure may take to reach CloudFormation.
const A_MINUTE: Duration = Duration::from_secs(60);

/// CloudFormation, with one stack of the test's own.
struct Stack {
    aws: Aws,
    name: String,
    function: String,
}

impl Stack {
    fn new(world: &World, name: &str, function: &str) -> Result<Self> {
        let aws = Aws::new(Some(&world.stack.aws_endpoint), "us-east-1", |name| {
            matches!(name, "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY").then(|| "test".to_owned())
        })?;
        Ok(Self { aws, name: name.to_owned(), function: function.to_owned() })
    }

    /// Creates the stack; returns its final status.
    async fn create(&self, properties: &Value) -> Result<String> {
        let template = self.template(properties);
        self.call("CreateStack", &[("TemplateBody", &template), ("OnFailure", "ROLLBACK")]).await?;
        self.final_status().await
    }

    async fn update(&self, properties: &Value) -> Result<String> {
        self.call("UpdateStack", &[("TemplateBody", &self.template(properties))]).await?;
        self.final_status().await
    }

    /// Deletes the stack; returns when it is gone.
    async fn delete(&self) -> Result<()> {
        self.call("DeleteStack", &[]).await?;
        until("the stack to be deleted", A_MINUTE, async || {
            let status = self.status().await?;
            Ok(Check::at(status.is_none_or(|status| status == "DELETE_COMPLETE"), || "not yet".to_owned()))
        })
        .await
    }

    /// The status reasons of the resources, one per line.
    async fn reasons(&self) -> Result<String> {
        let events = self.call("DescribeStackEvents", &[]).await?;
        Ok(elements(&events, "ResourceStatusReason").join("\n"))
    }

    async fn output(&self, key: &str) -> Result<String> {
        let described = self.call("DescribeStacks", &[]).await?;
        let keys = elements(&described, "OutputKey");
        let position =
            keys.iter().position(|known| known == key).context(format!("no output {key} in {keys:?}"))?;
        elements(&described, "OutputValue").into_iter().nth(position).context("an output has a value")
    }

    async fn status(&self) -> Result<Option<String>> {
        match self.call("DescribeStacks", &[]).await {
            Ok(described) => Ok(elements(&described, "StackStatus").into_iter().next()),
            Err(error) if format!("{error:#}").contains("does not exist") => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn final_status(&self) -> Result<String> {
        until("the stack to finish", 2 * A_MINUTE, async || {
            let status = self.status().await?.context("the stack exists")?;
            let is_final = !status.ends_with("_IN_PROGRESS");
            Ok(if is_final { Check::Done(status) } else { Check::NotYet(status) })
        })
        .await
    }

    fn template(&self, properties: &Value) -> String {
        let mut all = json!({
            "ServiceToken": format!("arn:aws:lambda:us-east-1:000000000000:function:{}", self.function),
            "ServiceTimeout": 120,
        });
        for (name, value) in properties.as_object().into_iter().flatten() {
            all[name] = value.clone();
        }
        let attribute = |name: &str| json!({"Value": {"Fn::GetAtt": ["Cluster", name]}});
        json!({
            "Resources": {"Cluster": {"Type": "Custom::SearchCluster", "Properties": all}},
            "Outputs": {"Applied": attribute("Applied"), "NotApplied": attribute("NotApplied")},
        })
        .to_string()
    }

    async fn call(&self, action: &str, parameters: &[(&str, &str)]) -> Result<String> {
        let mut form = vec![("Action", action), ("Version", "2010-05-15"), ("StackName", &self.name)];
        form.extend_from_slice(parameters);
        let body = Url::parse_with_params("http://localhost/", &form)?;
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let call = Call {
            service: "cloudformation",
            region: None,
            method: Method::POST,
            path: "/",
            headers: &headers,
            body: Bytes::from(body.query().unwrap_or_default().to_owned()),
        };
        let response = self.aws.call(call).await.with_context(|| format!("{action} {}", self.name))?;
        Ok(String::from_utf8(response.body.to_vec())?)
    }
}

/// The texts of all elements with this name.
fn elements(xml: &str, name: &str) -> Vec<String> {
    let (begin, end) = (format!("<{name}>"), format!("</{name}>"));
    let texts = xml.split(&begin).skip(1).filter_map(|rest| rest.split_once(&end));
    texts.map(|(text, _)| text.replace("&quot;", "\"").replace("&apos;", "'").replace("&amp;", "&")).collect()
}

async fn refresh_interval(world: &World, path: &str, pointer: &str) -> Result<Value> {
    let response = world.search.request(Method::GET, path, None).await?;
    Ok(response.pointer(pointer).cloned().unwrap_or(Value::Null))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cluster_is_created_updated_and_deleted_and_keeps_its_data_unless_deletion_is_requested()
-> Result<()> {
    let world = World::ready().await?;
    let prefix = "provisioned";
    let index = format!("{prefix}-2026.01.01");
    let stack = Stack::new(&world, "test-provisioned", DEPLOYED)?;
    let settings = format!("_component_template/{prefix}-settings");
    let interval = "/component_templates/0/component_template/template/settings/index/refresh_interval";

    let first = json!({"IndexPrefix": prefix, "RetentionDays": 90, "RefreshInterval": "7s"});
    let status = stack.create(&first).await?;
    ensure!(status == "CREATE_COMPLETE", "{status}: {}", stack.reasons().await?);
    let applied: u32 = stack.output("Applied").await?.parse()?;
    ensure!(applied >= 5, "{applied} applied");
    // This OpenSearch has no index management.
    let not_applied = stack.output("NotApplied").await?;
    ensure!(not_applied.contains("lifecycle"), "{not_applied}");
    ensure!(refresh_interval(&world, &settings, interval).await? == "7s");
    let event = json!({"@timestamp": "2026-01-01T00:00:00.000Z", "orderId": "o-1"});
    world.search.request(Method::PUT, &format!("{index}/_doc/1?refresh=true"), Some(&event)).await?;
    let mapping = world.search.request(Method::GET, &format!("{index}/_mapping"), None).await?;
    let field_type = &mapping[&index]["mappings"]["properties"]["orderId"]["type"];
    ensure!(field_type == "keyword", "the template is not applied: {mapping}");

    let changed = json!({"IndexPrefix": prefix, "RetentionDays": 30, "RefreshInterval": "5s"});
    let status = stack.update(&changed).await?;
    ensure!(status == "UPDATE_COMPLETE", "{status}: {}", stack.reasons().await?);
    ensure!(refresh_interval(&world, &settings, interval).await? == "5s");

    stack.delete().await?;
    let kept = world.search.request(Method::GET, &format!("{index}/_count"), None).await?;
    ensure!(kept["count"] == 1, "{kept}");
    ensure!(
        refresh_interval(&world, &settings, interval).await? == "5s",
        "kept indices need their templates"
    );

    let with_data = json!({"IndexPrefix": prefix, "RetentionDays": 30, "DeleteData": "true"});
    let status = stack.create(&with_data).await?;
    ensure!(status == "CREATE_COMPLETE", "{status}: {}", stack.reasons().await?);
    stack.delete().await?;
    let left =
        world.search.request(Method::GET, &format!("_cat/indices/{prefix}-*?format=json"), None).await?;
    ensure!(left == json!([]), "{left}");
    let templates = world.search.request(Method::GET, "_index_template?filter_path=**.name", None).await?;
    ensure!(!templates.to_string().contains(prefix), "{templates}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn bad_properties_fail_the_stack_with_all_problems_at_once() -> Result<()> {
    let world = World::ready().await?;
    let stack = Stack::new(&world, "test-bad-properties", DEPLOYED)?;
    let begin = Instant::now();

    let bad = json!({"IndexPrefix": "Bad", "RetentionDays": "long", "Shards": 0, "Retention": 3});
    let status = stack.create(&bad).await?;

    ensure!(begin.elapsed() < A_MINUTE, "it took {:?}", begin.elapsed());
    ensure!(["CREATE_FAILED", "ROLLBACK_COMPLETE"].contains(&status.as_str()), "{status}");
    let reasons = stack.reasons().await?;
    for named in
        ["IndexPrefix", "`Bad` must be lowercase", "RetentionDays", "`long`", "Shards", "Retention: unknown"]
    {
        ensure!(reasons.contains(named), "{named} is not reported: {reasons}");
    }
    stack.delete().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cluster_out_of_reach_fails_the_stack_within_a_minute() -> Result<()> {
    let world = World::ready().await?;
    let function = "test-provision-unreachable";
    // Nothing listens on port 9 of the loopback address.
    let endpoint = "http://127.0.0.1:9";
    world.lambda.copy(DEPLOYED, function, &[("SEARCH_ENDPOINT", endpoint)], 110).await?;
    let stack = Stack::new(&world, "test-unreachable", function)?;
    let begin = Instant::now();

    let status = stack.create(&json!({"IndexPrefix": "unreachable"})).await?;

    ensure!(begin.elapsed() < A_MINUTE, "it took {:?}", begin.elapsed());
    ensure!(["CREATE_FAILED", "ROLLBACK_COMPLETE"].contains(&status.as_str()), "{status}");
    let reasons = stack.reasons().await?;
    ensure!(reasons.contains("could not be reached") && reasons.contains("127.0.0.1:9"), "{reasons}");
    stack.delete().await?;
    world.lambda.delete_function(function).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn changed_parameters_of_the_template_reach_the_cluster_and_the_mappings() -> Result<()> {
    let world = World::ready().await?;
    let runs = async || {
        let log = world.lambda.log(DEPLOYED).await?;
        anyhow::Ok(log.iter().filter(|line| line.contains("responding to CloudFormation: success")).count())
    };
    let n_runs = runs().await?;

    let topics = ["order.events", "inventory.events", "notification.events"].map(|topic| json!([topic]));
    let pollers = async || {
        let mappings = world.lambda.mappings().await?;
        let of_template = mappings.iter().filter(|mapping| topics.contains(&mapping["Topics"]));
        anyhow::Ok(
            of_template.map(|it| it["ProvisionedPollerConfig"]["MinimumPollers"].clone()).collect::<Vec<_>>(),
        )
    };
    assert_eq!(pollers().await?, vec![Value::Null; 3]);

    world.stack.deploy(&["RetentionDays=45", "RefreshInterval=11s", "Preset=latency"]).await?;

    ensure!(runs().await? > n_runs, "the function was not invoked");
    let stack = Stack::new(&world, STACK, DEPLOYED)?;
    let output = stack.output("SearchClusterProvisioned").await?;
    ensure!(output.contains(" applied; not applied: "), "{output}");
    let settings = "_component_template/microservices-settings";
    let interval = "/component_templates/0/component_template/template/settings/index/refresh_interval";
    ensure!(refresh_interval(&world, settings, interval).await? == "11s");
    assert_eq!(pollers().await?, vec![json!(1); 3]);
    world.stack.deploy(&["RetentionDays=90", "RefreshInterval=preset", "Preset=balanced"]).await?;
    assert_eq!(pollers().await?, vec![Value::Null; 3]);
    Ok(())
}
