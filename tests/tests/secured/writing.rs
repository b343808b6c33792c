//! Writing with credentials over TLS: what is written, what is rejected, and the function's error.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use event_pipeline::outcome::Counts;
use reqwest::Method;
use search_client::auth::Auth;
use serde_json::json;

use crate::servers::{
    DAY, ELASTICSEARCH, ELASTICSEARCH_6, OPENSEARCH, Server, api_key, basic, batch, configuration, id,
    indexer, invoke, later,
};

const TOPIC: &str = "order.events";
const SHORT: Duration = Duration::from_secs(4);

/// Two orders, and a third whose total conflicts with theirs in the mapping.
fn orders() -> Vec<u8> {
    batch(
        TOPIC,
        &[
            json!({"orderId": "o-1", "total": 5}),
            json!({"orderId": "o-2", "total": 6}),
            json!({"orderId": "o-3", "total": {"amount": 7, "currency": "EUR"}}),
        ],
    )
}

/// Delivers a batch twice: each event is written once under its own id, the rejected one in another form.
async fn a_batch_is_written_once(server: &Server, auth: Auth, prefix: &str) -> Result<()> {
    let indexer = indexer(server.client(auth)?, prefix)?;
    let payload = orders();

    let first = indexer.index(&payload, later()).await?;
    let written = Counts { received: 3, indexed: 3, rescued: 1, ..Counts::default() };
    ensure!(first.counts == written, "first delivery: {:?}", first.outcomes);
    let again = indexer.index(&payload, later()).await?;
    let known = Counts { received: 3, duplicates: 3, ..Counts::default() };
    ensure!(again.counts == known, "second delivery: {:?}", again.outcomes);

    let documents = server.documents(&format!("{prefix}-{DAY}")).await?;
    let summary: Vec<_> =
        documents.iter().map(|(id, source)| (id.as_str(), &source["orderId"], &source["service"])).collect();
    let ids = [id(TOPIC, 0), id(TOPIC, 1), id(TOPIC, 2)];
    let service = json!(TOPIC);
    let expected = [
        (ids[0].as_str(), &json!("o-1"), &service),
        (ids[1].as_str(), &json!("o-2"), &service),
        (ids[2].as_str(), &json!("o-3"), &service),
    ];
    ensure!(summary == expected, "{documents:?}");

    let rescued = &documents[2].1;
    ensure!(rescued["tags"] == json!(["_mappingconflict"]), "{rescued}");
    ensure!(rescued["conflict"]["total"]["amount"] == 7, "{rescued}");
    let dead_letters = server.documents(&format!("dead-letters-{prefix}-{DAY}")).await?;
    ensure!(dead_letters.is_empty(), "{dead_letters:?}");
    Ok(())
}

/// Writes with credentials that the cluster rejects: the batch fails and nothing is written.
async fn a_wrong_password_fails_every_record(server: &Server, prefix: &str) -> Result<()> {
    let config = configuration(&server.endpoint, prefix, &[])?;
    let client = server.client(basic(&server.username, "not-the-password"))?;

    let error = invoke(client, config, &orders(), SHORT).await.context("the invocation fails")?;

    ensure!(error.starts_with("3 of 3 records failed, the first at order.events-0 offset 0: "), "{error}");
    ensure!(error.contains("401"), "{error}");
    nothing_is_written(server, prefix).await
}

async fn nothing_is_written(server: &Server, prefix: &str) -> Result<()> {
    for index in [format!("{prefix}-*"), format!("dead-letters-{prefix}-*")] {
        let documents = server.documents(&index).await?;
        ensure!(documents.is_empty(), "{index} has {documents:?}");
    }
    Ok(())
}

#[tokio::test]
async fn opensearch_accepts_a_user_over_tls() -> Result<()> {
    let server = Server::find(OPENSEARCH).await?;
    a_batch_is_written_once(&server, server.administrator(), "basic-opensearch").await
}

#[tokio::test]
async fn elasticsearch_accepts_a_user_over_tls() -> Result<()> {
    let server = Server::find(ELASTICSEARCH).await?;
    a_batch_is_written_once(&server, server.administrator(), "basic-elasticsearch").await
}

/// The available 8.x creates no API keys, and 6.8 accepts no bulk requests without types: this sends the client's header to
/// 6.8 with single documents.
#[tokio::test]
async fn elasticsearch_accepts_an_api_key() -> Result<()> {
    let server = Server::find(ELASTICSEARCH_6).await?;
    let indices = json!([{"names": ["key-*"], "privileges": ["create_index", "create"]}]);
    let body = json!({"name": "key", "role_descriptors": {"writer": {"cluster": [], "indices": indices}}});
    let key = api_key(&server.request(Method::POST, "_security/api_key", Some(&body)).await?)?;
    let document = json!({"orderId": "o-1"});

    let written = server.send(key.clone(), Method::PUT, "key-1/_doc/1/_create", Some(&document)).await?;
    ensure!(written.status == 201, "{written:?}");
    for (method, path) in
        [(Method::GET, "key-1/_doc/1"), (Method::DELETE, "key-1"), (Method::PUT, "other/_doc/1")]
    {
        let rejected = server.send(key.clone(), method.clone(), path, Some(&document)).await?;
        ensure!(rejected.status == 403, "{method} {path}: {rejected:?}");
    }
    let documents = server.documents("key-1").await?;
    ensure!(documents == [("1".to_owned(), document)], "{documents:?}");
    Ok(())
}

#[tokio::test]
async fn opensearch_rejects_a_wrong_password() -> Result<()> {
    a_wrong_password_fails_every_record(&Server::find(OPENSEARCH).await?, "wrong-opensearch").await
}

#[tokio::test]
async fn elasticsearch_rejects_a_wrong_password() -> Result<()> {
    a_wrong_password_fails_every_record(&Server::find(ELASTICSEARCH).await?, "wrong-elasticsearch").await
}

#[tokio::test]
async fn nothing_is_written_to_a_server_of_an_unknown_ca() -> Result<()> {
    let (server, other) = (Server::find(OPENSEARCH).await?, Server::find(ELASTICSEARCH).await?);
    let prefix = "unknown-ca";
    let config = configuration(&server.endpoint, prefix, &[])?;
    let client = server.client_that_trusts(&other.ca, server.administrator())?;

    let error = invoke(client, config, &orders(), SHORT).await.context("the invocation fails")?;

    ensure!(error.starts_with("3 of 3 records failed, "), "{error}");
    ensure!(error.contains("certificate"), "{error}");
    ensure!(!error.contains(&server.password), "the password is in the error");
    nothing_is_written(&server, prefix).await
}
