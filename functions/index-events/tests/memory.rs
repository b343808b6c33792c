//! No payload of 6 MB, Lambda's limit, takes the function over 96 MB of memory, so that a function of 128 MB can't be killed
//! again and again by one record. What fails is delivered again, so each is handled more than once.
//!
//! Each test starts the function's own binary, sends it one payload that some part of the path has most to keep of, and reads
//! the peak of the process from Linux. The Runtime API and the cluster are stand-ins: neither can be made to send these
//! payloads and rejections, and a real cluster would not be quick enough.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod memory {
    pub(crate) mod function;
    pub(crate) mod payloads;
}

use memory::function::{Cluster, Invocation, invoke, invoke_with};
use memory::payloads::{MAX_PAYLOAD, base64, batch, event, filled, noise, one_record, value};

const MAX_PEAK: u64 = 96 << 20;

/// Invokes a new process of the function twice with `payload` and checks its peak of memory.
async fn within_bound(payload: Vec<u8>, cluster: Cluster) -> Invocation {
    assert!(payload.len() <= MAX_PAYLOAD, "{} bytes are no payload", payload.len());
    assert!(payload.len() > MAX_PAYLOAD * 9 / 10, "{} bytes are not the worst case", payload.len());
    let invocation = invoke(payload, cluster, 2).await;
    assert!(
        invocation.peak_bytes <= MAX_PEAK,
        "peak of {:.1} MB in an invocation that ended with {}",
        invocation.peak_bytes as f64 / 1e6,
        invocation.response
    );
    invocation
}

/// Checks that the one record of the payload is written as `expected`: bulk operations, rejections included.
async fn one_within_bound(payload: Vec<u8>, cluster: Cluster, n_operations: usize) {
    let invocation = within_bound(payload, cluster).await;
    assert_eq!(invocation.response, r#"{"batchItemFailures":[]}"#);
    assert_eq!(invocation.n_operations, n_operations);
}

macro_rules! bounded {
    ($($name:ident: $value:expr, $cluster:expr, $n_operations:expr;)+) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            one_within_bound(one_record(&$value), $cluster, $n_operations).await;
        })+
    };
}

bounded! {
    an_array_without_an_end_is_bounded: filled("", |_| "[".into(), ""), Cluster::Accepts, 1;
    a_deep_array_is_bounded: value::nested("{\"a\":", "[", "]", "}"), Cluster::Accepts, 1;
    deep_objects_are_bounded: value::nested("", "{\"\":", "}", "").replace("{\"\":}", "{}"), Cluster::Accepts, 1;
    millions_of_members_are_bounded: value::object(|i| format!("\"{i:x}\":0")), Cluster::Accepts, 1;
    empty_objects_are_bounded: value::array(|_| "{\"\":{}}".into()), Cluster::Accepts, 1;
    names_with_escapes_are_bounded: value::object(|i| format!("\"\\n{i:x}\":0")), Cluster::Accepts, 1;
    the_same_name_again_and_again_is_bounded: value::object(|_| "\"\":0".into()), Cluster::Accepts, 1;
    the_same_known_name_again_and_again_is_bounded:
        value::object(|i| if i < 60 { format!("\"{i}\":0") } else { "\"tags\":0".into() }), Cluster::Accepts, 1;
    one_name_twice_among_millions_is_bounded:
        value::object(|i| if i == 0 { "\"10\":0".into() } else { format!("\"{i:x}\":0") }), Cluster::Accepts, 1;
    names_twice_in_small_objects_are_bounded: value::array(|_| "{\"\":0,\"\":0}".into()), Cluster::Accepts, 1;
    not_a_number_in_every_place_is_bounded: value::array(|_| "NaN".into()), Cluster::Accepts, 1;
    not_a_number_in_a_deep_object_is_bounded:
        value::nested("", "{\"\":", "}", "").replace("{\"\":}", "{\"\":NaN}"), Cluster::Accepts, 1;
    not_a_number_in_a_deep_array_is_bounded: value::nested("{\"a\":", "[", "]", ",\"b\":NaN}"), Cluster::Accepts, 1;
    clashing_members_are_bounded: value::object(|i| match i {
        0 => format!("\"service\":\"{}\"", "x".repeat(4_600_000)),
        _ => format!("\"{i}\":0"),
    }), Cluster::Accepts, 1;
    a_text_of_control_characters_is_bounded: filled("", |_| "\u{1}".into(), ""), Cluster::Accepts, 1;
    a_text_of_quotes_is_bounded: filled("", |_| "\"".into(), ""), Cluster::Accepts, 1;
}

