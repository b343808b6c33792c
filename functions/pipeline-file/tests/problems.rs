//! What a file gives, and what is said of one that has problems.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use event_pipeline::field_path::FieldPath;
use event_pipeline::formats::{KeyFormat, Unwrap, ValueCompression, ValueFormat};
use event_pipeline::routing::IndexRoute;
use event_pipeline::rules::{HashedField, Keep, OnError, Overrides, TopicRules};
use event_pipeline::sampling::SampleRate;
use event_pipeline::topic_pattern::TopicPattern;
use event_pipeline::transform::{ScriptProblem, SharedTransform, TransformCompiler};
use pipeline_file::{NoScripts, PipelineFile, WithoutScripts, parse};

/// Refuses each line with the word `bad`, at that word.
struct NoBadWords;

impl TransformCompiler for NoBadWords {
    fn compile(&self, script: &str) -> Result<SharedTransform, Vec<ScriptProblem>> {
        let bad: Vec<_> = (1..)
            .zip(script.lines())
            .filter_map(|(line, text)| {
                let column = text.find("bad")? + 1;
                Some(ScriptProblem { line, column, message: "say something\n  else".into() })
            })
            .collect();
        if bad.is_empty() { NoScripts.compile(script) } else { Err(bad) }
    }
}

fn problems(text: &str) -> String {
    parse(text, &NoBadWords).unwrap_err().to_string()
}

#[test]
fn every_key_is_read() {
    let text = r#"
        max_indices: 7
        topics:
          - match: "payments.*"
            index: "payments-{payload.tenant|unknown}"
            timestamp_fields: [bookedAt]
            timestamp_zone: Europe/Paris
            format: avro
            key_format: long
            compression: gzip
            unwrap: debezium
            header_fields: [tenant]
            sample: 0.1
            parse_json: [context]
            remove: [card.cvv, items.secret]
            hash: {customer.email: my/salt-secret, customer.id: other}
            on_error: index
          - match: audit
            drop: true
            sample: 0.5
    "#;
    let file = parse(text, &NoScripts).unwrap();
    let path = |text| FieldPath::parse(text).unwrap();
    let hashed = |text, salt: &str| HashedField { path: path(text), salt: salt.into() };
    let payments = TopicRules {
        overrides: Overrides {
            timestamp_fields: Some(vec!["bookedAt".into()]),
            timestamp_zone: Some("Europe/Paris".parse().unwrap()),
            header_fields: Some(vec!["tenant".into()]),
            format: Some(ValueFormat::Avro),
            key_format: Some(KeyFormat::Long),
            compression: Some(ValueCompression::Gzip),
            unwrap: Some(Unwrap::Debezium),
        },
        index: Some(IndexRoute::parse("payments-{payload.tenant|unknown}").unwrap()),
        keep: Keep::Sample(SampleRate::new(0.1).unwrap()),
        parse_json: vec![path("context")],
        remove: vec![path("card.cvv"), path("items.secret")],
        hash: vec![hashed("customer.email", "my/salt-secret"), hashed("customer.id", "other")],
        on_error: OnError::Index,
        ..TopicRules::new(TopicPattern::parse("payments.*").unwrap())
    };
    let audit = TopicRules { keep: Keep::None, ..TopicRules::new(TopicPattern::parse("audit").unwrap()) };
    assert_eq!(file, PipelineFile { topics: vec![payments, audit], max_indices: 7 });
    assert_eq!(file.index_patterns(), ["payments-*"]);
    assert_eq!(file.salts(), ["my/salt-secret", "other"]);
}

#[test]
fn a_file_without_rules_is_one() {
    for text in ["", "# nothing\n", "topics: []", "{}", include_str!("../../../infra/pipeline.yaml")] {
        let file = parse(text, &NoScripts).unwrap();
        assert_eq!(file, PipelineFile { topics: Vec::new(), max_indices: 20 }, "{text}");
    }
}

#[test]
fn a_script_is_compiled_and_kept() {
    let file = parse("topics:\n- match: a\n  transform: .x = 1\n", &NoBadWords).unwrap();
    assert!(file.topics.first().unwrap().transform.is_some());
}

