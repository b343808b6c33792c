//! The rules under "Ten wishes" in docs/PIPELINE.md do what the page says.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use base64_simd::STANDARD;
use event_pipeline::encoder::Encoder;
use event_pipeline::encoding::Appended;
use event_pipeline::event::read_batch;
use event_pipeline::salt::{Salt, Salts};
use event_pipeline::settings::Settings;
use pipeline_file::{NoScripts, parse};
use serde_json::{Value, json};

/// 2026-03-01T10:20:30.123Z
const K: i64 = 1_772_360_430_123;

/// The rules of a wish, as the page has them.
fn wish(number: usize) -> Vec<String> {
    let page = include_str!("../../../docs/PIPELINE.md");
    let wishes = page.split("## Ten wishes").nth(1).unwrap();
    let line = wishes.lines().find(|line| line.starts_with(&format!("{number}. "))).unwrap();
    let code = line.split('`').skip(1).step_by(2);
    code.filter(|code| code.starts_with("{match:")).map(str::to_owned).collect()
}

fn settings(rules: &[String]) -> Settings {
    let file = rules.iter().fold("topics:\n".to_owned(), |file, rule| format!("{file}  - {rule}\n"));
    let salts = Salts::from([("prod/salt".to_owned(), Salt::parse("0123456789abcdef").unwrap())]);
    let rules = parse(&file, &NoScripts).unwrap().rules(&salts).unwrap();
    Settings { rules, ..Settings::default() }
}

/// The index and document of a record; `None` if it is dropped.
fn made(
    settings: &Settings,
    topic: &str,
    offset: u64,
    tenant: Option<&str>,
    value: &Value,
) -> Option<(String, Value)> {
    let headers: Vec<Value> = tenant.iter().map(|tenant| json!({"tenant": tenant.as_bytes()})).collect();
    let record = json!({"topic": topic, "partition": 0, "offset": offset, "timestamp": K, "headers": headers,
        "value": STANDARD.encode_to_string(value.to_string())});
    let event = serde_json::to_vec(&json!({"records": {format!("{topic}-0"): [record]}})).unwrap();
    let batch = read_batch(&event).unwrap();
    let (mut encoder, mut body) = (Encoder::new(settings.clone()), Vec::new());
    match encoder.append(batch[0].record.as_ref().unwrap(), &mut body).unwrap() {
        Appended::Document(_) => {
            let lines: Vec<_> = body.split(|byte| *byte == b'\n').collect();
            let action: Value = serde_json::from_slice(lines[0]).unwrap();
            let index = action["create"]["_index"].as_str().unwrap().to_owned();
            Some((index, serde_json::from_slice(lines[1]).unwrap()))
        }
        Appended::Dropped => None,
    }
}

fn index(settings: &Settings, topic: &str, tenant: Option<&str>, value: &Value) -> String {
    made(settings, topic, 0, tenant, value).unwrap().0
}

fn document(settings: &Settings, topic: &str, value: &Value) -> Value {
    made(settings, topic, 0, None, value).unwrap().1
}

#[test]
fn the_page_has_ten_wishes_with_a_rule_each() {
    let numbers: Vec<usize> = (1..=10).filter(|number| !wish(*number).is_empty()).collect();
    assert_eq!(numbers, (1..=10).collect::<Vec<_>>());
}

#[test]
fn topics_tenants_and_services_have_indices_of_their_own() {
    let audit = settings(&wish(1));
    assert_eq!(index(&audit, "audit.log", None, &json!({})), "audit-2026.03.01");
    assert_eq!(index(&audit, "order.events", None, &json!({})), "microservices-2026.03.01");
    let by_header = wish(2);
    let tenants = settings(&by_header);
    assert_eq!(index(&tenants, "orders.eu", Some("ACME"), &json!({"tenant": "b"})), "orders-acme-2026.03.01");
    assert_eq!(index(&tenants, "orders.eu", None, &json!({"tenant": "b"})), "orders-none-2026.03.01");
    let tenants = settings(&[by_header[0].replace("{header.tenant|none}", "{payload.tenant|none}")]);
    assert_eq!(index(&tenants, "orders.eu", Some("ACME"), &json!({"tenant": "b"})), "orders-b-2026.03.01");
    assert_eq!(index(&settings(&wish(3)), "order.events", None, &json!({})), "events-order-2026.03.01");
}

#[test]
fn debug_topics_are_dropped_and_a_tenth_of_a_loud_topic_is_kept() {
    assert_eq!(made(&settings(&wish(4)), "debug.order", 0, None, &json!({})), None);
    assert!(made(&settings(&wish(4)), "order.events", 0, None, &json!({})).is_some());
    let sampled = settings(&wish(5));
    let kept = || (0..2_000).filter(|offset| made(&sampled, "clicks", *offset, None, &json!({})).is_some());
    let n_kept = kept().count();
    assert!((140..260).contains(&n_kept), "{n_kept} of 2,000");
    assert!(kept().eq(kept()), "the same records each time");
}

#[test]
fn card_data_is_removed_and_people_are_hashed() {
    let card = json!({"card": {"number": "4111", "cvv": "123", "brand": "visa"}});
    let paid = document(&settings(&wish(6)), "payments.eu", &card);
    assert_eq!(paid["card"], json!({"brand": "visa"}));
    assert!(!paid.to_string().contains("4111"), "{paid}");
    let hashed = settings(&wish(7));
    let user = |email: &str| {
        let user = document(&hashed, "users.eu", &json!({"email": email, "ip": "10.0.0.1", "n": 1}));
        assert!(
            !user.to_string().contains("example.org") && !user.to_string().contains("10.0.0.1"),
            "{user}"
        );
        assert_eq!(user["ip"].as_str().map(str::len), Some(64));
        user["email"].clone()
    };
    assert_eq!(user("ann@example.org"), user("ann@example.org"));
    assert_ne!(user("ann@example.org"), user("bob@example.org"));
}

#[test]
fn json_in_a_string_becomes_fields_and_a_topic_has_its_own_time_and_zone() {
    let request = json!({"request": {"body": r#"{"sku":"A-1","n":2}"#}});
    let parsed = document(&settings(&wish(8)), "gateway.eu", &request);
    assert_eq!(parsed["request"], json!({"body": {"sku": "A-1", "n": 2}}));
    let booked = document(&settings(&wish(9)), "legacy.orders", &json!({"bookedAt": "2026-03-01 10:00:00"}));
    assert_eq!(booked["@timestamp"], "2026-03-01T09:00:00.000Z");
}

#[test]
fn some_topics_are_avro_and_others_of_debezium() {
    let rules = settings(&wish(10));
    let change =
        json!({"op": "u", "before": {"id": 1}, "after": {"id": 2}, "source": {"table": "t"}, "ts_ms": K});
    let row = document(&rules, "cdc.orders", &change);
    assert_eq!((&row["id"], &row["debezium"]["op"]), (&json!(2), &json!("u")));
    // Avro is demanded: a value without a frame is none.
    let plain = document(&rules, "orders.eu", &json!({"id": 1}));
    assert_eq!(plain["tags"], json!(["_schemafailure"]));
}
