//! What a transform takes of memory and time is bounded, whatever the payload.

mod common;

use common::{BARE, compile, outcome};
use vrl_transform::limits::{MAX_DEPTH, MAX_EXPRESSIONS, MAX_TREE_BYTES};

/// Payloads of 6 MB that are as bad as can be for a tree: many values in few bytes.
fn worst() -> Vec<(&'static str, String)> {
    let filled = |prefix: &str, unit: &str, suffix: &str| {
        let times = (6_000_000 - prefix.len() - suffix.len()) / (unit.len() + 1);
        format!("{prefix}{}{suffix}", vec![unit; times].join(","))
    };
    let members: Vec<String> = (0..600_000).map(|number| format!("\"{number:x}\":0")).collect();
    let nested = format!("{}0{}", "[".repeat(200), "]".repeat(200));
    vec![
        ("zeros", filled("{\"a\":[", "0", "]}")),
        ("doubles", filled("{\"a\":[", "1e1", "]}")),
        ("empty objects", filled("{\"a\":[", "{}", "]}")),
        ("objects of one member", filled("{\"a\":[", "{\"\":0}", "]}")),
        ("arrays of one element", filled("{\"a\":[", "[0]", "]}")),
        ("nested arrays", filled("{\"a\":[", &nested, "]}")),
        ("escapes", filled("{\"a\":[", "\"\\n\"", "]}")),
        ("members", format!("{{{}}}", members.join(","))),
    ]
}

/// The bound of the tree, and four times the text: its copy, the string that is read, and what is written, which doubles as it
/// grows.
#[test]
fn no_payload_takes_more_memory_than_the_bound() {
    let transform = compile("del(.b)");
    for (name, payload) in worst() {
        let mut result = String::new();
        let used = allocation_counter::measure(|| result = outcome(&transform, &BARE, payload.as_bytes()));
        let allowed = MAX_TREE_BYTES as u64 + 4 * payload.len() as u64;
        assert!(used.bytes_max <= allowed, "{name}: {} MiB", used.bytes_max >> 20);
        assert!(
            result.starts_with("{\"")
                || result == "error: payload is too large to transform: its tree takes more than 64 MiB",
            "{name}: {}",
            result.get(..200).unwrap_or(&result)
        );
    }
}

#[test]
fn text_of_six_megabytes_is_shaped() {
    let payload = format!(r#"{{"message":"{}","n":1}}"#, "x".repeat(6_000_000));
    assert_eq!(outcome(&compile("."), &BARE, payload.as_bytes()), payload);
}

#[test]
fn events_of_a_megabyte_are_shaped() {
    let event = r#"{"sku":"A-1234567","name":"a thing with a name","price":12.5,"tags":["a","b"],"stock":{"here":3}}"#;
    let payload = format!(r#"{{"items":[{}]}}"#, vec![event; 1_000_000 / event.len()].join(","));
    assert!(outcome(&compile(".seen = true"), &BARE, payload.as_bytes()).ends_with("\"seen\":true}"));
}

#[test]
fn loops_over_what_a_payload_holds_end() {
    let payload = format!(r#"{{"a":[{}]}}"#, vec!["0"; 10_000].join(","));
    let script =
        "a = array!(.a)\nn = 0\nfor_each(a) -> |_, x| { for_each(a) -> |_, y| { n = n + 1 } }\n.n = n";
    assert_eq!(
        outcome(&compile(script), &BARE, payload.as_bytes()),
        format!("error: the script evaluates more than {MAX_EXPRESSIONS} expressions")
    );
}

#[test]
fn what_a_script_nests_is_bounded() {
    let payload = format!(r#"{{"a":[{}]}}"#, vec!["0"; MAX_DEPTH + 1].join(","));
    let script = "deep = {}\nfor_each(array!(.a)) -> |_, _| { deep = {\"a\": deep} }\n. = deep";
    assert_eq!(
        outcome(&compile(script), &BARE, payload.as_bytes()),
        format!("error: the script nests objects and arrays deeper than {MAX_DEPTH} levels")
    );
}

#[test]
fn numbers_of_a_payload_make_no_endless_list() {
    let payload = r#"{"n":9000000000000000000}"#;
    let error = outcome(&compile(".list = range!(0, .n)"), &BARE, payload.as_bytes());
    assert!(error.starts_with("error: "), "{error}");
}

/// The checks that docs/PIPELINE.md has for what grows with a value: a value that is not what it should be fails the record.
#[test]
fn a_text_where_a_number_should_be_is_not_repeated() {
    let script = compile(".total = int!(.price) * int!(.quantity)");
    let shaped = outcome(&script, &BARE, br#"{"price":3,"quantity":4}"#);
    assert_eq!(shaped, r#"{"price":3,"quantity":4,"total":12}"#);
    let error = outcome(&script, &BARE, br#"{"price":"x","quantity":9000000000000000000}"#);
    assert!(error.starts_with("error: "), "{error}");
}

#[test]
fn an_expression_that_backtracks_elsewhere_takes_time_in_proportion() {
    let payload = format!(r#"{{"a":"{}"}}"#, "a".repeat(1_000_000));
    let script = compile(".found = match(string!(.a), r'^(a+)+$')\ndel(.a)");
    assert_eq!(outcome(&script, &BARE, payload.as_bytes()), r#"{"found":true}"#);
    let payload = payload.replace("a\"}", "b\"}");
    assert_eq!(outcome(&script, &BARE, payload.as_bytes()), r#"{"found":false}"#);
}
