//! The whole output of `try`, `check` and `test`, run as a process: standard output, standard error and status.
#![expect(clippy::unwrap_used, reason = "a test ends where its expectation does not hold")]

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

const RULES: &str = r#"topics:
  - match: "payments.*"
    index: "payments-{payload.tenant|none}"
    remove: [card.cvv]
    transform: |
      if .kind == "debug" { abort }
      .amount = to_int!(.amount)
  - match: "debug.*"
    drop: true
"#;

const BAD_RULES: &str = r#"topics:
  - match: "payments.*"
    indx: payments
    sample: 2
    transform: |
      .id = uuid_v4()
  - match: "payments.eu"
    drop: true
"#;

const PROBLEMS: &str = "\
new.yaml:3:5: topics[0].indx: there is no key `indx`: write `index`
new.yaml:4:13: topics[0].sample: `2` is not between 0 and 1: `0.1` keeps a tenth of the records
new.yaml:6:13: topics[0].transform: the script does not compile: `uuid_v4` is refused: a record that is delivered again must become \
the same document; make an id of the event's own fields: sha2(.order_id), or of `%kafka_topic`, `%kafka_partition` and `%kafka_offset`
new.yaml:7:5: topics[1]: no topic gets to `payments.eu`: `payments.*` before it matches them all: move this rule before that one, or \
remove it
";

const MISSING: &str = "No such file or directory (os error 2)";

/// A folder in which the program runs.
struct Folder(TempDir);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Runs the program, and asserts its status, standard output and standard error.
    #[track_caller]
    fn expect(&self, arguments: &[&str], status: i32, out: &str, error: &str) {
        let output = Command::new(env!("CARGO_BIN_EXE_kafka-to-search"))
            .current_dir(self.path())
            .env_clear()
            .args(arguments)
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let found = (output.status.code(), text(output.stdout), text(output.stderr));
        assert_eq!(found, (Some(status), out.to_owned(), error.to_owned()), "{}\n{}", found.1, found.2);
    }
}

const TRY: [&str; 7] =
    ["try", "--pipeline", "new.yaml", "--timestamp", "2026-01-01T00:00:00Z", "--file", "events.ndjson"];

