//! Credentials of the functions.

use std::io::Write;
use std::sync::{Arc, Mutex};

use provision_cluster::provision::RunOutcome;
use provision_cluster::run::Rotation;
use serde_json::{Value, json};
use testing::http_server::HttpServer;
use tracing_subscriber::fmt::MakeWriter;

use crate::stand_in::StandIn;
use crate::world::World;

const USERS: &str = "_plugins/_security/api/internalusers";

async fn world(stand_in: &StandIn, auth: &str) -> (HttpServer, World) {
    let server = stand_in.start().await;
    let world = World::new(server.endpoint()).with(&[
        ("FUNCTION_AUTH", auth),
        ("WRITER_SECRET_ID", "writer"),
        ("REPLAYER_SECRET_ID", "replayer"),
    ]);
    (server, world)
}

fn line_of(done: &RunOutcome, what: &str) -> String {
    let text = done.report.to_string();
    text.lines().find(|line| line.contains(what)).unwrap_or_else(|| panic!("{what}\n{text}")).to_owned()
}

fn text<'v>(secret: &'v Value, name: &str) -> &'v str {
    secret[name].as_str().unwrap()
}

#[tokio::test]
async fn a_user_is_created_tested_and_stored_and_then_left_alone() {
    let stand_in = StandIn::opensearch("3.4.0");
    let (server, world) = world(&stand_in, "basic").await;
    let done = world.apply().await;
    assert_eq!(done.report.failures, Vec::<String>::new());
    assert!(line_of(&done, "user of microservices-writer").starts_with("applied"));
    let secret = world.secrets.json("writer");
    assert_eq!(text(&secret, "username"), "microservices-writer-a");
    let user = stand_in.change(|state| state.resources[&format!("{USERS}/microservices-writer-a")].0.clone());
    assert_eq!(
        user,
        json!({"password": secret["password"], "opendistro_security_roles": ["microservices-writer"]})
    );
    assert_ne!(secret["password"], world.secrets.json("replayer")["password"]);
    server.take_requests();
    let done = world.apply().await;
    assert!(line_of(&done, "user of microservices-writer").starts_with("unchanged"));
    assert!(!server.take_requests().iter().any(|request| request.head.method == "PUT"), "{}", done.report);
    assert_eq!(world.secrets.json("writer"), secret);
}

#[tokio::test]
async fn rotation_alternates_users_and_leaves_the_previous_one_valid() {
    let stand_in = StandIn::opensearch("3.4.0");
    let (_server, mut world) = world(&stand_in, "basic").await;
    world.apply().await;
    let first = world.secrets.json("writer");
    world.rotation = Rotation::Requested;
    world.apply().await;
    let second = world.secrets.json("writer");
    assert_eq!(text(&second, "username"), "microservices-writer-b");
    let password = |name: &str| {
        stand_in.change(|state| state.resources[&format!("{USERS}/{name}")].0["password"].clone())
    };
    assert_eq!(password("microservices-writer-a"), first["password"], "running functions still use it");
    world.apply().await;
    let third = world.secrets.json("writer");
    assert_eq!(text(&third, "username"), "microservices-writer-a");
    assert_ne!(password("microservices-writer-a"), first["password"], "the first password is still valid");
    assert_eq!(password("microservices-writer-b"), second["password"]);
}

#[tokio::test]
async fn a_changed_revision_rotates_once() {
    let stand_in = StandIn::opensearch("3.4.0");
    let (_server, mut world) = world(&stand_in, "basic").await;
    world.apply().await;
    let mut names = Vec::new();
    for revision in ["2", "2", "3", "3"] {
        world.set("CREDENTIAL_REVISION", revision);
        world.apply().await;
        names.push(text(&world.secrets.json("writer"), "username").to_owned());
    }
    let ends: Vec<_> = names.iter().map(|name| name.chars().last().unwrap()).collect();
    assert_eq!(ends, ['b', 'b', 'a', 'a']);
}

