//! Brokers that want TLS and a login, with the secrets in Secrets Manager.
//!
//! KAFKA_SASL_BOOTSTRAP_SERVERS names a Kafka that speaks SASL_SSL with SCRAM-SHA-512, KAFKA_SASL_USERNAME and
//! KAFKA_SASL_PASSWORD a user that may do everything, KAFKA_SASL_CA the PEM file of its certificate authority.

use std::time::Duration;

use http::Method;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::{Value, json};

use crate::kafka::Topic;
use crate::lambda_api::LambdaApi;
use crate::process::Poller;
use crate::services::Services;
use crate::wait;

fn variable(name: &str) -> String {
    std::env::var(name).expect("the variables at the head of this file are set")
}

fn config() -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", variable("KAFKA_SASL_BOOTSTRAP_SERVERS"))
        .set("security.protocol", "SASL_SSL")
        .set("sasl.mechanism", "SCRAM-SHA-512")
        .set("sasl.username", variable("KAFKA_SASL_USERNAME"))
        .set("sasl.password", variable("KAFKA_SASL_PASSWORD"))
        .set("ssl.ca.location", variable("KAFKA_SASL_CA"));
    config
}

/// Makes a topic with ten numbers in it.
fn ten_numbers() -> String {
    let name = format!("secured.events-{:08x}", rand::random::<u32>());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let admin: AdminClient<DefaultClientContext> = config().create().unwrap();
        let new = NewTopic::new(&name, 1, TopicReplication::Fixed(1));
        let made = admin.create_topics([&new], &AdminOptions::new()).await.unwrap();
        assert!(made.iter().all(Result::is_ok), "{made:?}");
    });
    let producer: BaseProducer = config().create().unwrap();
    for number in 0..10 {
        let value = number.to_string();
        producer.send(BaseRecord::<[u8], str>::to(&name).payload(&value)).unwrap();
    }
    producer.flush(Duration::from_secs(20)).unwrap();
    name
}

fn make_secret(services: &Services, value: &Value) -> String {
    let name = format!("secret-{:08x}", rand::random::<u32>());
    let headers =
        [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", "secretsmanager.CreateSecret")];
    let token = format!("{:032x}", rand::random::<u128>());
    let body = json!({"Name": name, "SecretString": value.to_string(), "ClientRequestToken": token});
    let answer = services.call("secretsmanager", Method::POST, "/", &headers, body.to_string());
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    answer["ARN"].as_str().unwrap().to_owned()
}

fn map(api: &LambdaApi, topic: &str, access: &[(&str, &str)]) {
    let access: Vec<Value> = access.iter().map(|(kind, uri)| json!({"Type": kind, "URI": uri})).collect();
    let servers = json!([variable("KAFKA_SASL_BOOTSTRAP_SERVERS")]);
    api.map(
        &Topic::not_made("unused"),
        json!({
            "Topics": [topic],
            "SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": servers}},
            "SourceAccessConfigurations": access,
        }),
    );
}

#[test]
fn a_secured_cluster_is_read_with_the_secrets_that_the_mapping_names() {
    let services = Services::new();
    let login =
        json!({"username": variable("KAFKA_SASL_USERNAME"), "password": variable("KAFKA_SASL_PASSWORD")});
    let login = make_secret(&services, &login);
    let ca = json!({"certificate": std::fs::read_to_string(variable("KAFKA_SASL_CA")).unwrap()});
    let ca = make_secret(&services, &ca);
    let api = LambdaApi::start();
    let subnet = ("VPC_SUBNET", "subnet:subnet-1");
    map(
        &api,
        &ten_numbers(),
        &[("SASL_SCRAM_512_AUTH", &login), ("SERVER_ROOT_CA_CERTIFICATE", &ca), subnet],
    );
    let _poller = Poller::start(&api);
    wait::until("all are delivered", || api.n_delivered() == 10);
}

#[test]
fn a_wrong_password_or_an_unknown_authority_is_said_and_nothing_is_delivered() {
    let services = Services::new();
    let login = |password: &str| json!({"username": variable("KAFKA_SASL_USERNAME"), "password": password});
    let ca = json!({"certificate": std::fs::read_to_string(variable("KAFKA_SASL_CA")).unwrap()});
    let ca = make_secret(&services, &ca);
    let topic = ten_numbers();
    let wrong = make_secret(&services, &login("wrong"));
    let right = make_secret(&services, &login(&variable("KAFKA_SASL_PASSWORD")));
    for (access, complaint) in [
        (vec![("SASL_SCRAM_512_AUTH", wrong.as_str()), ("SERVER_ROOT_CA_CERTIFICATE", ca.as_str())], "SASL"),
        (vec![("SASL_SCRAM_512_AUTH", right.as_str())], "SSL"),
    ] {
        let api = LambdaApi::start();
        map(&api, &topic, &access);
        let poller = Poller::start(&api);
        wait::until("the failure is said", || {
            poller.log().lines().any(|line| line.contains("WARN") && line.contains(complaint))
        });
        assert_eq!(api.n_delivered(), 0);
    }
}
