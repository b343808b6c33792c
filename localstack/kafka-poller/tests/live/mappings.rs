//! Mappings that are created, changed, disabled and deleted while the poller runs.

use std::time::Duration;

use serde_json::json;

use crate::kafka::Topic;
use crate::lambda_api::LambdaApi;
use crate::process::Poller;
use crate::wait;

#[test]
fn mappings_are_followed_when_they_are_created_changed_and_deleted() {
    let topic = Topic::new("order.events", 1);
    let api = LambdaApi::start();
    let poller = Poller::start(&api);
    let n_stopped = || poller.log().matches("mapping is no longer served").count();
    topic.produce_numbers(0, 0..20);
    let uuid = api.map(&topic, json!({"BatchSize": 10}));
    wait::until("a new mapping is served", || api.n_delivered() == 20);

    api.update(&uuid, json!({"BatchSize": 5}));
    topic.produce_numbers(0, 20..40);
    wait::until("a changed mapping is served", || api.n_delivered() == 40);
    // The change is noticed at the next refresh, perhaps after some records were delivered with the old batch size.
    wait::until("the change is followed", || {
        let (n_invocations, n_delivered) = (api.invocations().len(), api.n_delivered());
        topic.produce_numbers(0, 40..60);
        wait::until("the next are delivered", || api.n_delivered() == n_delivered + 20);
        api.invocations()[n_invocations..].iter().all(|it| it.records().count() <= 5)
    });

    api.update(&uuid, json!({"State": "Disabled"}));
    wait::until("a disabled mapping is stopped", || n_stopped() == 2);
    let n_before = api.n_delivered();
    topic.produce_numbers(0, 0..10);
    let idle = Duration::from_secs(2);
    wait::throughout(idle, "a disabled mapping is not served", || api.n_delivered() == n_before);

    api.update(&uuid, json!({"State": "Enabled"}));
    wait::until("an enabled mapping continues where it was", || api.n_delivered() == n_before + 10);

    api.delete(&uuid);
    wait::until("a deleted mapping is stopped", || n_stopped() == 3);
    topic.produce_numbers(0, 0..10);
    wait::throughout(idle, "a deleted mapping is not served", || api.n_delivered() == n_before + 10);
    let all: Vec<i64> = (0..).take(n_before + 10).collect();
    assert_eq!(api.delivered()[&0], all, "nothing twice, nothing missing");
}

#[test]
fn a_mapping_that_cannot_be_served_hides_no_other() {
    let topic = Topic::new("order.events", 1);
    topic.produce_numbers(0, 0..5);
    let api = LambdaApi::start();
    api.map(&topic, json!({"Topics": ["a", "b"]}));
    api.map(&topic, json!({"SourceAccessConfigurations": [{"Type": "SASL_SCRAM_999_AUTH", "URI": "x"}]}));
    api.map(&topic, json!({"FilterCriteria": {"Filters": [{"Pattern": "not json"}]}}));
    api.map(
        &topic,
        json!({"DestinationConfig": {"OnFailure": {"Destination": format!("kafka://{}", topic.name)}}}),
    );
    api.map(&topic, json!({"BatchSize": "ten"}));
    api.map(&topic, json!({}));
    let poller = Poller::start(&api);
    wait::until("the good mapping is served", || api.n_delivered() == 5);
    for problem in [
        "names 2 topics",
        "filter pattern is not JSON",
        "is the topic that the mapping reads",
        "returned a response that can't be parsed",
    ] {
        wait::until(problem, || poller.log().contains(problem));
    }
}

#[test]
fn a_topic_that_is_created_later_is_served_then() {
    let later = Topic::not_made("order.events");
    let api = LambdaApi::start();
    api.map(&later, json!({}));
    let poller = Poller::start(&api);
    wait::until("the mapping is served", || poller.log().contains("serving mapping"));
    later.make(2);
    later.produce_numbers(1, 0..10);
    wait::until("its records are delivered", || api.n_delivered() == 10);
}
