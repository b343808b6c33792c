//! The command line `provision` on clusters with users: what it applies, that a second run changes nothing, that the
//! functions' credentials allow their work and nothing else, and how credentials are rotated.
//!
//! Secrets Manager is LocalStack's.

use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Parser as _;
use event_pipeline::outcome::Counts;
use lambda_support::aws::secrets_manager;
use provision_cluster::command_line::CommandLine;
use reqwest::Method;
use search_client::auth::{Auth, CredentialType};
use serde_json::{Value, json};
use testing::environment::lookup;

use crate::secrets::TestSecret;
use crate::servers::{DAY, ELASTICSEARCH, ELASTICSEARCH_6, OPENSEARCH, Server, basic, batch, indexer, later};

const TOPIC: &str = "order.events";

/// A cluster, and the variables of the command line for it.
pub(crate) struct Provisioning<'s> {
    server: &'s Server,
    variables: Vec<(&'static str, String)>,
}

/// What a run printed.
struct Printed {
    succeeded: bool,
    text: String,
}

impl<'s> Provisioning<'s> {
    pub(crate) fn new(server: &'s Server, prefix: &str, more: &[(&'static str, &str)]) -> Self {
        let mut variables =
            vec![("SEARCH_ENDPOINT", server.endpoint.clone()), ("INDEX_PREFIX", prefix.to_owned())];
        if !server.ca.is_empty() {
            variables.extend([
                ("SEARCH_CA_CERT", server.ca.clone()),
                ("SEARCH_USERNAME", server.username.clone()),
                ("SEARCH_PASSWORD", server.password.clone()),
            ]);
        }
        variables.extend(more.iter().map(|(name, text)| (*name, (*text).to_owned())));
        Self { server, variables }
    }

    fn set(&mut self, name: &'static str, text: &str) {
        self.variables.push((name, text.to_owned()));
    }

    /// Runs `provision` with these arguments; no run may print the administrator's password.
    async fn run(&self, arguments: &[&str]) -> Result<Printed> {
        let command = CommandLine::try_parse_from(["provision"].iter().chain(arguments))?;
        let mut out = Vec::new();
        let code = command.run(&lookup(self.variables.clone()), &secrets_manager(), &mut out).await?;
        let text = String::from_utf8(out)?;
        let password = &self.server.password;
        ensure!(password.is_empty() || !text.contains(password), "the administrator's password is printed");
        Ok(Printed { succeeded: code == ExitCode::SUCCESS, text })
    }

    /// Runs it successfully; returns what it printed.
    pub(crate) async fn succeed(&self, arguments: &[&str]) -> Result<String> {
        let printed = self.run(arguments).await?;
        ensure!(printed.succeeded, "{arguments:?}: {}", printed.text);
        Ok(printed.text)
    }

    /// Runs it without success; returns what it printed.
    pub(crate) async fn fail(&self, arguments: &[&str]) -> Result<String> {
        let printed = self.run(arguments).await?;
        ensure!(!printed.succeeded, "{arguments:?}: {}", printed.text);
        Ok(printed.text)
    }

    /// A second run finds nothing to do.
    pub(crate) async fn nothing_is_left_to_do(&self) -> Result<()> {
        let text = self.succeed(&["apply"]).await?;
        ensure!(n_lines(&text, "applied ") == 0 && n_lines(&text, "unchanged ") > 0, "{text}");
        Ok(())
    }
}

fn n_lines(text: &str, start: &str) -> usize {
    text.lines().filter(|line| line.starts_with(start)).count()
}

