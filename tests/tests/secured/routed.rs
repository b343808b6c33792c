//! Indices that the rules of topics route to: on real clusters they have the template, the lifecycle policy and the rights of the
//! pipeline's own, and the indices of others that match have none of it.

use std::io::Write as _;

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use search_client::auth::CredentialType;
use serde_json::json;
use tempfile::NamedTempFile;

use crate::provisioning::{Provisioning, forbidden, status};
use crate::secrets::TestSecret;
use crate::servers::{ELASTICSEARCH, ELASTICSEARCH_6, OPENSEARCH, Server};

/// Rules that route one topic to indices with this prefix and a tenant.
fn rules(prefix: &str) -> Result<NamedTempFile> {
    let mut file = NamedTempFile::new()?;
    writeln!(file, "topics:\n  - match: a\n    index: \"{prefix}-{{payload.tenant|unknown}}\"")?;
    Ok(file)
}

#[tokio::test]
async fn on_opensearch_a_routed_index_has_the_template_and_the_roles_rights() -> Result<()> {
    let server = Server::find(OPENSEARCH).await?;
    let (writer_secret, replayer_secret) =
        (TestSecret::create("routing-writer").await?, TestSecret::create("routing-replayer").await?);
    let file = rules("elsewhere")?;
    let path = file.path().to_str().context("the path is UTF-8")?;
    let provisioning = Provisioning::new(
        &server,
        "routing",
        &[
            ("FUNCTION_AUTH", "basic"),
            ("WRITER_SECRET_ID", &writer_secret.id),
            ("REPLAYER_SECRET_ID", &replayer_secret.id),
            ("PIPELINE_FILE", path),
        ],
    );
    provisioning.succeed(&["apply"]).await?;
    provisioning.nothing_is_left_to_do().await?;

    let (index, document) = ("elsewhere-acme-2026.01.01", json!({"orderId": "o-1", "kafka_topic": "a"}));
    let writer = writer_secret.credential(CredentialType::Basic).await?;
    let create = format!("{index}/_create/1");
    let written = status(&server, &writer, Method::PUT, &create, Some(&document)).await?;
    ensure!(written == 201, "the writer can't write: {written}");
    forbidden(
        &server,
        &writer,
        &[
            (Method::POST, &format!("{index}/_search"), None),
            (Method::PUT, "elsewhat-2026.01.01/_doc/1", Some(document)),
        ],
    )
    .await?;
    let mapping = server.request(Method::GET, &format!("{index}/_mapping"), None).await?;
    let properties = &mapping[index]["mappings"]["properties"];
    ensure!(properties["orderId"]["type"] == "keyword", "the template is not in force: {mapping}");
    let replayer = replayer_secret.credential(CredentialType::Basic).await?;
    let search = "routing-*,elsewhere-*/_search";
    ensure!(status(&server, &replayer, Method::POST, search, None).await? == 200);
    provisioning.succeed(&["delete"]).await.map(drop)
}

#[tokio::test]
async fn on_elasticsearch_6_a_routed_index_has_the_policy_and_one_of_others_does_not() -> Result<()> {
    let server = Server::find(ELASTICSEARCH_6).await?;
    let (event, ledger) = ("away-acme-2026.01.01", "away-ledger-2026.01.01");
    server.request(Method::PUT, ledger, None).await?;
    let mapping = json!({"mappings": {"_doc": {"properties": {"kafka_topic": {"type": "keyword"}}}}});
    server.request(Method::PUT, event, Some(&mapping)).await?;
    let file = rules("away")?;
    let path = file.path().to_str().context("the path is UTF-8")?;
    let provisioning = Provisioning::new(&server, "staying", &[("PIPELINE_FILE", path)]);

    let text = provisioning.succeed(&["apply"]).await?;
    ensure!(text.contains("left as they are") && text.contains(ledger), "{text}");
    let new = "away-beta-2026.01.02";
    server.request(Method::PUT, new, None).await?;
    for (index, policy) in [(event, json!("staying")), (new, json!("staying")), (ledger, json!(null))] {
        let explained = server.request(Method::GET, &format!("{index}/_ilm/explain"), None).await?;
        ensure!(explained["indices"][index]["policy"] == policy, "{explained}");
    }
    provisioning.nothing_is_left_to_do().await?;

    provisioning.succeed(&["delete", "--delete-data"]).await?;
    let left = server.request(Method::GET, "_cat/indices/away-*?format=json&h=index", None).await?;
    ensure!(left == json!([{"index": ledger}]), "{left}");
    server.request(Method::DELETE, ledger, None).await.map(drop)
}

#[tokio::test]
async fn a_template_of_others_with_the_same_priority_is_reported_and_kept() -> Result<()> {
    for (name, engine) in [(OPENSEARCH, "opensearch"), (ELASTICSEARCH, "elasticsearch")] {
        let server = Server::find(name).await?;
        let theirs = json!({"index_patterns": ["taken-*"], "priority": 200});
        server.request(Method::PUT, "_index_template/theirs", Some(&theirs)).await?;
        let file = rules("taken")?;
        let path = file.path().to_str().context("the path is UTF-8")?;
        let settings = [("PIPELINE_FILE", path), ("SEARCH_ENGINE", engine)];
        let provisioning = Provisioning::new(&server, "clashing", &settings);

        let text = provisioning.fail(&["apply"]).await?;
        ensure!(text.contains("another template has the same patterns"), "{name}: {text}");
        let kept = server.request(Method::GET, "_index_template/theirs", None).await?;
        let patterns = "/index_templates/0/index_template/index_patterns";
        ensure!(kept.pointer(patterns) == Some(&json!(["taken-*"])), "{name}: {kept}");
        server.request(Method::DELETE, "_index_template/theirs", None).await?;
    }
    Ok(())
}
