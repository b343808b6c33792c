//! The requests that the function signs with its role's credentials: `infra/tests/test_policies.py` holds the template's policies to them. The
//! cluster and AWS's services are stand-ins, because only the requests matter.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use testing::aws_services::AwsServices;
use testing::function_process::invoke_all;
use testing::iam_requests::{CA_CERTIFICATE, CA_SECRET, assert_kept, signed};

use crate::custom_resource::{cloudformation, request, start_open};
use crate::index_management::Index;
use crate::stand_in::{ADMIN, StandIn};

/// ARN of a secret. The template's own secrets have the names of their resources.
fn secret(name: &str) -> String {
    format!("arn:aws:secretsmanager:eu-central-1:123456789012:secret:{name}-AbCdEf")
}

async fn run(variables: &[(&str, &str)], properties: Value) -> BTreeSet<String> {
    let stand_in = StandIn::opensearch("3.4.0");
    stand_in.change(|state| {
        state.indices.insert("microservices-2026.01.01", Index::unmanaged());
        state.data.insert("microservices-2026.01.02".into(), json!({"settings": {"index": {"uuid": "u"}}}));
    });
    let (cluster, cloudformation) = (start_open(&stand_in).await, cloudformation().await);
    let mut services = AwsServices::default();
    services.domains.insert("events".into(), cluster.endpoint().to_owned());
    let admin = json!({"username": ADMIN.0, "password": ADMIN.1}).to_string();
    services.secrets.insert(secret("admin"), admin);
    for name in ["WriterSecret", "ReplayerSecret"] {
        services.secrets.insert(secret(name), "{}".into());
    }
    services.secrets.insert(CA_SECRET.into(), CA_CERTIFICATE.into());
    let services = services.start().await.unwrap();
    let all = [("AWS_ENDPOINT_URL", services.endpoint()), ("SEARCH_ENDPOINT", cluster.endpoint())];
    let is_by_name = variables.iter().any(|(name, _)| *name == "SEARCH_DOMAIN");
    let all = all.iter().filter(|(name, _)| !(is_by_name && *name == "SEARCH_ENDPOINT")).chain(variables);
    let properties = |more: Value| {
        let mut all = properties.clone();
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    let id = Some("kafka-to-search/microservices");
    let mut changed = request("Update", &cloudformation, id, properties(json!({"RetentionDays": "30"})));
    changed["OldResourceProperties"] = properties(json!({}));
    let events = [
        request("Create", &cloudformation, None, properties(json!({}))),
        changed,
        request("Delete", &cloudformation, id, properties(json!({"DeleteData": "true"}))),
    ];
    invoke_all(env!("CARGO_BIN_EXE_provision-cluster"), all.copied(), events).await.unwrap();
    let responses = cloudformation.take_requests();
    assert_eq!(responses.len(), 3);
    for response in responses {
        assert_eq!(response.json()["Status"], "SUCCESS", "{}", response.text());
    }
    signed(cluster.take_requests().iter().chain(&services.take_requests()))
}

#[tokio::test]
async fn the_requests_that_need_the_roles_rights_are_kept() {
    let with_roles = json!({"FunctionAuth": "sigv4",
        "WriterRoleArn": "arn:aws:iam::123456789012:role/writer", "ReplayerRoleArn": "arn:aws:iam::123456789012:role/replayer"});
    let with_secrets = json!({"FunctionAuth": "basic", "WriterSecretId": secret("WriterSecret"),
        "ReplayerSecretId": secret("ReplayerSecret")});
    let admin = secret("admin");
    let as_admin = [("SEARCH_AUTH", "secret"), ("SEARCH_SECRET_ID", admin.as_str())];
    let runs = BTreeMap::from([
        ("domain", run(&[("SEARCH_DOMAIN", "events"), ("SEARCH_AUTH", "sigv4")], with_roles.clone()).await),
        ("endpoint", run(&[("SEARCH_AUTH", "sigv4")], with_roles).await),
        ("secret", run(&as_admin, with_secrets.clone()).await),
        (
            "secret, CA secret",
            run(&[&as_admin[..], &[("SEARCH_CA_CERT", CA_SECRET)]].concat(), with_secrets).await,
        ),
    ]);
    assert_kept("provision-cluster", &runs).unwrap();
}
