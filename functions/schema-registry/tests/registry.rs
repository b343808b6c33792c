//! Each id is asked for once, and what a registry responds decides whether the record or the registry is at fault.
//!
//! The registry is a stand-in: a real one can't be made to fail in most of these ways. `live/schemas.rs` has the real one.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use record_formats::frame::SchemaId;
use record_formats::schema::SchemaType;
use schema_registry::fetch_error::RegistryError;
use schema_registry::registry::{Api, REGISTRY_RETRIES, Registry, Resolved};
use search_client::auth::{Auth, Secret};
use search_client::backoff::Backoff;
use search_client::client::{BulkCompression, ClientOptions, Credentials, FetchError, SearchClient};
use search_client::endpoints::Endpoints;
use search_client::retry::RetryPolicy;
use search_client::sigv4::SigningKey;
use serde_json::{Value, json};
use testing::http_server::{HttpServer, ReceivedRequest, json_response, silence};
use tokio::time::Instant;

const AVRO: &str = r#"{"type":"record","name":"O","fields":[{"name":"a","type":"long"}]}"#;

/// A registry that responds as `respond` says.
async fn server(respond: impl Fn(&ReceivedRequest) -> (u16, Value) + Send + Sync + 'static) -> HttpServer {
    let respond = move |request: ReceivedRequest| {
        let (status, body) = respond(&request);
        async move { json_response(status, &body) }
    };
    HttpServer::start(respond).await.unwrap()
}

struct NewToken;

impl Credentials for NewToken {
    fn fetch(&self) -> Pin<Box<dyn Future<Output = Result<Auth, FetchError>> + Send + '_>> {
        Box::pin(async { Ok(Auth::Bearer(Secret::new("new"))) })
    }
}

fn registry_with(server: &HttpServer, api: Api, auth: Auth) -> Registry {
    let client = SearchClient::new(ClientOptions {
        endpoints: Endpoints::parse(server.endpoint()).unwrap(),
        auth,
        credentials: Some(Arc::new(NewToken)),
        ca_certificate: None,
        compression: BulkCompression::None,
    });
    let backoff = Backoff { random: || 0.0, ..Backoff::DEFAULT };
    Registry::new(client.unwrap(), api, RetryPolicy { backoff, ..REGISTRY_RETRIES })
}

fn registry(server: &HttpServer) -> Registry {
    registry_with(server, Api::Confluent, Auth::Bearer(Secret::new("old")))
}

async fn resolve(registry: &Registry, ids: &[SchemaId]) -> Resolved {
    let ids: BTreeSet<_> = ids.iter().copied().collect();
    registry.resolve(&ids, Instant::now() + Duration::from_secs(5)).await
}

fn lines(server: &HttpServer) -> Vec<String> {
    server
        .take_requests()
        .iter()
        .map(|request| format!("{} {}", request.head.method, request.path_and_query()))
        .collect()
}

/// Why the registry has no such schema.
fn reason(resolved: &Resolved, id: SchemaId) -> String {
    resolved.known[&id].as_ref().unwrap_err().to_string()
}

const ONE: SchemaId = SchemaId::Confluent(1);

#[tokio::test]
async fn a_schema_is_asked_for_once_for_the_life_of_the_registry() {
    let server = server(|_| (200, json!({"schema": AVRO}))).await;
    let registry = registry(&server);
    assert!(registry.known().await.is_empty());
    for _ in 0..3 {
        let resolved = resolve(&registry, &[ONE, SchemaId::Confluent(2)]).await;
        assert_eq!(resolved.known[&ONE].as_ref().unwrap().schema_type(), SchemaType::Avro);
        assert_eq!((resolved.known.len(), resolved.failed.len()), (2, 0));
    }
    let mut lines = lines(&server);
    lines.sort();
    assert_eq!(lines, ["GET schemas/ids/1", "GET schemas/ids/2"]);
    assert_eq!(registry.known().await.len(), 2);
}

