//! Reads the rules of one topic pattern.

use event_pipeline::field_path::FieldPath;
use event_pipeline::formats::{KeyFormat, Unwrap, ValueCompression, ValueFormat};
use event_pipeline::routing::IndexRoute;
use event_pipeline::rules::{HashedField, Keep, OnError, Overrides, TopicRules};
use event_pipeline::sampling::SampleRate;
use event_pipeline::topic_pattern::TopicPattern;
use event_pipeline::transform::{ScriptProblem, SharedTransform, TransformCompiler};

use crate::node::{Place, TextStyle, Value};
use crate::reader::{At, Problems};

/// Every key of a rule.
const KEYS: [&str; 16] = [
    "match",
    "index",
    "timestamp_fields",
    "timestamp_zone",
    "format",
    "key_format",
    "compression",
    "unwrap",
    "header_fields",
    "drop",
    "sample",
    "parse_json",
    "remove",
    "hash",
    "transform",
    "on_error",
];

/// Words of `on_error`.
const ON_ERROR: [(&str, OnError); 2] = [("dead-letter", OnError::DeadLetter), ("index", OnError::Index)];

/// Reads the rules at `at`; `None` where it is not known what topics they are of.
pub(crate) fn read(
    at: &At<'_>,
    compiler: &dyn TransformCompiler,
    problems: &mut Problems,
) -> Option<TopicRules> {
    let [
        pattern,
        index,
        timestamp_fields,
        timestamp_zone,
        format,
        key_format,
        compression,
        unwrap,
        header_fields,
        drop,
        sample,
        parse_json,
        remove,
        hash,
        transform,
        on_error,
    ] = problems.map(at, KEYS);
    if pattern.is_none() && matches!(at.node.value, Value::Map(_)) {
        problems.add(at, "there is no `match`", "name the topics, such as `match: \"payments.*\"`");
    }
    let overrides = Overrides {
        timestamp_fields: timestamp_fields.map(|at| names(&at, "[bookedAt]", problems)),
        timestamp_zone: timestamp_zone.and_then(|at| {
            let text = problems.text(&at)?;
            let zone = text.parse();
            zone.map_err(|error| problems.add_text(&at, error, "write a zone, such as `Europe/Paris`")).ok()
        }),
        header_fields: header_fields.map(|at| header_names(&at, problems)),
        format: format.and_then(|at| problems.word(&at, &ValueFormat::WORDS)),
        key_format: key_format.and_then(|at| problems.word(&at, &KeyFormat::WORDS)),
        compression: compression.and_then(|at| problems.word(&at, &ValueCompression::WORDS)),
        unwrap: unwrap.and_then(|at| problems.word(&at, &Unwrap::WORDS)),
    };
    let index = index.and_then(|at| {
        let route = IndexRoute::parse(problems.text(&at)?);
        route.map_err(|error| problems.add_text(&at, error, "write an index, such as `payments`")).ok()
    });
    let is_dropped = drop.and_then(|at| problems.bool(&at)).unwrap_or_default();
    let sample = sample.and_then(|at| {
        let rate = SampleRate::new(problems.number(&at, "0.1")?);
        rate.map_err(|error| problems.add_text(&at, error, "write a number from 0 to 1")).ok()
    });
    let parse_json = parse_json.map(|at| paths(&at, problems)).unwrap_or_default();
    let remove = remove.map(|at| paths(&at, problems)).unwrap_or_default();
    let hash = hash.map(|at| hashed_fields(&at, &remove, problems)).unwrap_or_default();
    let transform = transform.and_then(|at| compile(&at, compiler, problems));
    let on_error = on_error.and_then(|at| problems.word(&at, &ON_ERROR)).unwrap_or_default();
    let pattern = pattern?;
    let text = problems.text(&pattern)?;
    let parsed = TopicPattern::parse(text).map_err(|error| {
        problems.add_text(&pattern, error, "write a topic");
    });
    Some(TopicRules {
        pattern: parsed.ok()?,
        overrides,
        index,
        keep: match (is_dropped, sample) {
            (true, _) => Keep::None,
            (false, Some(rate)) => Keep::Sample(rate),
            (false, None) => Keep::All,
        },
        parse_json,
        remove,
        hash,
        transform,
        on_error,
    })
}

