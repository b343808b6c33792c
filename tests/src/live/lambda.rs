//! Lambda as a test uses it: invocations, a test's own copies of the deployed functions, Kafka mappings.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::Method;
use kafka_poller::aws::{Aws, Call};
use serde_json::{Value, json};

use crate::live::poll::{Check, until};

/// The function that the template deploys.
pub const DEPLOYED: &str = "kafka-to-search-index-events";

const FUNCTIONS: &str = "/2015-03-31/functions";
const MAPPINGS: &str = "/2015-03-31/event-source-mappings/";

/// The Lambda API.
#[derive(Clone, Debug)]
pub struct Lambda {
    aws: Aws,
    endpoint: String,
}

/// The response to an invocation.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// What the function returned; for an error, its description.
    pub payload: Value,
    /// `Handled` or `Unhandled` if the function failed.
    pub function_error: Option<String>,
    /// The tail of its log.
    pub log: String,
}

impl Invocation {
    /// The number in a field of the last log line that has one, such as `n_duplicates` of "batch indexed".
    #[must_use]
    pub fn logged(&self, field: &str) -> Option<u64> {
        let lines = self.log.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter_map(|line| line.get(field).and_then(Value::as_u64)).next()
    }
}

/// A mapping to create.
#[derive(Clone, Debug)]
pub struct NewMapping {
    /// The function's name.
    pub function: String,
    /// The brokers.
    pub bootstrap_servers: String,
    /// The topic.
    pub topic: String,
    /// The consumer group.
    pub group: String,
    /// Most records in an invocation.
    pub batch_size: u32,
    /// How the function reports failed records, as its `BATCH_FAILURES` says.
    pub batch_failures: BatchFailures,
    /// When failed records go to a destination; `None` for never.
    pub on_failure: Option<OnFailure>,
}

/// When a mapping abandons records, and where they go then.
#[derive(Clone, Debug)]
pub struct OnFailure {
    /// Retries after the first invocation.
    pub retries: u32,
    /// The on-failure destination: an ARN or `kafka://TOPIC`.
    pub destination: String,
}

/// How a function reports failed records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchFailures {
    /// The invocation is an error.
    Error,
    /// The response names them.
    Report,
}

impl Lambda {
    /// Creates a client of the stack's LocalStack.
    ///
    /// # Errors
    /// When it can't be created.
    pub fn new(endpoint: &str) -> Result<Self> {
        let aws = Aws::new(Some(endpoint), "us-east-1", |name| {
            matches!(name, "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY").then(|| "test".to_owned())
        })?;
        Ok(Self { aws, endpoint: endpoint.to_owned() })
    }

    /// The client, for LocalStack's other services.
    #[must_use]
    pub fn aws(&self) -> Aws {
        self.aws.clone()
    }

    /// Invokes a function and waits for its response.
    ///
    /// # Errors
    /// When it was not invoked. An error of the function itself is in the response.
    pub async fn invoke(&self, function: &str, payload: &[u8]) -> Result<Invocation> {
        let path = format!("{FUNCTIONS}/{function}/invocations");
        let headers = [("x-amz-invocation-type", "RequestResponse"), ("x-amz-log-type", "Tail")];
        let body = Bytes::copy_from_slice(payload);
        let call = Call {
            service: "lambda",
            region: None,
            method: Method::POST,
            path: &path,
            headers: &headers,
            body,
        };
        let response = self.aws.call(call).await?;
        let log = BASE64_STANDARD.decode(response.header("x-amz-log-result").unwrap_or_default())?;
        Ok(Invocation {
            payload: serde_json::from_slice(&response.body)?,
            function_error: response.header("x-amz-function-error").map(str::to_owned),
            log: String::from_utf8_lossy(&log).into_owned(),
        })
    }

    /// Creates a function from the code of the deployed one, with other variables and timeout.
    ///
    /// # Errors
    /// When the API rejects the request, or the function does not become active.
    pub async fn copy_deployed(&self, name: &str, variables: &[(&str, &str)], timeout_s: u32) -> Result<()> {
        self.copy(DEPLOYED, name, variables, timeout_s).await
    }

    /// The checksum of a function's code, and the ARNs of its layer versions.
    ///
    /// # Errors
    /// When there is no such function.
    pub async fn code_and_layers(&self, name: &str) -> Result<(Value, Vec<Value>)> {
        let found = self.json(Method::GET, &format!("{FUNCTIONS}/{name}"), None).await?;
        Ok((found["Configuration"]["CodeSha256"].clone(), layers(&found["Configuration"])))
    }

