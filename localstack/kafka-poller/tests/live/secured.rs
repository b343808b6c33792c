//! Brokers that require TLS and a login or a certificate, with the secrets in Secrets Manager.

use http::Method;
use serde_json::{Value, json};

use crate::kafka::Topic;
use crate::lambda_api::LambdaApi;
use crate::process::Poller;
use crate::secured_kafka::{Authority, Identity, PASSWORD, SecuredKafka, USERNAME};
use crate::services::Services;
use crate::wait;

/// A kind of access, and the secret that it names.
type Access = (&'static str, Value);

fn login(kind: &'static str, password: &str) -> Access {
    (kind, json!({"username": USERNAME, "password": password}))
}

fn trust(authority: &Authority) -> Access {
    ("SERVER_ROOT_CA_CERTIFICATE", json!({"certificate": authority.pem}))
}

fn certificate(authority: &Authority) -> Access {
    let Identity { certificate, key } = authority.sign("client");
    ("CLIENT_CERTIFICATE_TLS_AUTH", json!({"certificate": certificate, "privateKey": key}))
}

fn make_secret(services: &Services, value: &Value) -> String {
    let name = format!("secret-{:08x}", rand::random::<u32>());
    let headers =
        [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", "secretsmanager.CreateSecret")];
    let token = format!("{:032x}", rand::random::<u128>());
    let body = json!({"Name": name, "SecretString": value.to_string(), "ClientRequestToken": token});
    let response = services.call("secretsmanager", Method::POST, "/", &headers, body.to_string());
    let response: Value = serde_json::from_slice(&response.body).unwrap();
    response["ARN"].as_str().unwrap().to_owned()
}

/// Serves a mapping of a topic with ten numbers by a real poller.
fn serve(servers: &str, access: &[Access]) -> (LambdaApi, Poller) {
    let services = Services::new();
    let topic = SecuredKafka::get().ten_numbers();
    let mut configurations: Vec<Value> = access
        .iter()
        .map(|(kind, secret)| json!({"Type": kind, "URI": make_secret(&services, secret)}))
        .collect();
    configurations.push(json!({"Type": "VPC_SUBNET", "URI": "subnet:subnet-1"}));
    let api = LambdaApi::start();
    api.map(
        &Topic::not_made("unused"),
        json!({
            "Topics": [topic],
            "SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": [servers]}},
            "SourceAccessConfigurations": configurations,
        }),
    );
    let poller = Poller::start(&api);
    (api, poller)
}

#[track_caller]
fn is_read(servers: &str, access: &[Access]) {
    let (api, _poller) = serve(servers, access);
    wait::until("all are delivered", || api.n_delivered() == 10);
}

#[track_caller]
fn is_refused(servers: &str, access: &[Access], problem: &str) {
    let (api, poller) = serve(servers, access);
    wait::until("the failure is logged", || {
        poller.log().lines().any(|line| line.contains("WARN") && line.contains(problem))
    });
    assert_eq!(api.n_delivered(), 0);
}

#[test]
fn a_cluster_is_read_with_each_kind_of_login() {
    let kafka = SecuredKafka::get();
    for kind in ["BASIC_AUTH", "SASL_SCRAM_256_AUTH", "SASL_SCRAM_512_AUTH"] {
        is_read(&kafka.login, &[login(kind, PASSWORD), trust(&kafka.authority)]);
    }
}

#[test]
fn a_cluster_is_read_with_a_clients_certificate() {
    let kafka = SecuredKafka::get();
    is_read(&kafka.certificate, &[certificate(&kafka.authority), trust(&kafka.authority)]);
}

#[test]
fn a_wrong_password_is_logged_and_nothing_is_delivered() {
    let kafka = SecuredKafka::get();
    for kind in ["BASIC_AUTH", "SASL_SCRAM_256_AUTH", "SASL_SCRAM_512_AUTH"] {
        is_refused(&kafka.login, &[login(kind, "wrong"), trust(&kafka.authority)], "SASL");
    }
}

#[test]
fn an_unknown_authority_of_the_broker_is_logged_and_nothing_is_delivered() {
    let kafka = SecuredKafka::get();
    is_refused(&kafka.login, &[login("SASL_SCRAM_512_AUTH", PASSWORD)], "SSL");
    is_refused(&kafka.certificate, &[certificate(&kafka.authority), trust(&Authority::new())], "SSL");
}

#[test]
fn a_client_without_a_certificate_of_the_brokers_authority_is_refused() {
    let kafka = SecuredKafka::get();
    is_refused(&kafka.certificate, &[trust(&kafka.authority)], "SSL");
    is_refused(&kafka.certificate, &[certificate(&Authority::new()), trust(&kafka.authority)], "SSL");
}
