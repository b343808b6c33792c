//! The function as CloudFormation invokes it.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lambda_support::secrets::{SecretStore, StoreFuture};
use provision_cluster::handler::{Handler, InvocationError};
use search_client::auth::Secret;
use serde_json::{Value, json};
use testing::environment::lookup;
use testing::http_server::{HttpServer, ReceivedRequest};

use crate::server::{ScriptedResponse, start};
use crate::stand_in::StandIn;
use crate::world::Secrets;

/// Starts CloudFormation's side: the URL that the response is put to.
pub(crate) async fn cloudformation() -> HttpServer {
    start(|_| ScriptedResponse::Json(200, Value::Null)).await
}

pub(crate) fn request(
    request_type: &str,
    cloudformation: &HttpServer,
    id: Option<&str>,
    properties: Value,
) -> Value {
    let mut request = json!({
        "RequestType": request_type, "RequestId": "r", "StackId": "arn:aws:cloudformation:eu-west-1:1:stack/s/1",
        "ResponseURL": format!("{}/response?X-Amz-Signature=hunter2", cloudformation.endpoint()),
        "ResourceType": "Custom::SearchCluster", "LogicalResourceId": "Cluster", "ResourceProperties": properties,
    });
    if let Some(id) = id {
        request["PhysicalResourceId"] = json!(id);
    }
    if request_type == "Update" {
        request["OldResourceProperties"] = json!({"IndexPrefix": "shop"});
    }
    request
}

fn handler(endpoint: &str) -> Handler {
    handler_with(endpoint, Arc::new(Secrets::default()))
}

fn handler_with(endpoint: &str, secrets: Arc<dyn SecretStore>) -> Handler {
    // Without a credential, which would need Secrets Manager. This cluster accepts everyone.
    Handler::new(Arc::new(lookup([("SEARCH_ENDPOINT".to_owned(), endpoint.to_owned())])), secrets).unwrap()
}

/// Starts a stand-in that takes every request without a user and password for the administrator's.
pub(crate) async fn start_open(stand_in: &StandIn) -> HttpServer {
    let script = stand_in.clone();
    start(move |request| {
        let mut request = request.clone();
        let credential = base64_simd::STANDARD.encode_to_string(format!(
            "{}:{}",
            crate::stand_in::ADMIN.0,
            crate::stand_in::ADMIN.1
        ));
        // A signature is that of the function's role, which is mapped to the administrator's.
        if request.header("authorization").is_none_or(|login| login.starts_with("AWS4")) {
            request.head.headers.insert("authorization", format!("Basic {credential}").parse().unwrap());
        }
        script.respond(&request)
    })
    .await
}

async fn call(handler: &Handler, request: &Value, seconds: u64) -> Result<(), InvocationError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let deadline = now + Duration::from_secs(seconds);
    handler.handle(request.to_string().as_bytes(), deadline.as_millis() as u64).await
}

/// Returns the one response that CloudFormation got.
fn received(cloudformation: &HttpServer) -> Value {
    let requests = cloudformation.take_requests();
    let [put] = requests.as_slice() else { panic!("{} responses", requests.len()) };
    assert_eq!(put.line(), "PUT response");
    assert_eq!(put.header("content-type"), Some(""));
    assert_eq!(put.header("content-length").unwrap(), put.text().len().to_string());
    assert!(put.text().len() <= 4_096);
    put.json()
}

#[tokio::test]
async fn create_applies_and_responds_with_what_was_done() {
    let (cloudformation, stand_in) = (cloudformation().await, StandIn::opensearch("3.4.0"));
    let cluster = start_open(&stand_in).await;
    let properties = json!({"ServiceToken": "t", "IndexPrefix": "shop", "RetentionDays": "30", "Codec": "best_compression"});
    let request = request("Create", &cloudformation, None, properties);
    call(&handler(cluster.endpoint()), &request, 30).await.unwrap();
    let response = received(&cloudformation);
    assert_eq!(response["Status"], "SUCCESS", "{response}");
    assert_eq!(response["PhysicalResourceId"], "kafka-to-search/shop");
    assert_eq!((&response["RequestId"], &response["LogicalResourceId"]), (&json!("r"), &json!("Cluster")));
    assert_eq!(response["StackId"], "arn:aws:cloudformation:eu-west-1:1:stack/s/1");
    let data = &response["Data"];
    assert_eq!(
        (&data["Engine"], &data["Version"], &data["Applied"]),
        (&json!("OpenSearch"), &json!("3.4.0"), &json!("14"))
    );
    assert!(data["NotApplied"].as_str().unwrap().starts_with("dashboards: no DashboardsEndpoint"));
    assert!(
        stand_in.change(|state| state.resources["_plugins/_ism/policies/shop"].0.to_string()).contains("30d")
    );
}