    /// Creates a function from the code of `original`, with other variables and timeout.
    ///
    /// # Errors
    /// When the API rejects the request, or the function does not become active.
    pub async fn copy(
        &self,
        original: &str,
        name: &str,
        variables: &[(&str, &str)],
        timeout_s: u32,
    ) -> Result<()> {
        let deployed = self.json(Method::GET, &format!("{FUNCTIONS}/{original}"), None).await?;
        let configuration = &deployed["Configuration"];
        let mut all: BTreeMap<String, Value> =
            serde_json::from_value(configuration["Environment"]["Variables"].clone())?;
        all.extend(variables.iter().map(|(name, text)| ((*name).to_owned(), json!(text))));
        let body = json!({
            "FunctionName": name,
            "Runtime": configuration["Runtime"],
            "Handler": configuration["Handler"],
            "Role": configuration["Role"],
            "MemorySize": configuration["MemorySize"],
            "Architectures": configuration["Architectures"],
            "Layers": layers(configuration),
            "LoggingConfig": {"LogFormat": "JSON"},
            "Timeout": timeout_s,
            "Environment": {"Variables": all},
            "Code": {"ZipFile": BASE64_STANDARD.encode(self.code(&deployed).await?)},
        });
        self.json(Method::POST, FUNCTIONS, Some(&body)).await?;
        self.wait_until_active(name).await
    }

    /// Redeploys a function's code, which replaces its execution environments.
    ///
    /// # Errors
    /// When the API rejects the request, or the function does not become active.
    pub async fn update_code(&self, name: &str) -> Result<()> {
        let function = self.json(Method::GET, &format!("{FUNCTIONS}/{name}"), None).await?;
        let code = json!({"ZipFile": BASE64_STANDARD.encode(self.code(&function).await?)});
        self.json(Method::PUT, &format!("{FUNCTIONS}/{name}/code"), Some(&code)).await?;
        self.wait_until_active(name).await
    }

    /// Sets variables of a function and keeps the others.
    ///
    /// # Errors
    /// When the API rejects the request, or the function does not become active.
    pub async fn set_variables(&self, name: &str, variables: &[(&str, &str)]) -> Result<()> {
        let configuration =
            self.json(Method::GET, &format!("{FUNCTIONS}/{name}/configuration"), None).await?;
        let mut all: BTreeMap<String, Value> =
            serde_json::from_value(configuration["Environment"]["Variables"].clone())?;
        all.extend(variables.iter().map(|(name, text)| ((*name).to_owned(), json!(text))));
        self.configure(name, &json!({"Environment": {"Variables": all}})).await
    }

    /// Sets a function's memory.
    ///
    /// # Errors
    /// When the API rejects the request, or the function does not become active.
    pub async fn set_memory(&self, name: &str, megabytes: u32) -> Result<()> {
        self.configure(name, &json!({"MemorySize": megabytes})).await
    }

    async fn configure(&self, name: &str, changes: &Value) -> Result<()> {
        self.json(Method::PUT, &format!("{FUNCTIONS}/{name}/configuration"), Some(changes)).await?;
        self.wait_until_active(name).await
    }

    /// Deletes a function.
    ///
    /// # Errors
    /// When the API rejects the request.
    pub async fn delete_function(&self, name: &str) -> Result<()> {
        self.call(Method::DELETE, &format!("{FUNCTIONS}/{name}"), None).await.map(drop)
    }

