//! Times are read as `tests/fixtures/times.json` says, as the Logstash pipeline in `infra/elk` reads them.

#![expect(clippy::disallowed_methods, reason = "a test reads its fixtures")]

use std::fs;
use std::path::Path;

use event_pipeline::time_text::{Reading, read};
use serde_json::Value;

#[test]
fn every_value_of_the_list_is_read_as_the_list_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/times.json");
    let list: Vec<Value> = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    assert!(list.len() > 100, "the list is there");
    for case in list {
        let text = |name| case.get(name).and_then(Value::as_str).unwrap();
        let outcome = match read(text("value").as_bytes(), text("zone").parse().unwrap()) {
            Reading::Time(time) => String::from_utf8(time.to_text().to_vec()).unwrap(),
            Reading::OutOfRange => "out of range".to_owned(),
            Reading::Unparsed => "unparsed".to_owned(),
        };
        assert_eq!(outcome, text("outcome"), "{case}");
    }
}