#[tokio::test]
async fn an_update_keeps_the_id_and_another_prefix_is_another_resource() {
    let (cloudformation, stand_in) = (cloudformation().await, StandIn::opensearch("3.4.0"));
    let handler = handler(start_open(&stand_in).await.endpoint());
    // The server above stopped when it was dropped.
    let failing =
        request("Update", &cloudformation, Some("kafka-to-search/shop"), json!({"IndexPrefix": "shop"}));
    call(&handler, &failing, 8).await.unwrap();
    let response = received(&cloudformation);
    assert_eq!(
        (&response["Status"], &response["PhysicalResourceId"]),
        (&json!("FAILED"), &json!("kafka-to-search/shop"))
    );
    let cluster = start_open(&stand_in).await;
    let handler = handler_with(cluster.endpoint(), Arc::new(Secrets::default()));
    for (prefix, id) in [("shop", "kafka-to-search/shop"), ("store", "kafka-to-search/store")] {
        let update =
            request("Update", &cloudformation, Some("kafka-to-search/shop"), json!({"IndexPrefix": prefix}));
        call(&handler, &update, 30).await.unwrap();
        let response = received(&cloudformation);
        assert_eq!(
            (&response["Status"], &response["PhysicalResourceId"]),
            (&json!("SUCCESS"), &json!(id)),
            "{response}"
        );
    }
}

#[tokio::test]
async fn bad_properties_are_reported_all_at_once() {
    let cloudformation = cloudformation().await;
    let request = request("Create", &cloudformation, None, json!({"RetentionDays": "soon", "Shard": "1"}));
    call(&handler("http://127.0.0.1:1"), &request, 30).await.unwrap();
    let response = received(&cloudformation);
    assert_eq!(response["Status"], "FAILED");
    let reason = response["Reason"].as_str().unwrap();
    assert!(reason.contains("RetentionDays: `soon`") && reason.contains("Shard: unknown"), "{reason}");
    assert_ne!(response["PhysicalResourceId"], "kafka-to-search/microservices");
}