    /// Creates a mapping and returns its id.
    ///
    /// # Errors
    /// When the API rejects the request.
    pub async fn create_mapping(&self, new: &NewMapping) -> Result<String> {
        let response_types = match new.batch_failures {
            BatchFailures::Error => json!([]),
            BatchFailures::Report => json!(["ReportBatchItemFailures"]),
        };
        let mut body = json!({
            "FunctionName": new.function,
            "Topics": [new.topic],
            "SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": [new.bootstrap_servers]}},
            "SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": new.group},
            "StartingPosition": "TRIM_HORIZON",
            "BatchSize": new.batch_size,
            "MaximumBatchingWindowInSeconds": 0,
            "FunctionResponseTypes": response_types,
        });
        if let Some(OnFailure { retries, destination }) = &new.on_failure {
            body["MaximumRetryAttempts"] = json!(retries);
            body["DestinationConfig"] = json!({"OnFailure": {"Destination": destination}});
        }
        if new.on_failure.is_some() || new.batch_failures == BatchFailures::Report {
            // Lambda documents both for provisioned mode alone.
            body["ProvisionedPollerConfig"] = json!({"MinimumPollers": 1, "MaximumPollers": 16});
        }
        let created = self.json(Method::POST, MAPPINGS, Some(&body)).await?;
        created["UUID"].as_str().map(str::to_owned).with_context(|| format!("no UUID in {created}"))
    }

    /// Deletes a mapping.
    ///
    /// # Errors
    /// When the API rejects the request.
    pub async fn delete_mapping(&self, uuid: &str) -> Result<()> {
        self.call(Method::DELETE, &format!("{MAPPINGS}{uuid}"), None).await.map(drop)
    }

    /// All mappings, as the API lists them.
    ///
    /// # Errors
    /// When the API does not respond.
    pub async fn mappings(&self) -> Result<Vec<Value>> {
        let listed = self.json(Method::GET, MAPPINGS, None).await?;
        Ok(listed["EventSourceMappings"].as_array().cloned().unwrap_or_default())
    }

    /// Names of all functions.
    ///
    /// # Errors
    /// When the API does not respond.
    pub async fn functions(&self) -> Result<Vec<String>> {
        let listed = self.json(Method::GET, &format!("{FUNCTIONS}/"), None).await?;
        let functions = listed["Functions"].as_array().context("functions are listed")?;
        Ok(functions.iter().filter_map(|it| it["FunctionName"].as_str().map(str::to_owned)).collect())
    }

    /// The lines that a function logged, as CloudWatch Logs has them.
    ///
    /// # Errors
    /// When the API does not respond.
    pub async fn log(&self, function: &str) -> Result<Vec<String>> {
        self.log_since(function, 0).await
    }

    /// The same from a time on, in milliseconds since 1970. A function has a log stream for each of its processes, and the lines
    /// of one stream follow those of another.
    ///
    /// # Errors
    /// When the API does not respond.
    pub async fn log_since(&self, function: &str, since_ms: i64) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        let mut token = Value::Null;
        loop {
            let mut body = json!({"logGroupName": format!("/aws/lambda/{function}"), "startTime": since_ms});
            if !token.is_null() {
                body["nextToken"] = token;
            }
            let headers = [
                ("x-amz-target", "Logs_20140328.FilterLogEvents"),
                ("content-type", "application/x-amz-json-1.1"),
            ];
            let body = Bytes::from(body.to_string());
            let call = Call {
                service: "logs",
                region: None,
                method: Method::POST,
                path: "/",
                headers: &headers,
                body,
            };
            let page: Value = serde_json::from_slice(&self.aws.call(call).await?.body)?;
            let events = page["events"].as_array().context("events are listed")?;
            lines.extend(events.iter().filter_map(|event| event["message"].as_str().map(str::to_owned)));
            token = page["nextToken"].clone();
            if token.is_null() {
                return Ok(lines);
            }
        }
    }

    async fn code(&self, function: &Value) -> Result<Bytes> {
        let location = function["Code"]["Location"].as_str().context("the code has a location")?;
        // Only LocalStack's own name server resolves the location's host.
        let path = location.splitn(4, '/').nth(3).context("the location is a URL")?;
        let response = reqwest::get(format!("{}/{path}", self.endpoint)).await?.error_for_status()?;
        Ok(response.bytes().await?)
    }

    async fn wait_until_active(&self, name: &str) -> Result<()> {
        let path = format!("{FUNCTIONS}/{name}/configuration");
        until("the function to be active", Duration::from_secs(60), async || {
            let configuration = self.json(Method::GET, &path, None).await?;
            let (state, update) = (&configuration["State"], &configuration["LastUpdateStatus"]);
            Ok(Check::at(state == "Active" && update == "Successful", || configuration.to_string()))
        })
        .await
    }

    async fn json(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        Ok(serde_json::from_slice(&self.call(method, path, body).await?)?)
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Bytes> {
        let body = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let headers = [("content-type", "application/json")];
        let call = Call { service: "lambda", region: None, method, path, headers: &headers, body };
        Ok(self.aws.call(call).await?.body)
    }
}

/// The ARNs of the layer versions in a function's configuration.
fn layers(configuration: &Value) -> Vec<Value> {
    let listed = configuration["Layers"].as_array().into_iter().flatten();
    listed.map(|layer| layer["Arn"].clone()).collect()
}