#[tokio::test]
async fn a_credential_that_does_not_work_is_replaced_and_one_of_a_person_is_kept() {
    let stand_in = StandIn::opensearch("3.4.0");
    let (_server, mut world) = world(&stand_in, "basic").await;
    // What a template generates before the cluster has any user.
    world.secrets.put("writer", r#"{"username":"x","password":"generated"}"#);
    let (admin, admin_password) = crate::stand_in::ADMIN;
    world.secrets.put("replayer", &json!({"username": admin, "password": admin_password}).to_string());
    let done = world.apply().await;
    assert!(line_of(&done, "user of microservices-writer").contains("does not work"));
    assert!(line_of(&done, "user of microservices-replayer").starts_with("unchanged"));
    assert_eq!(text(&world.secrets.json("replayer"), "username"), admin);
    world.set("CREDENTIAL_REVISION", "2");
    world.apply().await;
    assert_eq!(text(&world.secrets.json("replayer"), "username"), admin, "a revision alone replaced it");
    world.rotation = Rotation::RevisionChanged;
    world.apply().await;
    assert_eq!(text(&world.secrets.json("replayer"), "username"), "microservices-replayer-a");
}

#[tokio::test]
async fn another_prefix_gets_its_own_users() {
    let stand_in = StandIn::opensearch("3.4.0");
    let (_server, mut world) = world(&stand_in, "basic").await;
    world.apply().await;
    world.set("INDEX_PREFIX", "shop");
    let done = world.apply().await;
    assert!(line_of(&done, "user of shop-writer").contains("of another role"));
    assert_eq!(text(&world.secrets.json("writer"), "username"), "shop-writer-a");
}

#[tokio::test]
async fn no_user_is_created_without_a_secret_to_store_it_in() {
    let stand_in = StandIn::opensearch("3.4.0");
    let (server, mut world) = world(&stand_in, "basic").await;
    world.set("WRITER_SECRET_ID", "");
    let done = world.apply().await;
    assert!(line_of(&done, "user of microservices-writer").contains("set WriterSecretId to the id"));
    assert!(
        !server
            .take_requests()
            .iter()
            .any(|request| request.path_and_query().contains("microservices-writer-a"))
    );
}

#[tokio::test]
async fn elasticsearchs_keys_alternate_between_two_names() {
    let stand_in = StandIn::elasticsearch("8.19.21");
    let (_server, mut world) = world(&stand_in, "api_key").await;
    world.apply().await;
    let first = world.secrets.json("writer");
    assert_eq!(text(&first, "api_key_name"), "microservices-writer-a");
    let done = world.apply().await;
    assert!(line_of(&done, "API key of microservices-writer").starts_with("unchanged"));
    world.rotation = Rotation::Requested;
    world.apply().await;
    world.apply().await;
    let valid = |stand_in: &StandIn| {
        stand_in.change(|state| {
            let keys = state.keys.iter().filter(|key| key["invalidated"] == false);
            keys.filter_map(|key| key["name"].as_str()).map(str::to_owned).collect::<Vec<_>>()
        })
    };
    let mut names = valid(&stand_in);
    names.retain(|name| name.contains("writer"));
    assert_eq!(names, ["microservices-writer-b", "microservices-writer-a"]);
    // A key keeps the rights that its role had. Changed rights need another key.
    world.rotation = Rotation::IfNeeded;
    world
        .secrets
        .put("writer", &world.secrets.json("writer").to_string().replace(text(&first, "permissions"), "0"));
    let done = world.apply().await;
    assert!(line_of(&done, "API key of microservices-writer").contains("the rights of its role changed"));
}

/// An Elasticsearch whose administrator logs in with the API key of a secret, as on Elastic Cloud.
async fn world_of_key(stand_in: &StandIn, auth: &str) -> (HttpServer, World) {
    stand_in.change(|state| state.key_secrets.insert("admin".into(), "hunter2-key".into()));
    let (server, mut world) = world(stand_in, auth).await;
    let key = base64_simd::STANDARD.encode_to_string("admin:hunter2-key");
    world.secrets.put("administrator", &json!({"api_key": key}).to_string());
    for (name, text) in [
        ("SEARCH_USERNAME", ""),
        ("SEARCH_PASSWORD", ""),
        ("SEARCH_AUTH", "secret"),
        ("SEARCH_SECRET_ID", "administrator"),
    ] {
        world.set(name, text);
    }
    (server, world)
}

#[tokio::test]
async fn an_administrator_with_an_api_key_applies_everything_and_creates_users() {
    let stand_in = StandIn::elasticsearch("8.19.21");
    let (server, world) = world_of_key(&stand_in, "basic").await;
    let done = world.apply().await;
    assert_eq!(done.report.failures, Vec::<String>::new());
    assert!(line_of(&done, "user of microservices-writer").starts_with("applied"));
    let done = world.apply().await;
    assert!(line_of(&done, "user of microservices-writer").starts_with("unchanged"));
    assert!(line_of(&done, "lifecycle policy microservices").starts_with("unchanged"));
    let logins = server.take_requests();
    let is_key = |login: &str| login.starts_with("ApiKey ");
    assert!(logins.iter().any(|request| request.header("authorization").is_some_and(is_key)));
}

#[tokio::test]
async fn an_administrator_with_an_api_key_cannot_create_keys_and_is_shown_the_ways_out() {
    let stand_in = StandIn::elasticsearch("8.19.21");
    let (_server, world) = world_of_key(&stand_in, "api_key").await;
    let done = world.apply().await;
    assert_eq!(done.report.failures.len(), 2, "{}", done.report);
    for failure in &done.report.failures {
        assert!(
            failure.contains("set FunctionAuth to `basic`") && failure.contains("keys of your own"),
            "{failure}"
        );
    }
}

#[tokio::test]
async fn opensearchs_keys_are_revoked_except_the_last_two() {
    let stand_in = StandIn::opensearch("3.7.0");
    let (server, mut world) = world(&stand_in, "api_key").await;
    stand_in
        .change(|state| state.keys.push(json!({"id": "theirs", "name": "microservices-writer-of-others"})));
    world.apply().await;
    let done = world.apply().await;
    assert!(line_of(&done, "API key of microservices-writer").starts_with("unchanged"), "{}", done.report);
    let requests = server.take_requests();
    let create = requests
        .iter()
        .find(|request| request.line().starts_with("POST _plugins/_security/api/apitokens"))
        .unwrap();
    let body = create.json();
    assert!(body["index_permissions"][0]["index_pattern"].is_array(), "{body}");
    assert!(text(&body, "name").bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)));
    world.rotation = Rotation::Requested;
    for _ in 0..3 {
        world.apply().await;
    }
    let (valid, revoked) = stand_in.change(|state| {
        let is_writers = |key: &&Value| key["name"].as_str().unwrap().starts_with("microservices-writer-");
        let (revoked, valid): (Vec<_>, Vec<_>) =
            state.keys.iter().filter(is_writers).cloned().partition(|key| key["revoked_at"].is_number());
        (valid, revoked.len())
    });
    assert_eq!((valid.len(), revoked), (3, 2), "not the last two and the one of others");
    assert_eq!(world.secrets.json("writer")["api_key_id"], valid[2]["id"]);
}