#[test]
fn try_shows_outcome_steps_and_document_of_each_line() {
    let events = r#"{"tenant":"acme","card":{"cvv":"123","last4":"1111"},"amount":"12"}
{"kind":"debug"}
not JSON

{"amount":"many"}
"#;
    let folder = Folder::new(&[("new.yaml", RULES), ("events.ndjson", events)]);
    let expected = r#"line 1, payments.eu: indexed
  index     payments-acme-2026.01.01
  id        payments.eu-0-0-1767225600000
  steps     remove     card.cvv
            transform  changes amount
            index      payments-acme-2026.01.01
  document  {
    "amount": 12,
    "card": {
      "last4": "1111"
    },
    "tenant": "acme",
    "@timestamp": "2026-01-01T00:00:00.000Z",
    "service": "payments.eu",
    "service_name": "payments.eu",
    "environment": "kubernetes",
    "platform": "demo-micro",
    "kafka_topic": "payments.eu",
    "kafka_partition": 0,
    "kafka_offset": 0,
    "kafka_timestamp": 1767225600000
  }

line 2, payments.eu: dropped
  steps     remove     nothing to do for card.cvv
            transform  drops the event

line 3, payments.eu: dead letter
  reason    transform_failure: the payload is no JSON object, so that `remove` and `hash` can't be applied
  index     dead-letters-microservices-2026.01.01
  id        payments.eu-0-2-1767225600000
  steps     remove     fails: the payload is no JSON object, so that `remove` and `hash` can't be applied
  document  {
    "@timestamp": "2026-01-01T00:00:00.000Z",
    "error": {
      "type": "transform_failure",
      "reason": "the payload is no JSON object, so that `remove` and `hash` can't be applied",
      "status": 0
    },
    "target_index": "payments-none-2026.01.01",
    "service": "payments.eu",
    "service_name": "payments.eu",
    "environment": "kubernetes",
    "platform": "demo-micro",
    "kafka_topic": "payments.eu",
    "kafka_partition": 0,
    "kafka_offset": 2,
    "kafka_timestamp": 1767225600000,
    "payload": "not JSON"
  }

line 5, payments.eu: dead letter
  reason    transform_failure: to_int failed at line 2, column 11 of the script (the rest of VRL's message may quote the event and is left out)
  index     dead-letters-microservices-2026.01.01
  id        payments.eu-0-4-1767225600000
  steps     remove     nothing to do for card.cvv
            transform  fails: to_int failed at line 2, column 11 of the script (the rest of VRL's message may quote the event and is left out)
  document  {
    "@timestamp": "2026-01-01T00:00:00.000Z",
    "error": {
      "type": "transform_failure",
      "reason": "to_int failed at line 2, column 11 of the script (the rest of VRL's message may quote the event and is left out)",
      "status": 0
    },
    "target_index": "payments-none-2026.01.01",
    "service": "payments.eu",
    "service_name": "payments.eu",
    "environment": "kubernetes",
    "platform": "demo-micro",
    "kafka_topic": "payments.eu",
    "kafka_partition": 0,
    "kafka_offset": 4,
    "kafka_timestamp": 1767225600000,
    "payload": "{\"amount\":\"many\"}"
  }

4 events: 1 indexed, 1 dropped, 2 dead letters
1 empty line left out
"#;
    folder.expect(&[&TRY[..], &["--topic", "payments.eu"]].concat(), 0, expected, "");
}

#[test]
fn try_shows_a_line_that_is_not_a_record_among_the_others() {
    let records = r#"{"topic":"debug.a","value":1}
{"topic":"debug.a","vale":1}
{"topic":
{"value":1}
{"topic":"debug.a","offset":7}
"#;
    let folder = Folder::new(&[("new.yaml", RULES), ("events.ndjson", records)]);
    let unknown = "unknown field `vale`, expected one of `topic`, `partition`, `offset`, `key`, `key_base64`, `value`, \
        `value_base64`, `headers`, `timestamp` at line 1 column 25";
    let dropped = "dropped\n  steps     drop       drops the event\n";
    let expected = format!(
        "line 1, debug.a: {dropped}
line 2: not a record
  reason    {unknown}

line 3: not a record
  reason    EOF while parsing a value at line 1 column 9

line 4: not a record
  reason    no `topic`: name it in the record, or all records' by --topic

line 5, debug.a: {dropped}
2 events: 0 indexed, 2 dropped
3 lines are not records
"
    );
    folder.expect(&[&TRY[..], &["--records"]].concat(), 1, &expected, "");
    let step = r#""steps":[{"step":"drop","did":"drops the event"}]"#;
    let expected = format!(
        r#"{{"line":1,"outcome":"dropped",{step}}}
{{"line":2,"outcome":"not a record","reason":"{unknown}"}}
{{"line":3,"outcome":"not a record","reason":"EOF while parsing a value at line 1 column 9"}}
{{"line":4,"outcome":"not a record","reason":"no `topic`: name it in the record, or all records' by --topic"}}
{{"line":5,"outcome":"dropped",{step}}}
"#
    );
    folder.expect(&[&TRY[..], &["--records", "--output", "json"]].concat(), 1, &expected, "");
}

#[test]
fn try_names_a_file_that_it_cannot_use() {
    let folder = Folder::new(&[("new.yaml", BAD_RULES), ("good.yaml", RULES), ("events.ndjson", "{}\n")]);
    let topic = ["--topic", "payments.eu"];
    folder.expect(&[&TRY[..], &topic].concat(), 2, "", &format!("kafka-to-search: {PROBLEMS}"));
    let file = ["try", "--topic", "t", "--pipeline", "good.yaml", "--file", "absent.ndjson"];
    folder.expect(&file, 2, "", &format!("kafka-to-search: absent.ndjson: {MISSING}\n"));
    let rules = ["try", "--topic", "t", "--pipeline", "absent.yaml", "--file", "events.ndjson"];
    folder.expect(&rules, 2, "", &format!("kafka-to-search: absent.yaml: {MISSING}\n"));
}

#[test]
fn check_reports_every_problem_of_the_rules_and_the_variables() {
    let folder = Folder::new(&[
        ("good.yaml", RULES),
        ("new.yaml", BAD_RULES),
        ("good", "INDEX_PREFIX=events\n"),
        ("bad", "INDEX_PREFIX=A\nDOCUMENT_ID=x\n"),
        ("worse", "INDEX_PREFIX\n"),
    ]);
    let check = |rules: &'static str, variables: &'static str| {
        ["check", "--pipeline", rules, "--env-file", variables]
    };
    let none = "good.yaml: no problems, rules for 2 patterns of topics\n";
    let of_variables = "\
the configuration is not valid:
- INDEX_PREFIX: index prefix `A` must be lowercase
- DOCUMENT_ID: `x` is not one of `deterministic`, `auto`
";
    folder.expect(&check("good.yaml", "good"), 0, none, "");
    folder.expect(&check("new.yaml", "good"), 1, PROBLEMS, "");
    folder.expect(&check("good.yaml", "bad"), 1, &format!("{of_variables}{none}"), "");
    folder.expect(&check("new.yaml", "bad"), 1, &format!("{of_variables}{PROBLEMS}"), "");
    folder.expect(&["check"], 0, "infra/pipeline.yaml is not there: no topic has rules\n", "");
    let missing = |name| format!("kafka-to-search: {name}: {MISSING}\n");
    folder.expect(&check("absent.yaml", "good"), 2, "", &missing("absent.yaml"));
    folder.expect(&check("good.yaml", "absent"), 2, "", &missing("absent"));
    let no_variable = "kafka-to-search: worse: line 1 is not `NAME=value`\n";
    folder.expect(&check("good.yaml", "worse"), 2, "", no_variable);
}

const CASES: &str = r#"pipeline: new.yaml
cases:
  - name: a card's code is removed
    record: {topic: payments.eu, value: {card: {cvv: "1", last4: "2"}, amount: "12"}}
    expect:
      index: payments-2026.01.01
      id: payments.eu-0-0-1767225600000
  # Of the second rule.
  - name: debug events are dropped
    record: {topic: debug.events, value: {a: 1}}
    expect:
      dropped: drop
  - name: nobody knows yet
    record: {topic: debug.events, value: {a: 2}}
"#;

#[test]
fn test_shows_how_cases_fail_until_they_are_updated() {
    let folder = Folder::new(&[("new.yaml", RULES), ("cases.yaml", CASES)]);
    let document = "\
document:
  amount: 12
  card:
    last4: '2'
  '@timestamp': 2026-01-01T00:00:00.000Z
  service: payments.eu
  service_name: payments.eu
  environment: kubernetes
  platform: demo-micro
  kafka_topic: payments.eu
  kafka_partition: 0
  kafka_offset: 0
  kafka_timestamp: 1767225600000
";
    let indented = |with: &str| document.lines().map(|line| format!("{with}{line}\n")).collect::<String>();
    let failures = format!(
        "cases.yaml: a card's code is removed
  - index: payments-2026.01.01
  + index: payments-none-2026.01.01
    id: payments.eu-0-0-1767225600000
{}
cases.yaml: nobody knows yet
  it has no `expect`
  - null
  + dropped: drop

1 passed, 2 failed; if the new outcomes are right, --update (make test-pipeline UPDATE=1) writes them
",
        indented("  + ")
    );
    folder.expect(&["test", "cases.yaml"], 1, &failures, "");
    assert_eq!(fs::read_to_string(folder.path().join("cases.yaml")).unwrap(), CASES);

    let updated = "1 passed, 0 failed, 2 updated: read the difference before you commit it\n";
    folder.expect(&["test", "cases.yaml", "--update"], 0, updated, "");
    let written = CASES
        .replace("index: payments-2026", "index: payments-none-2026")
        .replace("-1767225600000\n", &format!("-1767225600000\n{}", indented("      ")))
        + "    expect:\n      dropped: drop\n";
    assert_eq!(fs::read_to_string(folder.path().join("cases.yaml")).unwrap(), written);
    folder.expect(&["test", "cases.yaml"], 0, "3 passed, 0 failed\n", "");
}

#[test]
fn test_names_what_keeps_it_from_running_cases() {
    let bad_case = "cases:\n  - name: empty\n    expect: {}\n";
    let folder = Folder::new(&[("new.yaml", BAD_RULES), ("cases.yaml", CASES), ("empty.yaml", bad_case)]);
    let is_error = |arguments: &[&str], error: &str| {
        folder.expect(arguments, 2, "", &format!("kafka-to-search: {error}"));
    };
    is_error(&["test", "cases.yaml"], PROBLEMS);
    is_error(
        &["test", "empty.yaml"],
        "empty.yaml: case `empty` has neither `record` nor `records`, or both: give one of them\n",
    );
    is_error(&["test", "absent"], &format!("absent: {MISSING}\n"));
    fs::create_dir(folder.path().join("none")).unwrap();
    is_error(&["test", "none"], "none: there is no *.yaml file with cases\n");
    fs::write(folder.path().join("none/cases.yaml"), "cases: 1\n").unwrap();
    is_error(
        &["test", "none"],
        "none/cases.yaml: cases: invalid type: integer `1`, expected a sequence at line 1 column 8\n",
    );
}