#[tokio::test]
async fn an_unreachable_cluster_fails_a_create_with_a_sentence() {
    let cloudformation = cloudformation().await;
    let begin = Instant::now();
    let request = request("Create", &cloudformation, None, json!({}));
    call(&handler("http://127.0.0.1:1"), &request, 8).await.unwrap();
    assert!(begin.elapsed() < Duration::from_secs(8));
    let response = received(&cloudformation);
    assert_eq!(response["Status"], "FAILED");
    let reason = response["Reason"].as_str().unwrap();
    assert!(
        reason.contains("http://127.0.0.1:1/ did not respond to GET /")
            && reason.contains("check SEARCH_ENDPOINT"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_cluster_that_never_responds_is_reported_before_the_timeout() {
    let (cloudformation, cluster) = (cloudformation().await, start(|_| ScriptedResponse::Hang).await);
    let begin = Instant::now();
    let request = request("Create", &cloudformation, None, json!({}));
    call(&handler(cluster.endpoint()), &request, 7).await.unwrap();
    assert!(begin.elapsed() < Duration::from_secs(6), "{:?}", begin.elapsed());
    let response = received(&cloudformation);
    assert_eq!(response["Status"], "FAILED");
    assert!(response["Reason"].as_str().unwrap().contains("did not respond"), "{response}");
}

#[tokio::test]
async fn delete_keeps_the_data_and_ignores_what_was_never_created() {
    let (cloudformation, stand_in) = (cloudformation().await, StandIn::opensearch("3.4.0"));
    let cluster = start_open(&stand_in).await;
    let handler = handler(cluster.endpoint());
    let properties = json!({"IndexPrefix": "shop", "Codec": "best_compression"});
    call(&handler, &request("Create", &cloudformation, None, properties.clone()), 30).await.unwrap();
    received(&cloudformation);
    cluster.take_requests();
    for id in ["kafka-to-search/not created", "stack-Cluster-1ABC", "kafka-to-search/store"] {
        call(&handler, &request("Delete", &cloudformation, Some(id), properties.clone()), 30).await.unwrap();
        let response = received(&cloudformation);
        assert_eq!((&response["Status"], &response["PhysicalResourceId"]), (&json!("SUCCESS"), &json!(id)));
    }
    assert_eq!(
        cluster.take_requests().iter().map(ReceivedRequest::line).collect::<Vec<_>>(),
        Vec::<String>::new()
    );
    let delete = request("Delete", &cloudformation, Some("kafka-to-search/shop"), properties);
    call(&handler, &delete, 30).await.unwrap();
    assert_eq!(received(&cloudformation)["Status"], "SUCCESS");
    let remaining = stand_in.change(|state| state.resources.keys().cloned().collect::<Vec<_>>());
    assert!(remaining.contains(&"_plugins/_ism/policies/shop".to_owned()), "{remaining:?}");
    assert!(
        !remaining.iter().any(|path| path.contains("_security") || path.contains("_alerting")),
        "{remaining:?}"
    );
}

#[tokio::test]
async fn a_stack_can_be_deleted_after_its_cluster_unless_it_deletes_the_data() {
    let cloudformation = cloudformation().await;
    let handler = handler("http://127.0.0.1:1");
    for (deletes_data, status) in [("false", "SUCCESS"), ("true", "FAILED")] {
        let id = Some("kafka-to-search/shop");
        for properties in [
            json!({"IndexPrefix": "shop", "DeleteData": deletes_data}),
            json!({"IndexPrefix": "shop", "DeleteData": deletes_data, "RetentionDays": "soon"}),
        ] {
            call(&handler, &request("Delete", &cloudformation, id, properties), 6).await.unwrap();
            let response = received(&cloudformation);
            assert_eq!(response["Status"], status, "{response}");
            let reason = response["Reason"].as_str().unwrap();
            assert!(reason.contains("did not respond") || reason.contains("RetentionDays"), "{reason}");
        }
    }
}

#[tokio::test]
async fn a_response_is_sent_until_cloudformation_has_it() {
    let n = std::sync::atomic::AtomicUsize::new(0);
    let cloudformation = start(move |_| {
        let is_first = n.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
        ScriptedResponse::Json(if is_first { 503 } else { 200 }, Value::Null)
    })
    .await;
    let request = request("Create", &cloudformation, None, json!({"Shards": "0"}));
    call(&handler("http://127.0.0.1:1"), &request, 20).await.unwrap();
    assert_eq!(cloudformation.take_requests().len(), 2);
}

#[tokio::test]
async fn a_response_that_is_rejected_is_an_error_without_its_url() {
    let cloudformation = start(|_| ScriptedResponse::Json(403, Value::Null)).await;
    let request = request("Create", &cloudformation, None, json!({"Shards": "0"}));
    let error = call(&handler("http://127.0.0.1:1"), &request, 2).await.unwrap_err();
    assert!(error.to_string().contains("403") && !error.to_string().contains("hunter2"), "{error}");
    assert!(cloudformation.take_requests().len() > 1);
}

#[tokio::test]
async fn an_invalid_request_is_an_error_and_an_unknown_type_gets_a_response() {
    let cloudformation = cloudformation().await;
    let handler = handler("http://127.0.0.1:1");
    let error = call(&handler, &json!({"Records": []}), 5).await.unwrap_err();
    assert!(matches!(error, InvocationError::NotARequest(_)), "{error}");
    let odd = request("Replace", &cloudformation, Some("kafka-to-search/shop"), json!({}));
    call(&handler, &odd, 5).await.unwrap();
    let response = received(&cloudformation);
    assert_eq!(
        (&response["Status"], &response["PhysicalResourceId"]),
        (&json!("FAILED"), &json!("kafka-to-search/shop"))
    );
}

/// A store with a bug.
struct PanickingStore;

impl SecretStore for PanickingStore {
    fn read<'s>(&'s self, _id: &'s str) -> StoreFuture<'s, Option<Secret>> {
        panic!("a bug")
    }

    fn write<'s>(&'s self, _id: &'s str, _text: &'s Secret) -> StoreFuture<'s, ()> {
        panic!("a bug")
    }
}

#[tokio::test]
async fn a_panic_gets_a_response_too() {
    let (cloudformation, stand_in) = (cloudformation().await, StandIn::opensearch("3.4.0"));
    let cluster = start_open(&stand_in).await;
    let properties = json!({"FunctionAuth": "basic", "WriterSecretId": "w", "Codec": "best_compression"});
    let request = request("Create", &cloudformation, None, properties);
    call(&handler_with(cluster.endpoint(), Arc::new(PanickingStore)), &request, 30).await.unwrap();
    let response = received(&cloudformation);
    assert_eq!(response["Status"], "FAILED");
    assert!(response["Reason"].as_str().unwrap().contains("the function's log has it"), "{response}");
}

#[tokio::test]
async fn a_changed_revision_rotates_the_credentials() {
    let (cloudformation, stand_in) = (cloudformation().await, StandIn::opensearch("3.4.0"));
    let cluster = start_open(&stand_in).await;
    let secrets = Arc::new(Secrets::default());
    let handler = handler_with(cluster.endpoint(), Arc::<Secrets>::clone(&secrets));
    let properties = |revision: &str| {
        json!({"IndexPrefix": "shop", "FunctionAuth": "basic", "WriterSecretId": "w", "Codec": "best_compression",
            "CredentialRevision": revision})
    };
    call(&handler, &request("Create", &cloudformation, None, properties("1")), 30).await.unwrap();
    assert_eq!(received(&cloudformation)["Status"], "SUCCESS");
    assert_eq!(secrets.json("w")["username"], "shop-writer-a");
    // Lambda may deliver an event twice. The credential is created once.
    let update = request("Update", &cloudformation, Some("kafka-to-search/shop"), properties("2"));
    for _ in 0..2 {
        call(&handler, &update, 30).await.unwrap();
        assert_eq!(received(&cloudformation)["Status"], "SUCCESS");
        assert_eq!(secrets.json("w")["username"], "shop-writer-b");
    }
}
