//! The program on the real Kafka that KAFKA_BOOTSTRAP_SERVERS names.
#![expect(clippy::unwrap_used, reason = "a test ends where its expectation does not hold")]

use std::io::Write;
use std::process::{Command, Output};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use event_producer::generate::{Event, Generator, TOPICS};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, OwnedMessage};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

fn bootstrap_servers() -> String {
    std::env::var("KAFKA_BOOTSTRAP_SERVERS")
        .expect("KAFKA_BOOTSTRAP_SERVERS names a Kafka that the tests may write to")
}

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_event-producer"))
        .args(arguments)
        .env("KAFKA_BOOTSTRAP_SERVERS", bootstrap_servers())
        .output()
        .unwrap()
}

/// Reads the records of three partitions of a topic from `from` on, partition by partition.
fn read(topic: &str, from: &[i64; 3]) -> Vec<OwnedMessage> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap_servers())
        .set("group.id", "event-producer-tests")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let mut messages = Vec::new();
    for (partition, from) in (0..).zip(from) {
        let (_, end) = consumer.fetch_watermarks(topic, partition, Duration::from_secs(20)).unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(*from)).unwrap();
        consumer.assign(&list).unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut next = *from;
        while next < end {
            assert!(Instant::now() < deadline, "partition {partition} of {topic} could not be read");
            if let Some(message) = consumer.poll(Duration::from_millis(100)) {
                let message = message.unwrap().detach();
                next = message.offset() + 1;
                messages.push(message);
            }
        }
    }
    messages
}

/// The end offsets of three partitions of a topic; 0 for a missing topic.
fn ends(topic: &str) -> [i64; 3] {
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", bootstrap_servers()).create().unwrap();
    [0, 1, 2].map(|partition| {
        consumer.fetch_watermarks(topic, partition, Duration::from_secs(5)).map_or(0, |(_, end)| end.max(0))
    })
}

/// A published event: key, value, headers and time.
type Published = (Option<String>, String, Vec<(String, String)>, Option<i64>);

fn published(message: &OwnedMessage) -> Published {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let headers = message.headers().into_iter().flat_map(Headers::iter);
    let headers = headers.map(|it| (it.key.to_owned(), text(it.value.unwrap()))).collect();
    (message.key().map(text), text(message.payload().unwrap()), headers, message.timestamp().to_millis())
}

#[test]
fn generated_events_are_published_with_their_keys_headers_and_times() {
    // Kafka removes records that are older than its retention, and other tests count the records.
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now_ms = i64::try_from(elapsed.as_millis()).unwrap();
    let before = TOPICS.map(ends);
    let now = now_ms.to_string();
    let output = run(&["generate", "--count", "300", "--seed", "42", "--now", &now]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(stdout.contains("publishing 300 events of seed 42"), "{stdout}");
    let events: Vec<Event> = Generator::new(42, now_ms).take(300).collect();
    for (topic, before) in TOPICS.iter().zip(&before) {
        let mut expected: Vec<_> = events
            .iter()
            .filter(|event| event.topic == *topic)
            .map(|event| {
                let headers =
                    event.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
                (Some(event.key.clone()), event.value.clone(), headers, Some(event.timestamp_ms))
            })
            .collect();
        assert!(stdout.contains(&format!("{} to {topic}", expected.len())), "{stdout}");
        let mut actual: Vec<_> = read(topic, before).iter().map(published).collect();
        // Partitions are read one after the other, so the order across them is lost.
        expected.sort();
        actual.sort();
        assert_eq!(actual, expected);
    }
}

#[test]
fn a_file_is_published_line_by_line_and_a_refused_line_is_named() {
    let topic = format!("own.events-{}", std::process::id());
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "{{\"id\":\"a\"}}\n\n not json\r\n{}\n{{\"id\":7}}", "x".repeat(3_000_000)).unwrap();
    let output = run(&["file", "--topic", &topic, "--key-field", "id", file.path().to_str().unwrap()]);
    let (stdout, stderr) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(!output.status.success());
    assert!(stdout.contains("1 empty lines left out"), "{stdout}");
    assert!(stdout.contains("2 lines have no field id of text or number"), "{stdout}");
    assert!(stdout.contains(&format!("3 to {topic}")), "{stdout}");
    assert!(stderr.contains("line 4 was not published") && stderr.contains("too large"), "{stderr}");
    let mut records: Vec<_> =
        read(&topic, &[0; 3]).iter().map(published).map(|(key, value, _, _)| (key, value)).collect();
    records.sort();
    let expected = [
        (None, " not json".to_owned()),
        (Some("7".to_owned()), "{\"id\":7}".to_owned()),
        (Some("a".to_owned()), "{\"id\":\"a\"}".to_owned()),
    ];
    assert_eq!(records, expected);
}

#[test]
fn missing_topics_are_not_created_if_disabled() {
    let topic = format!("never.made-{}", std::process::id());
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "{{}}").unwrap();
    let output = run(&["file", "--no-create-topics", "--topic", &topic, file.path().to_str().unwrap()]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && stderr.contains("line 1 was not published"), "{stderr}");
}
