//! Whether `account` finds what is missing, and nothing else.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use kafka_to_search::record::Record;
use serde_json::{Value, json};

use crate::cluster::{self, Written};
use crate::kafka::{self, TIME_MS, Transaction};
use crate::program::{Files, account, accounted, unique};

const NO_RULES: &str = "topics: []\n";
const DEADLINE: Duration = Duration::from_secs(120);

/// A topic, the group that has read it, and where its documents are.
struct Case {
    topic: String,
    group: String,
    prefix: String,
    files: Files,
}

impl Case {
    fn new(rules: &str) -> Self {
        let (topic, prefix) = (unique("accounted"), unique("acc"));
        cluster::put_template(&prefix);
        cluster::put_template(&format!("dead-{prefix}"));
        let files = Files::new(&prefix, rules);
        Self { group: format!("group-{topic}"), topic, prefix, files }
    }

    /// The records that Kafka has now.
    fn records(&self) -> Vec<Record> {
        let record = |(offset, timestamp, value)| Record {
            topic: self.topic.clone(),
            partition: 0,
            offset,
            timestamp_ms: Some(timestamp),
            key: None,
            value: Some(value),
            headers: Vec::new(),
        };
        kafka::read(&self.topic).into_iter().map(record).collect()
    }

    /// Indexes what becomes of the records, as the function does, and returns it.
    fn index(&self) -> Vec<Written> {
        let documents = cluster::documents(&self.prefix, &self.files.file("new.yaml"), &self.records());
        cluster::write(&documents);
        documents
    }

    fn commit_all(&self) {
        kafka::commit(&self.group, &self.topic, kafka::end(&self.topic));
    }

    /// The account of the only partition, of a run that ends with this status.
    fn account(&self, more: &[&str], status: i32) -> Value {
        let report = accounted(&mut account(&self.files, &self.topic, &self.group, more), status);
        assert_eq!(report["complete"], status == 0, "{report:#}");
        report["topics"][0]["partitions"][0].clone()
    }
}

fn values(n: i64) -> Vec<(Option<&'static str>, String, i64)> {
    (0..n).map(|n| (None, json!({"n": n}).to_string(), TIME_MS + n)).collect()
}

/// The counts of a partition that are not 0.
fn counts(partition: &Value) -> Value {
    let names = [
        "offsets",
        "records",
        "indexed",
        "rescued",
        "dead_lettered",
        "dropped",
        "at_destination",
        "removed",
        "pending",
        "missing",
        "in_several_indices",
    ];
    let not_0 = names.into_iter().filter(|name| partition[*name] != 0);
    Value::Object(not_0.map(|name| (name.to_owned(), partition[name].clone())).collect())
}

fn missing(partition: &Value) -> BTreeSet<i64> {
    let ranges = partition["missing_offsets"].as_array().unwrap();
    let offsets = |range: &Value| range["first"].as_i64().unwrap()..=range["last"].as_i64().unwrap();
    ranges.iter().flat_map(offsets).collect()
}

#[test]
fn every_document_that_was_deleted_is_found_and_nothing_is_written() {
    let case = Case::new(NO_RULES);
    kafka::make(&case.topic);
    kafka::write(&case.topic, &values(60_000), None);
    let documents = case.index();
    case.commit_all();
    let whole = case.account(&[], 0);
    assert_eq!(counts(&whole), json!({"offsets": 60_000, "records": 60_000, "indexed": 60_000}));

    // At random, from a seed; the first and the last of all, and of a range that is counted at once.
    let mut offsets: BTreeSet<usize> = [0, 24_999, 25_000, 59_999].into();
    let mut state = 16_u64;
    while offsets.len() < 1_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        offsets.insert((state >> 33) as usize % 60_000);
    }
    let deleted: Vec<Written> = offsets.iter().map(|offset| documents[*offset].clone()).collect();
    cluster::delete(&deleted);
    let expected: BTreeSet<i64> = offsets.iter().map(|offset| *offset as i64).collect();
    let groups = kafka::groups();
    for more in [&[][..], &["--exact"]] {
        let partition = case.account(more, 1);
        assert_eq!(
            counts(&partition),
            json!({"offsets": 60_000, "records": 60_000, "indexed": 59_000, "missing": 1_000}),
        );
        assert_eq!(missing(&partition), expected);
    }
    assert_eq!(kafka::groups(), groups, "no group was made");

    cluster::write(&deleted);
    assert_eq!(missing(&case.account(&[], 0)), BTreeSet::new());
}

#[test]
fn each_outcome_is_counted_and_what_is_not_committed_is_pending() {
    let case = Case::new(
        "topics:
  - match: \"*\"
    transform: |
      if .kind == \"debug\" { abort }
      if .kind == \"bad\" { .kind = to_int!(.kind) }
",
    );
    kafka::make(&case.topic);
    let kinds = ["plain", "debug", "bad", "plain", "rescued", "plain", "debug", "late", "late"];
    let values: Vec<_> =
        kinds.iter().map(|kind| (None, json!({"kind": kind}).to_string(), TIME_MS)).collect();
    kafka::write(&case.topic, &values, None);
    let mut documents = case.index();
    let rescued = documents.iter_mut().find(|(_, _, source)| source.contains("rescued")).unwrap();
    let mut source: Value = serde_json::from_str(&rescued.2).unwrap();
    source["tags"] = json!(["_mappingconflict"]);
    rescued.2 = source.to_string();
    cluster::write(&documents);
    // What is in flight: one is there already, the other is not.
    kafka::commit(&case.group, &case.topic, 7);
    let late: Vec<_> = documents.iter().filter(|(_, _, source)| source.contains("late")).cloned().collect();
    cluster::delete(&late[1..]);
    let expected = json!({
        "offsets": 9, "records": 7, "indexed": 3, "rescued": 1, "dead_lettered": 1, "dropped": 2, "pending": 2,
    });
    for more in [&[][..], &["--exact"]] {
        assert_eq!(counts(&case.account(more, 0)), expected);
    }
    kafka::commit(&case.group, &case.topic, 9);
    let partition = case.account(&[], 1);
    assert_eq!(missing(&partition), [8].into());
}

