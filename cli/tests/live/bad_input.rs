//! What can't be simulated is said in one sentence.

use crate::kafka;
use crate::program::{Files, errors, unique};

fn error(more: &[&str], topic: &str) -> String {
    let files = Files::new("microservices", "topics: []\n");
    let output = files.simulate(topic, more).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", errors(&output));
    assert_eq!(output.stdout, b"");
    errors(&output)
}

#[test]
fn a_topic_that_is_not_there_is_not_made() {
    let topic = unique("absent");
    let expected =
        format!("kafka-to-search: Kafka has no topic `{topic}`, or does not show it to this user\n");
    assert_eq!(error(&[], &topic), expected);
    assert!(!kafka::exists(&topic));
}

#[test]
fn an_empty_topic_has_nothing_to_simulate() {
    let topic = unique("empty");
    kafka::make(&topic);
    assert_eq!(error(&[], &topic), format!("kafka-to-search: topic `{topic}` has no records at all\n"));
}

#[test]
fn servers_out_of_reach_are_named() {
    let kafka = error(&["--bootstrap", "127.0.0.1:1"], "t");
    assert!(kafka.starts_with("kafka-to-search: no Kafka broker of 127.0.0.1:1 responded"), "{kafka}");
    let cluster = error(&["--search", "http://127.0.0.1:1"], "t");
    assert!(cluster.starts_with("kafka-to-search: http://127.0.0.1:1"), "{cluster}");
    for text in [kafka, cluster] {
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}
