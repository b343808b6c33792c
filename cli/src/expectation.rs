//! What is expected of a record, as YAML, and how what became of it differs.

use serde_yaml_ng::{Mapping, Value as Yaml};
use similar::{ChangeTag, TextDiff};

use crate::evaluate::{Decision, Document};
use crate::explain::Step;

/// Lines around a difference.
const CONTEXT: usize = 3;

/// The whole outcome of a record, whose rules' steps are `steps`.
pub fn outcome(decision: &Decision, steps: &[Step]) -> Yaml {
    let mut outcome = Mapping::new();
    match decision {
        Decision::Indexed(document) => {
            set_address(&mut outcome, document);
            match serde_json::from_str::<Yaml>(&document.json) {
                Ok(json) => set(&mut outcome, "document", json),
                // YAML is not read as deep as some documents are.
                Err(_) => set(&mut outcome, "document_json", document.json.clone()),
            }
        }
        Decision::Dropped => {
            set(&mut outcome, "dropped", steps.last().map_or("true", |step| step.step));
        }
        Decision::DeadLetter(document, error) => {
            set_address(&mut outcome, document);
            let mut reason = Mapping::new();
            set(&mut reason, "type", error.kind.to_string());
            set(&mut reason, "reason", error.reason.clone());
            set(&mut outcome, "dead_letter", reason);
        }
        Decision::NeedsSchema(ids) => {
            let ids: Vec<Yaml> = ids.iter().map(|id| id.to_string().into()).collect();
            set(&mut outcome, "needs_schema", ids);
        }
    }
    Yaml::Mapping(outcome)
}

fn set_address(outcome: &mut Mapping, document: &Document) {
    set(outcome, "index", document.index.clone());
    if let Some(id) = &document.id {
        set(outcome, "id", id.clone());
    }
}

fn set(mapping: &mut Mapping, name: &str, value: impl Into<Yaml>) {
    mapping.insert(name.into(), value.into());
}

/// `actual` with its members in the order of `expected`, where both have them.
pub fn ordered_like(actual: Yaml, expected: &Yaml) -> Yaml {
    match (actual, expected) {
        (Yaml::Mapping(mut actual), Yaml::Mapping(expected)) => {
            let mut ordered = Mapping::new();
            for (name, value) in expected {
                if let Some(found) = actual.shift_remove(name) {
                    ordered.insert(name.clone(), ordered_like(found, value));
                }
            }
            ordered.extend(actual);
            Yaml::Mapping(ordered)
        }
        (Yaml::Sequence(actual), Yaml::Sequence(expected)) => {
            let mut expected = expected.iter();
            let ordered = actual.into_iter().map(|element| match expected.next() {
                Some(like) => ordered_like(element, like),
                None => element,
            });
            Yaml::Sequence(ordered.collect())
        }
        (actual, _) => actual,
    }
}

/// The lines in which `actual` differs from `expected`: `-` was expected, `+` is there.
///
/// # Errors
/// When one of them can't be written as YAML.
pub fn difference(expected: &Yaml, actual: &Yaml) -> Result<String, serde_yaml_ng::Error> {
    let (expected, actual) = (serde_yaml_ng::to_string(expected)?, serde_yaml_ng::to_string(actual)?);
    let diff = TextDiff::from_lines(expected.as_str(), actual.as_str());
    let mut text = String::new();
    for (position, group) in diff.grouped_ops(CONTEXT).iter().enumerate() {
        if position > 0 {
            text.push_str("  …\n");
        }
        for change in group.iter().flat_map(|operation| diff.iter_changes(operation)) {
            let sign = match change.tag() {
                ChangeTag::Delete => "- ",
                ChangeTag::Insert => "+ ",
                ChangeTag::Equal => "  ",
            };
            text.push_str(sign);
            text.push_str(change.value().trim_end_matches('\n'));
            text.push('\n');
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use event_pipeline::write_error::{ErrorKind, WriteError};

    use super::*;

    fn yaml(text: &str) -> Yaml {
        serde_yaml_ng::from_str(text).unwrap()
    }

    fn document() -> Document {
        Document { index: "i-1".into(), id: Some("t-0-1-2".into()), json: r#"{"b":1,"a":[2.5,null]}"#.into() }
    }

    #[test]
    fn an_outcome_is_whole() {
        assert_eq!(
            outcome(&Decision::Indexed(document()), &[]),
            yaml("{index: i-1, id: t-0-1-2, document: {b: 1, a: [2.5, null]}}")
        );
        let steps = [Step { step: "sample", did: String::new() }];
        assert_eq!(outcome(&Decision::Dropped, &steps), yaml("dropped: sample"));
        let error = WriteError { kind: ErrorKind::TransformFailure, status: None, reason: "no".into() };
        assert_eq!(
            outcome(&Decision::DeadLetter(document(), error), &[]),
            yaml("{index: i-1, id: t-0-1-2, dead_letter: {type: transform_failure, reason: no}}")
        );
    }

    #[test]
    fn a_difference_shows_the_lines_that_differ_in_the_order_of_what_was_expected() {
        let expected = yaml("{a: 1, b: {x: 1, y: 2}, c: 3}");
        let actual = ordered_like(yaml("{n: 4, c: 3, b: {y: 2, x: 5}, a: 1}"), &expected);
        assert_eq!(
            difference(&expected, &actual).unwrap(),
            "  a: 1\n  b:\n-   x: 1\n+   x: 5\n    y: 2\n  c: 3\n+ n: 4\n"
        );
    }
}