/// Names, of which there is at least one.
fn names(at: &At<'_>, example: &str, problems: &mut Problems) -> Vec<String> {
    problems.texts(at, example).iter().map(|name| name.trim().to_owned()).collect()
}

fn header_names(at: &At<'_>, problems: &mut Problems) -> Vec<String> {
    let names = names(at, "[tenant]", problems);
    if let Some(name) = names.iter().find(|name| names.contains(&format!("{name}_base64"))) {
        let what = format!("`{name}` and `{name}_base64` would be one field");
        problems.add(at, what, "the second is where bytes of the first go: keep one of them");
    }
    names
}

fn paths(at: &At<'_>, problems: &mut Problems) -> Vec<FieldPath> {
    let mut paths: Vec<FieldPath> = Vec::new();
    for element in problems.list(at, "[card.cvv]") {
        let Some(text) = problems.text(&element) else { continue };
        match FieldPath::parse(text) {
            Ok(path) if paths.contains(&path) => {
                problems.add(&element, format!("`{path}` comes a second time"), "keep one of them");
            }
            Ok(path) => paths.push(path),
            Err(error) => problems.add_text(&element, error, "write a path, such as `card.cvv`"),
        }
    }
    paths
}

fn hashed_fields(at: &At<'_>, removed: &[FieldPath], problems: &mut Problems) -> Vec<HashedField> {
    let mut fields: Vec<HashedField> = Vec::new();
    for (key, text, salt) in problems.entries(at, "customer.email: my/salt-secret") {
        let key = At { node: key, path: salt.path.clone() };
        let path = match FieldPath::parse(&text) {
            Ok(path) => path,
            Err(error) => {
                problems.add_text(&key, error, "write a path, such as `customer.email`");
                continue;
            }
        };
        if removed.contains(&path) {
            problems.add(
                &key,
                format!("`{path}` is removed before it could be hashed"),
                "keep it in `remove` or in `hash`",
            );
        }
        let Some(name) = problems.text(&salt) else { continue };
        let is_name = |c: char| c.is_ascii_alphanumeric() || "/_+=.@-:".contains(c);
        if name.len() > 2048 || !name.chars().all(is_name) {
            problems.add(
                &salt,
                format!("`{name}` is no name of a secret"),
                "write the name or the ARN of a secret in Secrets Manager that has the salt",
            );
            continue;
        }
        fields.push(HashedField { path, salt: name.to_owned() });
    }
    fields
}

fn compile(
    at: &At<'_>,
    compiler: &dyn TransformCompiler,
    problems: &mut Problems,
) -> Option<SharedTransform> {
    let script = problems.text(at)?;
    match compiler.compile(script) {
        Ok(transform) => Some(transform),
        Err(of_script) => {
            if of_script.is_empty() {
                problems.add(at, "the script does not compile", "look at it");
            }
            for ScriptProblem { line, column, message } in of_script {
                let place = place_in_file(at, line, column);
                // A compiler can write many lines: one is a problem here.
                let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
                problems.add_at(place, &at.path, "the script does not compile", message);
            }
            None
        }
    }
}

/// The place in the file of a place in the script at `at`.
fn place_in_file(at: &At<'_>, line: usize, column: usize) -> Place {
    let start = at.node.place;
    let Value::Text { style, .. } = &at.node.value else { return start };
    match style {
        TextStyle::Block { line: first, indent } => Place { line: first + line - 1, column: indent + column },
        TextStyle::Quoted | TextStyle::Plain if line > 1 => Place { line: start.line + line - 1, column },
        TextStyle::Quoted => Place { line: start.line, column: start.column + column },
        TextStyle::Plain => Place { line: start.line, column: start.column + column - 1 },
    }
}
