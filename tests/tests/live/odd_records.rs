//! Records that services publish by mistake: each is accounted for and blocks no others.

use std::time::Duration;

use anyhow::{Context, Result};
use integration_tests::live::flow::FlowOptions;
use integration_tests::live::kafka::NewRecord;
use integration_tests::live::search::INDICES;
use integration_tests::live::world::{World, now_ms};
use serde_json::{Value, json};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn malformed_huge_and_strange_records_are_indexed_and_tagged() -> Result<()> {
    let world = World::ready().await?;
    let flow = world.flow("odd", FlowOptions { partitions: 1, ..FlowOptions::default() }).await?;
    let now_ms = now_ms();
    let huge = "x".repeat(1_500_000);
    let values: Vec<Option<Vec<u8>>> = vec![
        Some(b"{\"orderId\":\"O-1\",".to_vec()),
        Some(b"not JSON at all".to_vec()),
        Some(vec![0xff, 0xfe, 0x00]),
        Some(b"[1,2,3]".to_vec()),
        Some(Vec::new()),
        None,
        Some(json!({"orderId": "O-2", "comment": huge}).to_string().into_bytes()),
        Some(br#"{"orderId":"O-3","status":"a","status":"b"}"#.to_vec()),
        Some(br#"{"orderId":"O-4","timestamp":"1999-01-01T00:00:00Z"}"#.to_vec()),
        Some(json!({"orderId": "O-5", "timestamp": now_ms + 2 * DAY_MS}).to_string().into_bytes()),
        Some(br#"{"orderId":"O-6","kafka_offset":"mine","service":{"name":"x"}}"#.to_vec()),
        Some(br#"{"orderId":"O-7","shippingAddress":"nowhere"}"#.to_vec()),
        Some(br#"{"orderId":"O-8","status":"fine","total":{"amount":5}}"#.to_vec()),
        Some(br#"{"orderId":"O-9","":1}"#.to_vec()),
    ];
    let n_values = values.len();
    let records: Vec<NewRecord> = values
        .into_iter()
        .map(|value| NewRecord { value, timestamp_ms: Some(now_ms), ..NewRecord::default() })
        .collect();
    flow.publish(&records)?;
    let account = flow.completed(Duration::from_secs(60)).await?;
    assert_eq!(account.records, n_values);

    let documents = flow.documents(INDICES).await?;
    let at = |offset: usize| -> Result<&Value> {
        let hit = documents.iter().find(|hit| hit.source["kafka_offset"] == offset);
        Ok(&hit.with_context(|| format!("offset {offset} is not indexed; {account}"))?.source)
    };
    let failed_parse = json!(["_jsonparsefailure"]);
    assert_eq!((&at(0)?["message"], &at(0)?["tags"]), (&json!("{\"orderId\":\"O-1\","), &failed_parse));
    assert_eq!((&at(1)?["message"], &at(1)?["tags"]), (&json!("not JSON at all"), &failed_parse));
    assert_eq!((&at(2)?["message_base64"], &at(2)?["tags"]), (&json!("//4A"), &failed_parse));
    assert_eq!((&at(3)?["message"], &at(3)?["tags"]), (&json!("[1,2,3]"), &failed_parse));
    assert_eq!(at(4)?["tags"], failed_parse);
    assert_eq!(at(5)?["tags"], json!(["_tombstone"]));
    assert_eq!(at(6)?["comment"].as_str().map(str::len), Some(huge.len()));
    assert_eq!((&at(7)?["status"], &at(7)?["tags"]), (&json!("b"), &json!(["_duplicatekey"])));
    for offset in [8, 9] {
        let document = at(offset)?;
        assert_eq!(document["tags"], json!(["_timestampoutofrange"]));
        let time = document["@timestamp"].as_str().context("a time")?;
        assert_eq!(chrono_ms(time), Some(now_ms), "the record's own time is used: {time}");
    }
    assert_eq!(at(10)?["original"], json!({"kafka_offset": "mine", "service": {"name": "x"}}));
    assert_eq!((&at(10)?["kafka_offset"], &at(10)?["service"]), (&json!(10), &json!(flow.topic)));
    assert_eq!(at(12)?["status"], json!("fine"));

    // The cluster rejects a field without a name: it moves.
    let nameless = at(13)?;
    assert_eq!((&nameless["conflict"], &nameless["tags"]), (&json!({"": 1}), &json!(["_mappingconflict"])));
    assert_eq!((&nameless["orderId"], &nameless["conflict_field"]), (&json!("O-9"), &json!([""])));
    // Whether these are rejected depends on the documents before them.
    for (offset, name, value) in
        [(11, "shippingAddress", json!("nowhere")), (12, "total", json!({"amount": 5}))]
    {
        let document = at(offset)?;
        assert!(document[name] == value || document["conflict"][name] == value, "{document}");
    }
    assert_eq!((account.indexed, account.dead_lettered), (n_values, 0), "{account}");
    flow.finish().await
}

/// Milliseconds since the epoch of a time that the function wrote.
fn chrono_ms(text: &str) -> Option<i64> {
    chrono::DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_millis())
}