#[test]
fn offsets_without_a_record_are_not_missing() {
    let case = Case::new(NO_RULES);
    kafka::make(&case.topic);
    kafka::write(&case.topic, &values(10), None);
    kafka::write(&case.topic, &values(5), Some(Transaction::Aborted));
    kafka::write(&case.topic, &values(10), Some(Transaction::Committed));
    case.index();
    case.commit_all();
    // 5 records of the aborted transaction, and the markers of both.
    let expected = json!({"offsets": 27, "records": 20, "indexed": 20, "removed": 7});
    assert_eq!(counts(&case.account(&[], 0)), expected);
    assert_eq!(counts(&case.account(&["--exact"], 0)), expected);
}

#[test]
fn records_that_compaction_removed_are_not_missing() {
    let case = Case::new(NO_RULES);
    let settings = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "100"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("max.compaction.lag.ms", "100"),
    ];
    kafka::make_with(&case.topic, &settings);
    let keyed = |key: &'static str, n: i64| (Some(key), json!({"n": n}).to_string(), TIME_MS + n);
    let versions: Vec<_> = (0..30).map(|n| keyed(["a", "b", "c"][n as usize % 3], n)).collect();
    let began = Instant::now();
    kafka::write(&case.topic, &versions, None);
    // A record whose time is later begins a new segment; the broker compacts those before it when its cleaner comes by.
    kafka::write(&case.topic, &[keyed("d", 1_000)], None);
    while kafka::read(&case.topic).len() as i64 == kafka::end(&case.topic) {
        assert!(began.elapsed() < DEADLINE, "nothing is compacted");
    }
    case.commit_all();
    let (end, records) = (kafka::end(&case.topic), case.records());
    let documents = case.index();
    let partition = case.account(&[], 0);
    // The broker may compact again at any time, so that more is removed than was read here.
    assert_eq!(partition["offsets"], end);
    assert!(partition["removed"].as_i64().unwrap() >= end - records.len() as i64, "{partition}");
    let last = documents.last().unwrap().clone();
    cluster::delete(&[last]);
    assert_eq!(missing(&case.account(&[], 1)), [end - 1].into());
}

#[test]
fn documents_of_an_earlier_topic_of_the_same_name_hide_nothing() {
    for later_ms in [1_000_000, -1_000_000] {
        let case = Case::new(NO_RULES);
        kafka::make(&case.topic);
        kafka::write(&case.topic, &values(100), None);
        case.index();
        kafka::delete(&case.topic);
        kafka::make(&case.topic);
        let again: Vec<_> =
            values(50).into_iter().map(|(key, value, time)| (key, value, time + later_ms)).collect();
        kafka::write(&case.topic, &again, None);
        case.commit_all();
        let nothing = case.account(&[], 1);
        assert_eq!(counts(&nothing), json!({"offsets": 50, "records": 50, "missing": 50}), "{later_ms}");
        let documents = case.index();
        cluster::delete(&documents[20..23]);
        assert_eq!(missing(&case.account(&[], 1)), [20, 21, 22].into(), "{later_ms}");
    }
}

#[test]
fn a_document_that_is_there_twice_hides_no_other() {
    let case = Case::new(NO_RULES);
    kafka::make(&case.topic);
    kafka::write(&case.topic, &values(100), None);
    let documents = case.index();
    case.commit_all();
    cluster::delete(&[documents[10].clone(), documents[40].clone()]);
    let twice = [20, 30].map(|n| {
        let (_, id, source) = documents[n].clone();
        (format!("dead-{}-2026.03.01", case.prefix), id, source)
    });
    cluster::write(&twice);
    let partition = case.account(&[], 1);
    assert_eq!(missing(&partition), [10, 40].into());
    let expected =
        json!({"offsets": 100, "records": 100, "indexed": 98, "missing": 2, "in_several_indices": 2});
    assert_eq!(counts(&partition), expected);
}

#[test]
fn an_account_that_could_not_be_taken_ends_with_2() {
    let case = Case::new(NO_RULES);
    kafka::make(&case.topic);
    for (more, expected) in [
        (&["--search", "http://127.0.0.1:1"][..], "http://127.0.0.1:1"),
        (&["--bootstrap", "127.0.0.1:1"], "no Kafka broker of 127.0.0.1:1 responded"),
        (&["--topic", "absent-topic"], "Kafka has no topic `absent-topic`"),
        (&["--heal"], "AWS_ACCESS_KEY_ID is not set"),
    ] {
        let output = account(&case.files, &case.topic, &case.group, more).output().unwrap();
        let text = crate::program::errors(&output);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{text}");
        assert!(text.contains(expected), "{text}");
    }
}