#[tokio::test]
async fn missing_support_for_api_keys_is_a_failure() {
    let stand_in = StandIn::opensearch("3.4.0");
    let text = "no handler found for uri [/_plugins/_security/api/apitokens] and method [POST]";
    stand_in.refuse("_plugins/_security/api/apitokens", 400, json!({"error": text}));
    let (_server, world) = world(&stand_in, "api_key").await;
    let done = world.apply().await;
    assert_eq!(done.report.failures.len(), 2, "{}", done.report);
    assert!(done.report.failures[0].contains("use 3.7 or newer"), "{}", done.report);
}

#[tokio::test]
async fn iam_roles_are_mapped_and_a_previous_role_loses_its_rights() {
    let stand_in = StandIn::opensearch("3.4.0");
    let server = stand_in.start().await;
    let mut world = World::new(server.endpoint()).with(&[
        ("FUNCTION_AUTH", "sigv4"),
        ("WRITER_ROLE_ARN", "arn:aws:iam::123456789012:role/writer"),
        ("READER_BACKEND_ROLES", "support,developers"),
    ]);
    const MAPPING: &str = "_plugins/_security/api/rolesmapping";
    let by_hand = json!({"backend_roles": ["auditors"], "users": ["eve"], "hosts": []});
    stand_in.change(|state| state.resources.insert(format!("{MAPPING}/microservices-reader"), (by_hand, 1)));
    let done = world.apply().await;
    assert!(line_of(&done, "IAM role in microservices-writer").starts_with("applied"));
    assert!(line_of(&done, "IAM role in microservices-replayer").contains("ReplayerRoleArn is not set"));
    let mapping = |who: &str| {
        stand_in.change(|state| state.resources[&format!("{MAPPING}/microservices-{who}")].0.clone())
    };
    assert_eq!(mapping("writer")["backend_roles"], json!(["arn:aws:iam::123456789012:role/writer"]));
    assert_eq!(mapping("reader")["backend_roles"], json!(["auditors", "support", "developers"]));
    assert_eq!(mapping("reader")["users"], json!(["eve"]));
    world.set("WRITER_ROLE_ARN", "arn:aws:iam::123456789012:role/other");
    let done = world.apply().await;
    assert_eq!(mapping("writer")["backend_roles"], json!(["arn:aws:iam::123456789012:role/other"]));
    assert!(line_of(&done, "people of the role").starts_with("unchanged"));
}