bounded! {
    a_rejected_string_with_escapes_is_bounded:
        filled("{\"a\":\"", |_| "\\n".into(), "\"}"), Cluster::Rejects("failed to parse field [a] of type [long]"), 5;
    a_rejected_string_with_control_characters_is_bounded:
        filled("{\"a\":\"", |_| "\\u0001".into(), "\"}"), Cluster::Rejects("failed to parse field [a] of type [long]"), 5;
    rejected_empty_strings_are_bounded:
        value::array(|_| "\"\"".into()), Cluster::Rejects("failed to parse field [a] of type [long]"), 5;
    rejected_members_are_bounded:
        value::object(|i| format!("\"{i:x}\":0")), Cluster::Rejects("Limit of total fields [1000] has been exceeded"), 5;
    rejected_members_with_escapes_are_bounded:
        value::object(|i| format!("\"\\n{i:x}\":0")), Cluster::Rejects("failed to parse field [\n1] of type [long]"), 5;
    rejected_small_objects_are_bounded:
        value::array(|_| "{\"b\":0}".into()), Cluster::Rejects("failed: Preview of field's value: '{c=1}'"), 4;
    a_rejection_that_quotes_the_document_is_bounded:
        filled("{\"a\":\"", |_| "x ".into(), "\"}"), Cluster::Quotes, 5;
    rejected_rubbish_is_bounded: format!("{{\"a\":\"{}\"}}", base64(&noise(3_530_000))),
        Cluster::Rejects("failed to parse field [a] of type [long]"), 5;
    rejected_text_is_bounded: filled("", |_| "\u{1}".into(), ""), Cluster::Rejects("full"), 2;
}

