//! A registry that is away, or that does not respond as one: records wait, and none is lost.

use std::time::Duration;

use serde_json::json;

use crate::kafka::Topic;
use crate::lambda_api::LambdaApi;
use crate::process::Poller;
use crate::registry::{AVRO, AVRO_ORDER, Front, JSON_ORDER, JSON_SCHEMA, config, framed, register};
use crate::wait;

#[test]
fn while_the_registry_is_away_records_wait_and_then_arrive_in_order() {
    let mut front = Front::start();
    let (first, second) = (register("AVRO", AVRO), register("JSON", JSON_SCHEMA));
    let (topic, failed) = (Topic::new("order.events", 2), Topic::new("failed", 1));
    topic.produce(0, (0..50).map(|_| framed(first, AVRO_ORDER)));
    let api = LambdaApi::start();
    let mut mapping = config(&front.url(), "JSON", &["VALUE"]);
    mapping["DestinationConfig"] = json!({"OnFailure": {"Destination": format!("kafka://{}", failed.name)}});
    let uuid = api.map(&topic, mapping);
    let poller = Poller::start_with(&api, &["--listen", "127.0.0.1:0"]);
    wait::until("the first are delivered", || api.n_delivered() == 50);

    front.vanish();
    topic.produce(0, (0..10).map(|_| framed(second, JSON_ORDER)));
    topic.produce(0, (0..10).map(|_| framed(first, AVRO_ORDER)));
    topic.produce(1, (0..10).map(|_| framed(first, AVRO_ORDER)));
    wait::until("the request is retried", || {
        poller.log().matches("a schema could not be fetched; its records wait").count() >= 3
    });
    wait::until("a partition whose schemas are known goes on", || api.n_delivered() == 60);
    assert_eq!(topic.committed(&uuid, 0), Some(50));

    front.listen();
    wait::until("all are delivered", || api.n_delivered() == 80);
    let expected: Vec<i64> = (0..70).collect();
    assert_eq!(api.delivered()[&0], expected, "in order, nothing twice");
    wait::until("all is committed", || topic.committed(&uuid, 0) == Some(70));
}

#[test]
fn no_response_but_the_registrys_own_404_sends_a_record_to_the_destination() {
    let front = Front::start();
    let (topic, failed) = (Topic::new("order.events", 1), Topic::new("failed", 1));
    topic.produce(0, [framed(register("AVRO", AVRO), AVRO_ORDER)]);
    let api = LambdaApi::start();
    let mut mapping = config(&front.url(), "JSON", &["VALUE"]);
    mapping["DestinationConfig"] = json!({"OnFailure": {"Destination": format!("kafka://{}", failed.name)}});
    let uuid = api.map(&topic, mapping);
    front.respond(Some((503, "busy")));
    let _poller = Poller::start(&api);
    for instead in [
        (503, "busy"),
        (401, r#"{"error_code": 401, "message": "Unauthorized"}"#),
        (404, "<html>no such page</html>"),
        (200, "<html>sign in</html>"),
    ] {
        front.respond(Some(instead));
        let n_before = front.requests().len();
        wait::until("the request is retried", || front.requests().len() >= n_before + 2);
        assert_eq!((topic.committed(&uuid, 0).unwrap_or(0), api.n_delivered()), (0, 0), "{instead:?}");
    }
    front.respond(None);
    wait::until("it is delivered", || api.n_delivered() == 1);
    wait::until("it is committed", || topic.committed(&uuid, 0) == Some(1));
}

#[test]
fn a_poller_that_is_stopped_while_records_wait_loses_none() {
    let mut front = Front::start();
    let topic = Topic::new("order.events", 1);
    topic.produce(0, (0..10).map(|_| framed(register("AVRO", AVRO), AVRO_ORDER)));
    let api = LambdaApi::start();
    let uuid = api.map(&topic, config(&front.url(), "JSON", &["VALUE"]));
    front.vanish();
    let poller = Poller::start(&api);
    wait::until("the registry is missed", || poller.log().contains("its records wait"));
    assert!(poller.stop().success());
    assert_eq!((topic.committed(&uuid, 0), api.n_delivered()), (Some(0), 0));
    front.listen();
    let _poller = Poller::start(&api);
    wait::until("all are delivered", || api.n_delivered() == 10);
    wait::throughout(Duration::from_millis(300), "none comes twice", || api.n_delivered() == 10);
}