/// Collects the log.
#[derive(Clone, Default)]
struct LogBuffer(Arc<Mutex<Vec<u8>>>);

impl Write for LogBuffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for LogBuffer {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn no_credential_appears_in_a_report_or_a_log() {
    let logged = LogBuffer::default();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(logged.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    for (stand_in, auth, member) in [
        (StandIn::opensearch("3.7.0"), "basic", "password"),
        (StandIn::opensearch("3.7.0"), "api_key", "api_key"),
        (StandIn::elasticsearch("8.19.21"), "basic", "password"),
        (StandIn::elasticsearch("8.19.21"), "api_key", "api_key"),
    ] {
        let (_server, mut world) = world(&stand_in, auth).await;
        world.set("REPLAYER_SECRET_ID", "");
        let mut output = String::new();
        let mut secrets = vec![crate::stand_in::ADMIN.1.to_owned()];
        for _ in 0..3 {
            world.rotation = Rotation::Requested;
            output.push_str(&format!("{:?}\n", world.apply().await));
            let last = text(&world.secrets.json("writer"), member).to_owned();
            // The cluster repeats what it rejects.
            let refused = json!({"error": {"reason": format!("what you sent was {last}")}, "status": 400});
            for path in ["_plugins/_security/authinfo", "_security/_authenticate"] {
                stand_in.refuse(path, 400, refused.clone());
            }
            secrets.push(last);
            world.rotation = Rotation::IfNeeded;
            output.push_str(&format!("{:?}\n", world.apply().await));
            stand_in.change(|state| state.refused.clear());
        }
        output.push_str(&world.delete().await.report.to_string());
        output.push_str(&String::from_utf8_lossy(&logged.0.lock().unwrap()));
        for secret in secrets {
            let line = output.lines().find(|line| line.contains(&secret));
            assert_eq!(line, None, "{auth}");
        }
        assert!(output.contains("microservices-writer"), "there is no output");
    }
}