#[tokio::test]
async fn references_are_followed_once_each_even_in_a_circle() {
    let server = server(|request| {
        let body = match request.path() {
            "schemas/guids/01010101-0101-0101-0101-010101010101" => json!({"schemaType": "AVRO",
                "schema": r#"{"type":"record","name":"O","fields":[{"name":"b","type":"x.B"}]}"#,
                "references": [{"name": "x.B", "subject": "b/ö", "version": 3}]}),
            "subjects/b%2F%C3%B6/versions/3" => json!({"schema":
                r#"{"type":"record","name":"B","namespace":"x","fields":[{"name":"c","type":"x.C"}]}"#,
                "references": [{"name": "x.C", "subject": "c", "version": 1}, {"name": "x.B", "subject": "b/ö", "version": 3}]}),
            "subjects/c/versions/1" => json!({"schema": r#"{"type":"enum","name":"x.C","symbols":["S"]}"#,
                "references": [{"name": "x.B", "subject": "b/ö", "version": 3}]}),
            other => json!({"error": other}),
        };
        (200, body)
    })
    .await;
    let id = SchemaId::ConfluentGuid([1; 16]);
    let resolved = resolve(&registry(&server), &[id]).await;
    assert!(resolved.known[&id].is_ok(), "{resolved:?}");
    assert_eq!(lines(&server).len(), 3);
}

