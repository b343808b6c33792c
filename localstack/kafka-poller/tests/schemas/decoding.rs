//! What the function gets of keys and values that fit their schemas.

use base64_simd::STANDARD;
use serde_json::{Value, json};

use crate::kafka::Topic;
use crate::lambda_api::LambdaApi;
use crate::process::Poller;
use crate::registry::{
    AVRO, AVRO_ORDER, Front, JSON_ORDER, JSON_SCHEMA, PROTOBUF, PROTOBUF_ORDER, config, config_with, framed,
    register, register_with, url,
};
use crate::services::Services;
use crate::wait;

fn record(api: &LambdaApi, offset: i64) -> Value {
    let invocations = api.invocations();
    let mut records = invocations.iter().flat_map(|invocation| invocation.records());
    Value::Object(records.find(|record| record["offset"] == offset).unwrap().clone())
}

fn bytes(record: &Value, name: &str) -> Vec<u8> {
    STANDARD.decode_to_vec(record[name].as_str().unwrap()).unwrap()
}

/// The order as each language writes it, framed, with the name and the id of the schema.
fn orders() -> [(&'static str, u32, &'static [u8]); 3] {
    [
        ("AVRO", register("AVRO", AVRO), AVRO_ORDER),
        ("PROTOBUF", register("PROTOBUF", PROTOBUF), PROTOBUF_ORDER),
        ("JSON", register("JSON", JSON_SCHEMA), JSON_ORDER),
    ]
}

#[test]
fn avro_protobuf_and_json_schema_reach_the_function_as_json() {
    let topic = Topic::new("order.events", 1);
    let orders = orders();
    topic.produce(0, orders.iter().map(|(_, id, body)| framed(*id, body)));
    let api = LambdaApi::start();
    api.map(&topic, config(&url(), "JSON", &["VALUE"]));
    let _poller = Poller::start(&api);
    wait::until("all are delivered", || api.n_delivered() == 3);
    for (offset, (format, id, _)) in (0..).zip(&orders) {
        let record = record(&api, offset);
        let value: Value = serde_json::from_slice(&bytes(&record, "value")).unwrap();
        // As proto3's JSON mapping names it.
        let name = if *format == "PROTOBUF" { "orderId" } else { "order_id" };
        assert_eq!(value, json!({name: "o-1", "total": 2.5}), "{format}");
        let metadata = json!({"dataFormat": format, "schemaId": id.to_string()});
        assert_eq!(record["valueSchemaMetadata"], metadata);
        assert_eq!(record.get("keySchemaMetadata"), None);
    }
}

#[test]
fn source_reaches_the_function_without_the_id_of_its_schema() {
    let topic = Topic::new("order.events", 1);
    let orders = orders();
    topic.produce(0, orders.iter().map(|(_, id, body)| framed(*id, body)));
    let api = LambdaApi::start();
    api.map(&topic, config(&url(), "SOURCE", &["VALUE"]));
    let _poller = Poller::start(&api);
    wait::until("all are delivered", || api.n_delivered() == 3);
    for (offset, (format, id, body)) in (0..).zip(&orders) {
        let record = record(&api, offset);
        assert_eq!(bytes(&record, "value"), *body, "{format}");
        assert_eq!(record["valueSchemaMetadata"], json!({"dataFormat": format, "schemaId": id.to_string()}));
    }
}

