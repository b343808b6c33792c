//! What is reported of events that change.

use serde_json::json;

use crate::program::{Files, json, unique};
use crate::{cluster, kafka};

fn rules(start: &str) -> String {
    format!(
        "topics:
  - match: \"*\"
    index: \"{start}-{{payload.tenant|none}}\"
    remove: [cvv]
    transform: |
      if .kind == \"debug\" {{ abort }}
      if .kind == \"bad\" {{ .kind = to_int!(.kind) }}
      if .kind == \"number\" {{ .n = \"no number\" }}
      if .kind == \"secret\" {{ .added = true }}
"
    )
}

#[test]
fn every_event_is_compared_with_its_document_and_nothing_is_left_behind() {
    let (topic, start) = (unique("simulated"), unique("sim"));
    let prefix = format!("{start}-none");
    let values: Vec<String> = [
        json!({"kind": "same", "n": 1}),
        json!({"kind": "secret", "cvv": "123"}),
        json!({"kind": "routed", "tenant": "acme"}),
        json!({"kind": "debug"}),
        json!({"kind": "bad"}),
        json!({"kind": "number", "n": 5}),
        json!({"kind": "new"}),
    ]
    .iter()
    .map(ToString::to_string)
    .collect();
    cluster::put_template(&start);
    kafka::publish(&topic, values.clone());
    cluster::index(&prefix, &topic, &values[..6]);
    let files = Files::new(&prefix, &rules(&start));

    let mut report = json(&mut files.simulate(&topic, &["--output", "json"]));
    let (day, event) = ("2026.03.01", |offset: i64| format!("{topic}-0-{offset}"));
    let before = report["bytes"]["before"].take().as_u64().unwrap();
    let after = report["bytes"]["after"].take().as_u64().unwrap();
    assert!(after < before && after > before / 3, "{before} {after}");
    let reason = report["refused"]["fields"][0]["example"]["before"].take();
    assert!(reason.as_str().unwrap().contains("no number"), "{reason}");
    report["pipeline"].take();
    let expected = json!({
        "topic": topic,
        "since": "beginning",
        "pipeline": null,
        "stopped": null,
        "notes": [],
        "counts": {
            "events": 7,
            "unchanged": 1,
            "changed": 2,
            "rerouted": 1,
            "dropped": 1,
            "dead_lettered": 1,
            "in_conflict_form": 0,
            "not_indexed": 1,
            "undecided": 0,
            "rerouted_and_changed": 0,
            "not_indexed_now_indexed": 1,
            "not_indexed_now_dropped": 0,
            "not_indexed_now_dead_lettered": 0,
            "not_indexed_so_far_dead_lettered": 0,
            "left_out": 0,
        },
        "fields": {
            "added": [{"field": "added", "events": 1, "example": {"event": event(1), "after": "true"}}],
            "removed": [{"field": "cvv", "events": 1, "example": {"event": event(1), "before": "\"123\""}}],
            "changed": [
                {"field": "n", "events": 1, "example": {"event": event(5), "before": "5", "after": "\"no number\""}},
            ],
        },
        "dropped_by": {"transform": 1},
        "dead_letters": [{
            "reason": "transform_failure: to_int failed at line 2, column 29 of the script: Invalid integer",
            "events": 1,
            "example": event(4),
        }],
        "refused": {
            "events": 1,
            "taken": 4,
            "not_tried": 0,
            "fields": [{"field": "n", "events": 1, "example": {"event": event(5), "before": null}}],
        },
        "bytes": {"before": null, "after": null},
        "indices": {
            "before": {format!("{prefix}-{day}"): 6},
            "after": {format!("{prefix}-{day}"): 3, format!("{start}-acme-{day}"): 1},
        },
    });
    report["dead_letters"][0]["reason"] = expected["dead_letters"][0]["reason"].clone();
    assert_eq!(report, expected, "{report:#}");

    assert_eq!(cluster::indices(&start), [format!("{prefix}-{day}")], "the scratch indices are gone");
    assert_eq!(kafka::groups().iter().filter(|group| group.contains("simulate")).count(), 0);
}

#[test]
fn a_part_of_the_events_is_compared_where_that_is_asked_for() {
    let (topic, start) = (unique("simulated"), unique("sim"));
    kafka::publish(&topic, (0..2_000).map(|number| json!({"n": number}).to_string()));
    let files = Files::new(&format!("{start}-none"), &rules(&start));
    let report = json(&mut files.simulate(&topic, &["--output", "json", "--sample", "0.25"]));
    let (events, left_out) = (report["counts"]["events"].as_u64().unwrap(), &report["counts"]["left_out"]);
    assert!((400..600).contains(&events), "{events}");
    assert_eq!(left_out.as_u64().unwrap() + events, 2_000);
    let report = json(&mut files.simulate(&topic, &["--output", "json", "--max", "700"]));
    assert_eq!((&report["counts"]["events"], &report["stopped"]), (&json!(700), &json!("ended at --max")));
    assert_eq!(report["refused"]["taken"], json!(700));
}

#[test]
fn the_events_from_a_time_on_are_compared() {
    let (topic, start) = (unique("simulated"), unique("sim"));
    kafka::publish(&topic, [json!({"n": 1}).to_string()]);
    let files = Files::new(&format!("{start}-none"), &rules(&start));
    let since = |time: &str| {
        let command = files.simulate(&topic, &["--output", "json"]);
        let words: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        let mut again = std::process::Command::new(command.get_program());
        for (position, word) in words.iter().enumerate() {
            let is_time = position > 0 && words[position - 1] == "--since";
            again.arg(if is_time { std::ffi::OsStr::new(time) } else { word });
        }
        drop(command);
        again.output().unwrap()
    };
    let all: serde_json::Value = serde_json::from_slice(&since("2026-03-01T10:00:00Z").stdout).unwrap();
    assert_eq!(all["counts"]["events"], 1);
    let none = since("2026-03-01T10:00:01Z");
    assert_eq!(
        String::from_utf8_lossy(&none.stderr),
        format!("kafka-to-search: topic `{topic}` has no records since 2026-03-01T10:00:01+00:00\n")
    );
}

#[test]
fn hashes_are_those_of_the_functions_with_the_real_salts() {
    let (topic, start) = (unique("simulated"), unique("sim"));
    let prefix = format!("{start}-none");
    kafka::publish(&topic, [json!({"user": "ann"}).to_string()]);
    // printf %s ann | openssl dgst -sha256 -hmac 0123456789abcdef
    let hash = "fb385915a0623c0be3e7b0a7134dbb620a2771faff45e92eb8647d11aa2947cf";
    cluster::index(&prefix, &topic, &[json!({"user": hash}).to_string()]);
    let files = Files::new(&prefix, "topics: [{match: '*', hash: {user: my/salt}}]\n");
    std::fs::write(files.file("salts.yaml"), "my/salt: 0123456789abcdef\n").unwrap();
    let salts = files.file("salts.yaml");
    let report = json(&mut files.simulate(&topic, &["--output", "json", "--salts", salts.to_str().unwrap()]));
    assert_eq!((&report["counts"]["unchanged"], &report["notes"]), (&json!(1), &json!([])), "{report:#}");
    let report = json(&mut files.simulate(&topic, &["--output", "json"]));
    let note = "hashes are made with stand-ins for the salts, so that fields of `hash` count as changed: --salts gives the real ones";
    assert_eq!((&report["counts"]["changed"], &report["notes"]), (&json!(1), &json!([note])), "{report:#}");
}