#[test]
fn every_problem_is_reported_at_once_with_its_place_and_fix() {
    let text = r#"max_indeces: 3
topics:
  - match: "a b"
    index: "{topic}"
    samples: 0.1
    sample: 2
  - remove: [a..b, "x[0].y", c, c]
    drop: yes
    format: AVRO
  - match: x
    match: y
    timestamp_fields: bookedAt
    timestamp_zone: Paris
    header_fields: [t, t_base64]
    hash: {c: "a b", "d.": s}
    remove: [c]
    transform: |

      .a = 1
      .b = bad
    on_error: ignore
  - match: 7
  - x
"#;
    let expected = "\
1:1: max_indeces: there is no key `max_indeces`: write `max_indices`
3:12: topics[0].match: `a b` is no topic: a topic has letters, digits, `.`, `_` and `-`, and `*` stands for any of them
4:12: topics[0].index: the index begins with no text of its own, which templates, roles and monitors need: begin with a name, such as `events-{topic}`
5:5: topics[0].samples: there is no key `samples`: write `sample`
6:13: topics[0].sample: `2` is not between 0 and 1: `0.1` keeps a tenth of the records
7:5: topics[1]: there is no `match`: name the topics, such as `match: \"payments.*\"`
7:14: topics[1].remove[0]: the path `a..b` has an empty part: write the names of fields with one `.` between them
7:20: topics[1].remove[1]: the path `x[0].y` has `[`, and a path goes through arrays by itself: write `x.y`
7:33: topics[1].remove[3]: `c` comes a second time: keep one of them
8:11: topics[1].drop: this is a text: write `true` or `false`
9:13: topics[1].format: `AVRO` is no value of this key: write `avro`
11:5: topics[2].match: this key comes a second time: keep one of them
12:23: topics[2].timestamp_fields: this is a text: write a list, such as `[bookedAt]`
13:21: topics[2].timestamp_zone: ZONE
14:20: topics[2].header_fields: `t` and `t_base64` would be one field: the second is where bytes of the first go: keep one of them
15:12: topics[2].hash.c: `c` is removed before it could be hashed: keep it in `remove` or in `hash`
15:15: topics[2].hash.c: `a b` is no name of a secret: write the name or the ARN of a secret in Secrets Manager that has the salt
15:22: topics[2].hash.d.: the path `d.` has an empty part: write the names of fields with one `.` between them
20:12: topics[2].transform: the script does not compile: say something else
21:15: topics[2].on_error: `ignore` is no value of this key: there are `dead-letter`, `index`
22:12: topics[3].match: this is a number: write it in quotes
23:5: topics[4]: this is a text: write a map with keys of ";
    let found = problems(text);
    for (found, expected) in found.lines().zip(expected.lines()) {
        assert!(
            found == expected
                || found.starts_with(expected) && expected.ends_with("keys of ")
                || expected.ends_with("ZONE") && found.contains("`Paris`"),
            "\n{found}\n{expected}"
        );
    }
    assert_eq!(found.lines().count(), expected.lines().count(), "{found}");
}

#[test]
fn a_rule_that_no_topic_gets_to_is_a_problem() {
    let text =
        "topics:\n- match: a.b\n- match: a.*\n- match: a.c*\n- match: a.b\n- match: \"*\"\n- match: z\n";
    assert_eq!(
        problems(text),
        "4:3: topics[2]: no topic gets to `a.c*`: `a.*` before it matches them all: move this rule before that one, or remove it\n\
         5:3: topics[3]: no topic gets to `a.b`: `a.b` before it matches them all: move this rule before that one, or remove it\n\
         7:3: topics[5]: no topic gets to `z`: `*` before it matches them all: move this rule before that one, or remove it"
    );
}

#[test]
fn the_line_of_a_script_is_that_of_the_file() {
    for (script, place) in [
        ("|\n    ok\n    x = bad\n", "4:9"),
        (">-\n      x bad\n", "3:9"),
        ("x bad\n", "2:16"),
        ("\"x bad\"\n", "2:17"),
    ] {
        let found = problems(&format!("topics:\n- transform: {script}  match: a"));
        assert_eq!(found.split(": ").next(), Some(place), "{script}: {found}");
    }
}

#[test]
fn what_is_not_yaml_is_reported_with_its_place() {
    let found = problems("topics:\n  - match: \"a\n");
    assert!(
        found.contains("the file is not YAML") && found.starts_with(|first: char| first.is_ascii_digit()),
        "{found}"
    );
    assert!(problems("a: 1\n---\nb: 2\n").starts_with("2:1: the file has a second document"));
}

#[test]
fn a_program_without_vrl_refuses_a_transform_and_nothing_else() {
    let text = "topics:\n  - match: a\n    transform: |\n      .b = 1\n";
    assert_eq!(
        parse(text, &WithoutScripts).unwrap_err().to_string(),
        "4:7: topics[0].transform: the script does not compile: this program was built without VRL: remove the transform, or build with the feature `vrl`"
    );
    assert!(parse("topics:\n  - match: a\n    drop: true\n", &WithoutScripts).is_ok());
}