/// A record with this member besides the usual ones.
fn record(offset: usize, member: &str) -> String {
    format!(
        r#"{{"topic":"order.events","partition":0,"offset":{offset},"timestamp":1772360430123,{member}}}"#
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_million_empty_records_are_refused_within_the_bound() {
    let response = within_bound(batch(usize::MAX, |_| "{}".into()), Cluster::Accepts).await.response;
    assert!(response.contains("more than 20000 records"), "{response}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_batch_is_bounded() {
    let value = base64(format!(r#"{{"text":"{}"}}"#, "x".repeat(360)).as_bytes());
    let payload = batch(10_000, |i| record(i, &format!(r#""value":"{value}""#)));
    assert_eq!(within_bound(payload, Cluster::Accepts).await.n_operations, 10_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_rejected_batch_is_bounded() {
    let value = base64(format!(r#"{{"text":"{}"}}"#, "x".repeat(360)).as_bytes());
    let payload = batch(10_000, |i| record(i, &format!(r#""value":"{value}""#)));
    assert_eq!(within_bound(payload, Cluster::Quotes).await.n_operations, 40_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unreadable_records_are_bounded() {
    let payload = batch(20_000, |i| format!("[{}]", [i.to_string(), "1".repeat(300)].join(",")));
    assert_eq!(within_bound(payload, Cluster::Accepts).await.n_operations, 20_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_of_control_characters_is_bounded() {
    let bytes = vec!["1"; 3_000_000].join(",");
    let payload = event(&record(7, &format!(r#""value":"e30=","headers":[{{"correlation-id":[{bytes}]}}]"#)));
    one_within_bound(payload, Cluster::Accepts, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_control_characters_is_bounded() {
    let key = base64(&vec![1; 4_600_000]);
    let payload = event(&record(7, &format!(r#""value":"e30=","key":"{key}""#)));
    one_within_bound(payload, Cluster::Rejects("full"), 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_immense_topic_is_bounded() {
    let topic = "t".repeat(6_200_000);
    let payload = event(&format!(r#"{{"topic":"{topic}","partition":0,"offset":1,"value":"e30="}}"#));
    one_within_bound(payload, Cluster::Accepts, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_with_escapes_that_is_no_base64_is_bounded() {
    let payload = event(&record(7, &format!(r#""value":"{}""#, r"\u0001".repeat(1_000_000))));
    one_within_bound(payload, Cluster::Accepts, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payload_delivered_again_and_again_is_bounded() {
    let payload = one_record(&value::array(|_| "\"\"".into()));
    let invocation = invoke(payload, Cluster::Rejects("failed to parse field [a] of type [long]"), 4).await;
    assert_eq!(invocation.n_operations, 5);
    assert!(invocation.peak_bytes <= MAX_PEAK, "peak of {} bytes", invocation.peak_bytes);
}

/// A value of the schema 1 with a text of `text` bytes and `n_items` items of a byte.
fn avro(text: &[u8], n_items: usize) -> Vec<u8> {
    let length = |n: usize| {
        let mut number = (n as u64) << 1;
        let mut bytes = Vec::new();
        while number >= 0x80 {
            bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
        bytes
    };
    let items = if n_items == 0 { Vec::new() } else { [length(n_items), vec![1; n_items]].concat() };
    [&[0, 0, 0, 0, 1][..], &length(text.len()), text, &items, &[0]].concat()
}

/// Checks that the one record with this value is written within the bound.
async fn encoded_within_bound(
    value: &[u8],
    cluster: Cluster,
    variables: &[(&str, &str)],
    n_operations: usize,
) {
    let payload = event(&record(7, &format!(r#""value":"{}""#, base64(value))));
    assert!(payload.len() <= MAX_PAYLOAD);
    let invocation = invoke_with(payload, cluster, 2, variables).await;
    assert!(invocation.peak_bytes <= MAX_PEAK, "peak of {:.1} MB", invocation.peak_bytes as f64 / 1e6);
    assert_eq!(invocation.response, r#"{"batchItemFailures":[]}"#);
    assert_eq!(invocation.n_operations, n_operations);
}

const CLASH: Cluster = Cluster::Rejects("failed to parse field [text] of type [long]");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_immense_decoded_text_is_bounded() {
    encoded_within_bound(&avro(&vec![b'x'; 4_500_000], 0), CLASH, &[], 5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decoded_text_that_grows_by_escapes_is_bounded() {
    encoded_within_bound(&avro(&vec![1; 800_000], 0), CLASH, &[], 5).await;
    encoded_within_bound(&avro(&vec![1; 4_500_000], 0), Cluster::Accepts, &[], 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn few_bytes_that_become_much_json_are_bounded() {
    encoded_within_bound(&avro(b"", 45_000), CLASH, &[], 5).await;
    encoded_within_bound(&avro(b"", 4_500_000), Cluster::Accepts, &[], 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_grows_a_thousandfold_is_bounded() {
    use std::io::Write as _;
    let gzip = |bytes: &[u8]| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(bytes).unwrap();
        gzip.finish().unwrap()
    };
    let variables = [("VALUE_COMPRESSION", "auto")];
    let large = format!("{{\"text\":\"{}\"}}", "x".repeat(5_000_000));
    encoded_within_bound(&gzip(large.as_bytes()), CLASH, &variables, 5).await;
    encoded_within_bound(&gzip(&vec![b' '; 20_000_000]), Cluster::Accepts, &variables, 1).await;
}