#[test]
fn a_key_is_validated_where_the_mapping_says_so_and_a_null_value_passes() {
    let topic = Topic::new("order.events", 1);
    let (key, value) = (register("AVRO", r#""string""#), register("AVRO", AVRO));
    topic.produce_whole(&framed(key, b"\x04k1"), Some(&framed(value, AVRO_ORDER)), &[("trace", Some(b"1"))]);
    topic.produce_whole(&framed(key, b"\x04k1"), None, &[]);
    let api = LambdaApi::start();
    api.map(&topic, config(&url(), "JSON", &["KEY", "VALUE"]));
    let _poller = Poller::start(&api);
    wait::until("all are delivered", || api.n_delivered() == 2);
    let (order, tombstone) = (record(&api, 0), record(&api, 1));
    let of_key = json!({"dataFormat": "AVRO", "schemaId": key.to_string()});
    assert_eq!((bytes(&order, "key"), &order["keySchemaMetadata"]), (br#""k1""#.to_vec(), &of_key));
    assert_eq!(order["valueSchemaMetadata"]["schemaId"], value.to_string());
    assert_eq!(order["headers"], json!([{"trace": [49]}]));
    assert_eq!((&tombstone["value"], &tombstone["keySchemaMetadata"]), (&Value::Null, &of_key));
    assert_eq!(tombstone.get("valueSchemaMetadata"), None);
}

#[test]
fn filters_see_the_decoded_value_in_both_formats() {
    let id = register("AVRO", AVRO);
    let other = [b"\x06o-2".as_slice(), &AVRO_ORDER[4..]].concat();
    for format in ["JSON", "SOURCE"] {
        let topic = Topic::new("order.events", 1);
        topic.produce(0, [framed(id, AVRO_ORDER), framed(id, &other), framed(id, AVRO_ORDER)]);
        let api = LambdaApi::start();
        let mut mapping = config(&url(), format, &["VALUE"]);
        mapping["FilterCriteria"] = json!({"Filters": [{"Pattern": r#"{"value":{"order_id":["o-1"]}}"#}]});
        let uuid = api.map(&topic, mapping);
        let _poller = Poller::start(&api);
        wait::until("all is committed", || topic.committed(&uuid, 0) == Some(3));
        assert_eq!(api.delivered()[&0], [0, 2], "{format}");
    }
}

#[test]
fn schemas_that_others_refer_to_are_fetched_too() {
    let money = r#"{"type": "record", "name": "Money", "namespace": "shop", "fields": [{"name": "cents", "type": "long"}]}"#;
    let (_, subject) = register_with("AVRO", money, &json!([]));
    let order = r#"{"type": "record", "name": "Order", "fields": [{"name": "total", "type": "shop.Money"}]}"#;
    let references = json!([{"name": "shop.Money", "subject": subject, "version": 1}]);
    let (avro, _) = register_with("AVRO", order, &references);
    let (_, subject) =
        register_with("JSON", r#"{"type": "object", "properties": {}, "required": ["cents"]}"#, &json!([]));
    let references = json!([{"name": "money.json", "subject": subject, "version": 1}]);
    let order = r#"{"type": "object", "properties": {"total": {"$ref": "money.json"}}}"#;
    let (json_schema, _) = register_with("JSON", order, &references);
    let topic = Topic::new("order.events", 1);
    topic.produce(0, [framed(avro, b"\x08"), framed(json_schema, br#"{"total": {"cents": 4}}"#)]);
    let api = LambdaApi::start();
    api.map(&topic, config(&url(), "JSON", &["VALUE"]));
    let _poller = Poller::start(&api);
    wait::until("all are delivered", || api.n_delivered() == 2);
    assert_eq!(api.values(), [r#"{"total":{"cents":4}}"#, r#"{"total": {"cents": 4}}"#]);
}

#[test]
fn a_schema_is_fetched_once_for_all_partitions() {
    let front = Front::start();
    let topic = Topic::new("order.events", 3);
    let (first, second) = (register("AVRO", AVRO), register("JSON", JSON_SCHEMA));
    for partition in 0..3 {
        let records = (0..200).map(|n| match n % 2 {
            0 => framed(first, AVRO_ORDER),
            _ => framed(second, JSON_ORDER),
        });
        topic.produce(partition, records);
    }
    let api = LambdaApi::start();
    api.map(&topic, config(&front.url(), "JSON", &["VALUE"]));
    let _poller = Poller::start(&api);
    wait::until("all are delivered", || api.n_delivered() == 600);
    let in_order: Vec<i64> = (0..200).collect();
    assert!(api.delivered().values().all(|offsets| *offsets == in_order));
    let mut paths: Vec<String> = front.requests().into_iter().map(|(path, _)| path).collect();
    paths.sort();
    let mut expected = [format!("schemas/ids/{first}"), format!("schemas/ids/{second}")];
    expected.sort();
    assert_eq!(paths, expected);
}

#[test]
fn the_poller_logs_in_with_the_secret_that_the_mapping_names() {
    let services = Services::new();
    let name = format!("registry-{:08x}", rand::random::<u32>());
    let headers =
        [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", "secretsmanager.CreateSecret")];
    let login = json!({"username": "me", "password": "hush"});
    let token = format!("{:032x}", rand::random::<u128>());
    let secret = json!({"Name": name, "SecretString": login.to_string(), "ClientRequestToken": token});
    let made = services.call("secretsmanager", http::Method::POST, "/", &headers, secret.to_string());
    let made: Value = serde_json::from_slice(&made.body).unwrap();
    let front = Front::start();
    let topic = Topic::new("order.events", 1);
    topic.produce(0, [framed(register("AVRO", AVRO), AVRO_ORDER)]);
    let api = LambdaApi::start();
    let access = json!([{"Type": "BASIC_AUTH", "URI": made["ARN"]}]);
    api.map(&topic, config_with(&front.url(), "JSON", &["VALUE"], &access));
    let poller = Poller::start(&api);
    wait::until("it is delivered", || api.n_delivered() == 1);
    let login = format!("Basic {}", STANDARD.encode_to_string("me:hush"));
    assert_eq!(front.requests()[0].1.as_deref(), Some(login.as_str()));
    assert!(!poller.log().contains("hush"), "the password is not logged");
}