/// The status of a request with this credential.
pub(crate) async fn status(
    server: &Server,
    auth: &Auth,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<u16> {
    Ok(server.send(auth.clone(), method, path, body).await?.status)
}

/// Checks that each of these requests is forbidden.
pub(crate) async fn forbidden(
    server: &Server,
    auth: &Auth,
    requests: &[(Method, &str, Option<Value>)],
) -> Result<()> {
    for (method, path, body) in requests {
        let response = server.send(auth.clone(), method.clone(), path, body.as_ref()).await?;
        ensure!(response.status == 403, "{method} {path} returned {response:?}");
    }
    Ok(())
}

/// Whether the cluster knows a credential: then the request is forbidden, not unauthorized.
async fn is_known(server: &Server, auth: &Auth) -> Result<bool> {
    match status(server, auth, Method::GET, "_cluster/settings", None).await? {
        401 => Ok(false),
        403 => Ok(true),
        other => anyhow::bail!("a function may not read settings, but the status is {other}"),
    }
}

#[tokio::test]
async fn on_opensearch_each_function_can_do_its_work_and_nothing_else() -> Result<()> {
    let server = Server::find(OPENSEARCH).await?;
    let prefix = "guarded";
    let (writer_secret, replayer_secret) =
        (TestSecret::create("guarded-writer").await?, TestSecret::create("guarded-replayer").await?);
    let mut provisioning = Provisioning::new(
        &server,
        prefix,
        &[
            ("FUNCTION_AUTH", "basic"),
            ("WRITER_SECRET_ID", &writer_secret.id),
            ("REPLAYER_SECRET_ID", &replayer_secret.id),
            ("READER_BACKEND_ROLES", "people"),
        ],
    );

    let text = provisioning.succeed(&["apply"]).await?;
    for what in
        ["index template guarded", "role guarded-writer", "role guarded-replayer", "role guarded-reader"]
    {
        ensure!(
            text.lines().any(|line| line.starts_with("applied ") && line.contains(what)),
            "{what}: {text}"
        );
    }
    // This server has the security plugin and no other.
    let lifecycle = text
        .lines()
        .find(|line| line.contains("lifecycle policy guarded"))
        .context("the lifecycle is reported")?;
    ensure!(lifecycle.starts_with("not applied "), "{lifecycle}");
    for secret in [&writer_secret, &replayer_secret] {
        let value = secret.value().await?;
        let password = value["password"].as_str().context("the secret holds a password")?;
        ensure!(!text.contains(password), "a function's password is printed");
        ensure!(password.len() >= 20, "a password of {} characters", password.len());
    }
    provisioning.nothing_is_left_to_do().await?;

    let writer = writer_secret.credential(CredentialType::Basic).await?;
    writes_and_does_nothing_else(&server, &writer, prefix).await?;
    let replayer = replayer_secret.credential(CredentialType::Basic).await?;
    replays_and_does_nothing_else(&server, &replayer, prefix).await?;

    let person = json!({"password": format!("Aa1-{}", server.password), "backend_roles": ["people"]});
    server.request(Method::PUT, "_plugins/_security/api/internalusers/a-person", Some(&person)).await?;
    let reader = basic("a-person", &format!("Aa1-{}", server.password));
    let daily = format!("{prefix}-{DAY}");
    ensure!(status(&server, &reader, Method::POST, &format!("{prefix}-*/_search"), None).await? == 200);
    let document = Some(json!({"orderId": "o-9"}));
    let requests = [
        (Method::PUT, format!("{daily}/_doc/1"), document),
        (Method::DELETE, daily, None),
        (Method::PUT, "_index_template/x".to_owned(), Some(json!({"index_patterns": ["x"]}))),
    ];
    for (method, path, body) in requests {
        forbidden(&server, &reader, &[(method, path.as_str(), body)]).await?;
    }

    credentials_are_rotated(&mut provisioning, &writer_secret, CredentialType::Basic).await?;

    let last = writer_secret.credential(CredentialType::Basic).await?;
    provisioning.succeed(&["delete"]).await?;
    ensure!(!is_known(&server, &last).await?, "the writer still has access");
    ensure!(!server.documents(&format!("{prefix}-{DAY}")).await?.is_empty(), "the data is gone");
    Ok(())
}

/// Writes a batch with new fields, which grow the mapping, and a record that can't be read, which becomes a dead letter.
async fn writes_and_does_nothing_else(server: &Server, writer: &Auth, prefix: &str) -> Result<()> {
    let indexer = indexer(server.client(writer.clone())?, prefix)?;
    let events =
        [json!({"orderId": "o-1", "aNewField": "new"}), json!({"orderId": "o-2", "newer": {"field": 1}})];
    let payload = with_unreadable_record(&batch(TOPIC, &events))?;
    let written = indexer.index(&payload, later()).await?;
    let expected = Counts { received: 3, indexed: 2, dead_lettered: 1, ..Counts::default() };
    ensure!(written.counts == expected, "{:?}", written.outcomes);
    let again = indexer.index(&payload, later()).await?;
    let expected = Counts { received: 3, duplicates: 2, dead_lettered: 1, ..Counts::default() };
    ensure!(again.counts == expected, "{:?}", again.outcomes);

    let daily = format!("{prefix}-{DAY}");
    let mapping = server.request(Method::GET, &format!("{daily}/_mapping"), None).await?;
    let properties = &mapping[&daily]["mappings"]["properties"];
    ensure!(properties["aNewField"]["type"] == "match_only_text", "{properties}");
    ensure!(!properties["newer"]["properties"]["field"].is_null(), "{properties}");

    let document = server.documents(&daily).await?.into_iter().next().context("a document is there")?.0;
    let document = format!("{daily}/_doc/{document}");
    let search = format!("{daily}/_search");
    let dead_letters = format!("dead-letters-{prefix}-*/_search");
    let (settings, whole) = (format!("{daily}/_settings"), json!({"index": {"refresh_interval": "1s"}}));
    let elsewhere = "somewhere-else/_doc/1";
    forbidden(
        server,
        writer,
        &[
            (Method::GET, &document, None),
            (Method::DELETE, &document, None),
            (Method::POST, &search, None),
            (Method::POST, &dead_letters, None),
            (Method::DELETE, &daily, None),
            (Method::PUT, &settings, Some(whole)),
            (Method::PUT, elsewhere, Some(json!({"a": 1}))),
            (Method::PUT, "_index_template/x", Some(json!({"index_patterns": ["x"]}))),
            (Method::GET, "_cluster/settings", None),
        ],
    )
    .await
}

/// Adds a record whose value is not base64, which is a dead letter on every cluster.
fn with_unreadable_record(batch: &[u8]) -> Result<Vec<u8>> {
    let mut event: Value = serde_json::from_slice(batch)?;
    let records = event["records"].as_object_mut().and_then(|lists| lists.values_mut().next());
    let records = records.and_then(Value::as_array_mut).context("a batch has a list of records")?;
    let mut unreadable = records.last().context("a batch has a record")?.clone();
    unreadable["offset"] = json!(records.len());
    unreadable["value"] = json!("***");
    records.push(unreadable);
    Ok(event.to_string().into_bytes())
}

/// Searches, reads and removes dead letters; searches and reads events, and removes none.
async fn replays_and_does_nothing_else(server: &Server, replayer: &Auth, prefix: &str) -> Result<()> {
    let (daily, dead_letters) = (format!("{prefix}-{DAY}"), format!("dead-letters-{prefix}-{DAY}"));
    server.request(Method::POST, &format!("{dead_letters}/_refresh"), None).await?;
    let found = server
        .send(replayer.clone(), Method::POST, &format!("dead-letters-{prefix}-*/_search"), None)
        .await?;
    ensure!(found.status == 200 && found.body["hits"]["total"]["value"] == 1, "{found:?}");
    let id = found.body["hits"]["hits"][0]["_id"].as_str().context("it has an id")?.to_owned();
    let documents = json!({"docs": [{"_index": dead_letters, "_id": id}]});
    let read = server.send(replayer.clone(), Method::POST, "_mget", Some(&documents)).await?;
    ensure!(read.status == 200 && read.body["docs"][0]["found"] == true, "{read:?}");

    let events = server.send(replayer.clone(), Method::POST, &format!("{daily}/_search"), None).await?;
    ensure!(events.status == 200, "{events:?}");

    forbidden(
        server,
        replayer,
        &[
            (Method::DELETE, &format!("{daily}/_doc/any"), None),
            (Method::DELETE, &daily, None),
            (Method::DELETE, &dead_letters, None),
            (Method::GET, "_cluster/settings", None),
        ],
    )
    .await?;

    let removed =
        server.send(replayer.clone(), Method::DELETE, &format!("{dead_letters}/_doc/{id}"), None).await?;
    ensure!(removed.status == 200, "{removed:?}");
    Ok(())
}

/// Rotates the writer's credential: the previous one stays valid until the next rotation.
async fn credentials_are_rotated(
    provisioning: &mut Provisioning<'_>,
    secret: &TestSecret,
    kind: CredentialType,
) -> Result<()> {
    let server = provisioning.server;
    let first = (secret.value().await?, secret.credential(kind).await?);
    provisioning.succeed(&["apply", "--rotate"]).await?;
    let second = (secret.value().await?, secret.credential(kind).await?);
    ensure!(first.0 != second.0, "the credential is the same");
    ensure!(is_known(server, &first.1).await?, "a running function is rejected");
    ensure!(is_known(server, &second.1).await?, "the new credential is rejected");

    provisioning.set("CREDENTIAL_REVISION", "next");
    provisioning.succeed(&["apply"]).await?;
    let third = (secret.value().await?, secret.credential(kind).await?);
    ensure!(third.0 != second.0, "a changed revision changes nothing");
    ensure!(!is_known(server, &first.1).await?, "the first credential is still valid");
    ensure!(is_known(server, &second.1).await?, "a running function is rejected");
    ensure!(is_known(server, &third.1).await?, "the new credential is rejected");
    provisioning.nothing_is_left_to_do().await
}

#[tokio::test]
async fn a_wrong_administrator_password_fails_and_changes_nothing() -> Result<()> {
    for (name, engine) in
        [(OPENSEARCH, "opensearch"), (ELASTICSEARCH, "elasticsearch"), (ELASTICSEARCH_6, "auto")]
    {
        let server = Server::find(name).await?;
        let mut provisioning = Provisioning::new(&server, "rejected", &[("SEARCH_ENGINE", engine)]);
        provisioning.set("SEARCH_PASSWORD", "not-the-password");

        let printed = provisioning.run(&["apply"]).await?;

        ensure!(!printed.succeeded, "{name}: {}", printed.text);
        ensure!(printed.text.contains("401"), "{name}: {}", printed.text);
        let templates = server.request(Method::GET, "_cat/templates?format=json&h=name", None).await?;
        ensure!(!templates.to_string().contains("rejected"), "{name}: {templates}");
    }
    Ok(())
}

#[tokio::test]
async fn on_elasticsearch_6_templates_lifecycle_roles_keys_and_watches_are_applied() -> Result<()> {
    let server = Server::find(ELASTICSEARCH_6).await?;
    let (writer_secret, replayer_secret) =
        (TestSecret::create("older-writer").await?, TestSecret::create("older-replayer").await?);
    let mut provisioning = Provisioning::new(
        &server,
        "older",
        &[
            ("FUNCTION_AUTH", "api_key"),
            ("WRITER_SECRET_ID", &writer_secret.id),
            ("REPLAYER_SECRET_ID", &replayer_secret.id),
            ("RETENTION_DAYS", "90"),
        ],
    );

    let text = provisioning.succeed(&["apply"]).await?;
    provisioning.nothing_is_left_to_do().await?;

    let template = server.request(Method::GET, "_template/older", None).await?;
    ensure!(template["older"]["order"] == 200, "{template}");
    let policies = server.request(Method::GET, "_ilm/policy", None).await?;
    let age = "/older/policy/phases/delete/min_age";
    ensure!(policies.pointer(age) == Some(&json!("90d")), "{policies}");
    let roles =
        server.request(Method::GET, "_security/role/older-writer,older-replayer,older-reader", None).await?;
    ensure!(roles.as_object().is_some_and(|roles| roles.len() == 3), "{roles}");
    let watches =
        text.lines().filter(|line| line.starts_with("applied ") && line.contains("monitor older-")).count();
    ensure!(watches >= 4, "{watches} watches: {text}");

    // What the writer's key allows, with single documents: this release accepts no bulk requests without types.
    let writer = writer_secret.credential(CredentialType::ApiKey).await?;
    let daily = "older-2026.01.01";
    let document = json!({"@timestamp": "2026-01-01T00:00:00.000Z", "orderId": "o-1"});
    let create = format!("{daily}/_doc/1/_create");
    ensure!(
        status(&server, &writer, Method::PUT, &create, Some(&document)).await? == 201,
        "the writer can't write"
    );
    forbidden(
        &server,
        &writer,
        &[
            (Method::GET, &format!("{daily}/_doc/1"), None),
            (Method::POST, &format!("{daily}/_search"), None),
            (Method::DELETE, &format!("{daily}/_doc/1"), None),
            (Method::DELETE, daily, None),
            (Method::PUT, "somewhere-else/_doc/1", Some(document)),
            (Method::GET, "_cluster/settings", None),
        ],
    )
    .await?;
    let mapping = server.request(Method::GET, &format!("{daily}/_mapping"), None).await?;
    ensure!(mapping[daily]["mappings"]["_doc"]["properties"]["orderId"]["type"] == "keyword", "{mapping}");
    let managed = server.request(Method::GET, &format!("{daily}/_ilm/explain"), None).await?;
    ensure!(managed["indices"][daily]["policy"] == "older", "{managed}");

    provisioning.set("RETENTION_DAYS", "30");
    let text = provisioning.succeed(&["apply"]).await?;
    ensure!(n_lines(&text, "applied ") == 1, "only the policy changes: {text}");
    let policies = server.request(Method::GET, "_ilm/policy", None).await?;
    ensure!(policies.pointer(age) == Some(&json!("30d")), "{policies}");

    credentials_are_rotated(&mut provisioning, &writer_secret, CredentialType::ApiKey).await?;

    let last = writer_secret.credential(CredentialType::ApiKey).await?;
    provisioning.succeed(&["delete", "--delete-data"]).await?;
    ensure!(!is_known(&server, &last).await?, "the writer still has access");
    let left = server.request(Method::GET, "_cat/indices?format=json&h=index", None).await?;
    ensure!(!left.to_string().contains("older-"), "{left}");
    let policies = server.request(Method::GET, "_ilm/policy", None).await?;
    ensure!(policies["older"].is_null(), "{policies}");
    Ok(())
}

#[tokio::test]
async fn on_elasticsearch_8_templates_are_applied_and_missing_features_are_reported() -> Result<()> {
    let server = Server::find(ELASTICSEARCH).await?;
    let prefix = "current";
    let mut provisioning = Provisioning::new(&server, prefix, &[]);

    // It does not serve `GET /`.
    let without_engine = provisioning.run(&["apply"]).await?;
    ensure!(
        !without_engine.succeeded && without_engine.text.contains("SEARCH_ENGINE"),
        "{}",
        without_engine.text
    );
    provisioning.set("SEARCH_ENGINE", "elasticsearch");
    let text = provisioning.succeed(&["apply"]).await?;
    ensure!(
        text.lines().any(|line| line.starts_with("applied ") && line.contains("index template current")),
        "{text}"
    );
    ensure!(n_lines(&text, "not applied ") > 0, "{text}");
    provisioning.nothing_is_left_to_do().await?;

    let indexer = indexer(server.client(server.administrator())?, prefix)?;
    let payload = batch(TOPIC, &[json!({"orderId": "o-1", "kafka_topic": "of the payload", "aNewField": 1})]);
    let payload = with_unreadable_record(&payload)?;
    let written = indexer.index(&payload, later()).await?;
    let expected = Counts { received: 2, indexed: 1, dead_lettered: 1, ..Counts::default() };
    ensure!(written.counts == expected, "{:?}", written.outcomes);
    let daily = format!("{prefix}-{DAY}");
    let mapping = server.request(Method::GET, &format!("{daily}/_mapping"), None).await?;
    let properties = &mapping[&daily]["mappings"]["properties"];
    ensure!(
        properties["orderId"]["type"] == "keyword" && properties["conflict"]["type"] == "flattened",
        "{properties}"
    );
    Ok(())
}
