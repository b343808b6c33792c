//! What becomes of records that do not pass the registry.

use serde_json::{Value, json};

use crate::kafka::Topic;
use crate::lambda_api::LambdaApi;
use crate::process::Poller;
use crate::registry::{AVRO, AVRO_ORDER, JSON_SCHEMA, config, framed, register, url};
use crate::wait;

const UNKNOWN: u32 = 2_000_000_000;
/// No registry can have it.
const IMPOSSIBLE: u32 = u32::MAX;

/// Writes five orders with four bad records among them: 1 doesn't fit, 3 and 4 have unknown schemas, 5 has none.
fn write(topic: &Topic) -> Vec<Vec<u8>> {
    let (avro, json_schema) = (register("AVRO", AVRO), register("JSON", JSON_SCHEMA));
    let good = framed(avro, AVRO_ORDER);
    let bad = [
        framed(json_schema, br#"{"total": 1}"#),
        framed(UNKNOWN, AVRO_ORDER),
        framed(IMPOSSIBLE, AVRO_ORDER),
        b"plain text".to_vec(),
    ];
    let [misfit, unknown, impossible, plain] = bad.clone();
    let all =
        [good.clone(), misfit, good.clone(), unknown, impossible, plain, good.clone(), good.clone(), good];
    topic.produce(0, all);
    bad.to_vec()
}

#[test]
fn what_does_not_pass_goes_to_the_destination_as_it_was_and_the_rest_to_the_function() {
    let (topic, failed) = (Topic::new("order.events", 1), Topic::new("failed", 1));
    let bad = write(&topic);
    let api = LambdaApi::start();
    let mut mapping = config(&url(), "JSON", &["VALUE"]);
    mapping["DestinationConfig"] = json!({"OnFailure": {"Destination": format!("kafka://{}", failed.name)}});
    let uuid = api.map(&topic, mapping);
    let poller = Poller::start(&api);
    wait::until("all is committed", || topic.committed(&uuid, 0) == Some(9));
    assert_eq!(api.delivered()[&0], [0, 2, 6, 7, 8]);
    let documents: Vec<Value> = failed
        .read(4)
        .iter()
        .map(|message| serde_json::from_slice(rdkafka::Message::payload(message).unwrap()).unwrap())
        .collect();
    let (misfit, unknown) = ("DESERIALIZATION_ERROR", "SCHEMA_NOT_FOUND");
    let expected = [(1, misfit), (3, unknown), (4, unknown), (5, misfit)];
    for ((document, bad), (offset, condition)) in documents.iter().zip(&bad).zip(expected) {
        assert_eq!(document["requestContext"]["condition"], condition);
        assert_eq!(document["requestContext"]["approximateInvokeCount"], 0);
        assert_eq!(document["responseContext"], Value::Null);
        assert_eq!(document["KafkaBatchInfo"]["recordInfo"]["offset"], offset.to_string());
        let record = &document["payload"]["records"][format!("{}-0", topic.name)][0];
        assert_eq!(record["value"], base64_simd::STANDARD.encode_to_string(bad));
        assert_eq!(record.get("valueSchemaMetadata"), None);
    }
    let log = poller.log();
    for reason in [
        "is a required property",
        "schema 2000000000, which the registry does not have",
        "the value does not begin with 0x00 and the id of a schema",
    ] {
        assert!(log.contains(reason), "{reason}");
    }
}

#[test]
fn without_a_destination_the_loss_is_an_error_of_the_log_as_lambda_drops_them() {
    let topic = Topic::new("order.events", 1);
    write(&topic);
    let api = LambdaApi::start();
    let uuid = api.map(&topic, config(&url(), "JSON", &["VALUE"]));
    let poller = Poller::start(&api);
    wait::until("all is committed", || topic.committed(&uuid, 0) == Some(9));
    assert_eq!(api.delivered()[&0], [0, 2, 6, 7, 8]);
    let lost = "records are lost: discarded, and the mapping has no destination";
    assert!(poller.log().matches(lost).count() >= 2, "the two conditions");
}

#[test]
fn a_glue_registry_is_refused_and_hides_no_other_mapping() {
    let topic = Topic::new("order.events", 1);
    topic.produce(0, [framed(register("AVRO", AVRO), AVRO_ORDER)]);
    let api = LambdaApi::start();
    api.map(&topic, config("arn:aws:glue:us-east-1:123456789012:registry/events", "JSON", &["VALUE"]));
    api.map(&topic, config(&url(), "JSON", &["VALUE"]));
    let poller = Poller::start(&api);
    wait::until("the good mapping is served", || api.n_delivered() == 1);
    wait::until("the refusal is logged", || poller.log().contains("which only AWS serves"));
}