#[tokio::test]
async fn an_id_that_the_registry_does_not_have_is_the_records_own_affair() {
    let server = server(|_| (404, json!({"error_code": 40403, "message": "Schema 1 not found"}))).await;
    let registry = registry(&server);
    let too_large = SchemaId::Confluent(u32::MAX);
    let glue = SchemaId::Glue([7; 16]);
    for _ in 0..2 {
        let resolved = resolve(&registry, &[ONE, too_large, glue]).await;
        assert_eq!(reason(&resolved, ONE), "the registry has no schema 1 (Schema 1 not found)");
        assert_eq!(reason(&resolved, too_large), "no schema can have the id 4294967295");
        assert!(reason(&resolved, glue).contains("is one of Glue"), "{resolved:?}");
        assert!(resolved.failed.is_empty());
    }
    assert_eq!(lines(&server), ["GET schemas/ids/1"], "it is not asked for again at once");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_id_is_asked_for_again_after_a_while() {
    let server = server(|_| (404, json!({"error_code": 40403}))).await;
    let registry = registry(&server);
    resolve(&registry, &[ONE]).await;
    tokio::time::advance(Duration::from_secs(31)).await;
    assert!(registry.known().await.is_empty());
    resolve(&registry, &[ONE]).await;
    assert_eq!(lines(&server).len(), 2);
}

#[tokio::test]
async fn a_404_of_something_that_is_no_registry_fails_the_records() {
    let wrong_url = server(|_| (404, Value::Null)).await;
    let resolved = resolve(&registry(&wrong_url), &[ONE]).await;
    assert!(matches!(resolved.failed[&ONE], RegistryError::Status { status: 404, .. }), "{resolved:?}");
    let without_guids = server(|request| match request.path() {
        "subjects" => (200, json!(["a-value"])),
        _ => (404, Value::Null),
    });
    let without_guids = without_guids.await;
    let id = SchemaId::ConfluentGuid([1; 16]);
    let resolved = resolve(&registry(&without_guids), &[id]).await;
    assert_eq!(reason(&resolved, id), "the registry has no schema 01010101-0101-0101-0101-010101010101");
}

#[tokio::test]
async fn a_schema_that_cannot_be_used_is_the_records_own_affair() {
    for (body, expected) in [
        (json!({"schema": "no JSON"}), "the schema 1 can't be used: Avro schema is not JSON"),
        (
            json!({"schema": "{}", "schemaType": "XML"}),
            "the schema 1 is of the type `XML`, which is not known",
        ),
        (json!({"schema": "x".repeat(1 << 20)}), "the schema 1 is longer than 1048576 bytes"),
    ] {
        let server = server(move |_| (200, body.clone())).await;
        let resolved = resolve(&registry(&server), &[ONE]).await;
        assert!(reason(&resolved, ONE).starts_with(expected), "{}", reason(&resolved, ONE));
    }
}

#[tokio::test]
async fn a_registry_that_fails_is_asked_again_and_then_fails_the_records() {
    for status in [500, 503, 429] {
        let server = server(move |_| (status, json!({"error_code": 50001, "message": "no store"}))).await;
        let registry = registry(&server);
        let resolved = resolve(&registry, &[ONE]).await;
        assert!(matches!(&resolved.failed[&ONE], RegistryError::Status { status: s, .. } if *s == status));
        assert!(resolved.known.is_empty(), "an error is not kept");
        assert_eq!(lines(&server).len(), 6);
    }
}

#[tokio::test]
async fn what_is_not_the_apis_json_fails_the_records() {
    let server = server(|_| (200, json!("a page"))).await;
    let resolved = resolve(&registry(&server), &[ONE]).await;
    assert!(matches!(resolved.failed[&ONE], RegistryError::Response(_)), "{resolved:?}");
}

#[tokio::test]
async fn a_registry_that_does_not_respond_fails_the_records_by_the_deadline() {
    let silent = HttpServer::start(|_| silence()).await.unwrap();
    let registry = registry(&silent);
    let deadline = Instant::now() + Duration::from_millis(400);
    let resolved = registry.resolve(&BTreeSet::from([ONE]), deadline).await;
    assert!(matches!(resolved.failed[&ONE], RegistryError::Unreachable(_)), "{resolved:?}");
    assert!(deadline.elapsed() < Duration::from_millis(300), "{:?}", deadline.elapsed());
}

#[tokio::test]
async fn refused_credentials_are_read_again_once() {
    let accepts_new = server(|request| match request.header("authorization") {
        Some("Bearer new") => (200, json!({"schema": AVRO})),
        _ => (401, json!({"error_code": 401})),
    });
    let accepts_new = accepts_new.await;
    let resolved = resolve(&registry(&accepts_new), &[ONE]).await;
    assert!(resolved.known[&ONE].is_ok(), "{resolved:?}");
    assert_eq!(lines(&accepts_new).len(), 2);
    let refuses = server(|_| (403, json!({"message": "no"}))).await;
    let resolved = resolve(&registry(&refuses), &[ONE]).await;
    assert!(matches!(resolved.failed[&ONE], RegistryError::Unauthorized { status: 403, .. }));
    assert_eq!(lines(&refuses).len(), 2);
}

#[tokio::test]
async fn a_schema_of_glue_is_fetched_by_a_signed_request() {
    const ID: &str = "07070707-0707-0707-0707-070707070707";
    let server = server(|request| match request.json()["SchemaVersionId"].as_str() {
        Some(ID) => (200, json!({"SchemaVersionId": ID, "SchemaDefinition": AVRO, "DataFormat": "AVRO", "Status": "AVAILABLE"})),
        Some("08080808-0808-0808-0808-080808080808") => {
            (400, json!({"__type": "EntityNotFoundException", "Message": "Schema is not found."}))
        }
        _ => (400, json!({"__type": "com.amazonaws.glue#AccessDeniedException", "Message": "not authorized"})),
    })
    .await;
    let key = SigningKey::new("AKID", "secret", None, "eu-west-1", "glue");
    let registry = registry_with(&server, Api::Glue, Auth::SigV4(key));
    let [found, absent, denied] = [7, 8, 9].map(|byte| SchemaId::Glue([byte; 16]));
    let resolved = resolve(&registry, &[found, absent, denied, ONE]).await;
    assert_eq!(resolved.known[&found].as_ref().unwrap().schema_type(), SchemaType::Avro);
    assert!(reason(&resolved, absent).contains("Glue has no schema"), "{resolved:?}");
    assert!(
        matches!(resolved.failed[&denied], RegistryError::Unauthorized { status: 400, .. }),
        "{resolved:?}"
    );
    assert!(reason(&resolved, ONE).contains("registry that is configured is Glue"), "{resolved:?}");
    let request = server.take_requests().into_iter().next().unwrap();
    assert_eq!(request.header("x-amz-target"), Some("AWSGlue.GetSchemaVersion"));
    assert!(request.header("authorization").unwrap().contains("/eu-west-1/glue/aws4_request"));
}
