//! Proposes the mapping that would end a conflict, for the component template that is the user's own.

use std::borrow::Cow;

use event_pipeline::conflict::{blamed_field, field_of_member, is_our_field};
use search_client::engine::Engine;
use serde_json::Value;

use crate::conflict_reason::{existing_type, field_limit};
use crate::field_mapping::{Change, FieldMapping};
use crate::value_shape::{Shape, n_names};

/// What would end a conflict.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Proposal {
    /// The change of the template; `None` where none would help.
    pub(crate) change: Option<Change>,
    /// What it does, or why there is none.
    pub(crate) advice: String,
}

/// Members that can be the pipeline's own, in addition to those that always are.
const OURS: [&str; 6] = ["trace", "span", "correlation_id", "tags", "message", "message_base64"];

/// Types that the shipped template does not give to any payload field, so that they must be the user's own.
const CHOSEN_TYPES: [&str; 13] = [
    "date",
    "date_nanos",
    "ip",
    "long",
    "integer",
    "short",
    "byte",
    "float",
    "half_float",
    "scaled_float",
    "unsigned_long",
    "geo_point",
    "geo_shape",
];

/// Proposes what ends the conflict of the member `member` (`*`: the whole payload) that the cluster rejected with `reason`
/// (`None`: not kept), of a document whose moved value is `value`.
pub(crate) fn propose(engine: Engine, member: &str, reason: Option<&str>, value: Option<&Value>) -> Proposal {
    let text = reason.unwrap_or_default();
    if let Some(why) = endless(text) {
        return none(why);
    }
    if let Some(limit) = field_limit(text) {
        return for_full_index(engine, limit, value);
    }
    if let Some(name) = strict_field(text) {
        return strict(engine, name, value);
    }
    // A name that was moved before another field was blamed has no reason of its own.
    if blames_name(text) || reason.is_none() && is_refused_name(member) {
        return for_name(engine, member);
    }
    let path = match (reason.and_then(|reason| blamed_field(reason, member)), member) {
        (Some(path), _) => Cow::Borrowed(path),
        (None, "*") => {
            return none(
                "the cluster named no field: `fix` tries the document again, and says what is at fault",
            );
        }
        (None, member) => field_of_member(member),
    };
    if let Some((parent, _)) = path.split_once("._").filter(|_| text.contains("immense term")) {
        return match engine {
            Engine::Elasticsearch => Proposal {
                change: Some(Change::Field(parent.to_owned(), FieldMapping::Flat)),
                advice: format!(
                    "a string below `{parent}` is too long for a term: with this `ignore_above` it is only stored"
                ),
            },
            Engine::OpenSearch => {
                none("a `flat_object` takes no string of over 32,766 bytes: its words are found as they are")
            }
        };
    }
    if is_pipelines(&path) {
        return none(PIPELINES);
    }
    for_field(engine, &path, text, value)
}

/// Most fields that are proposed for an index: more slow the cluster down.
const MAX_FIELDS: u64 = 10_000;

/// An index is full that has `limit` fields.
fn for_full_index(engine: Engine, limit: u64, value: Option<&Value>) -> Proposal {
    // A string is two fields, and an object is one besides those in it.
    let n_fields = 2 * value.map_or(0, n_names) as u64;
    let more = (limit + n_fields.max(limit)).next_multiple_of(1000);
    let flat = FieldMapping::Flat.type_name(engine);
    let better =
        format!("map the object whose names differ from event to event as `{flat}`, which is one field");
    if more > MAX_FIELDS {
        return none(&format!("the event has too many names for an index of {limit} fields: {better}"));
    }
    let advice = format!("the day's index has {limit} fields. A higher limit takes more. Better, {better}");
    Proposal { change: Some(Change::FieldLimit(more)), advice }
}

/// Proposes the only mapping that takes objects and values under the name `path`.
pub(crate) fn for_mixed(path: &str) -> Proposal {
    let advice = format!(
        "`{path}` is an object in some events and a value in others, and no mapping indexes both. This one stores both, but \
         then no search finds what is in `{path}`: without it, the words of the rarer kind are found in `conflict_text`. \
         Better give one of them another name in the service"
    );
    Proposal { change: Some(Change::Field(path.to_owned(), FieldMapping::Stored)), advice }
}

/// Why no mapping is proposed for a field of the pipeline's.
const PIPELINES: &str = "the field is the pipeline's own, or below one, and searches need its type: give it another name in the service";

/// Whether the field with this dotted name is or can be the pipeline's own.
fn is_pipelines(field: &str) -> bool {
    is_our_field(field) || OURS.contains(&field.split('.').next().unwrap_or_default())
}

fn none(why: &str) -> Proposal {
    Proposal { change: None, advice: why.to_owned() }
}

/// Why no mapping ends a conflict of this kind.
fn endless(reason: &str) -> Option<&'static str> {
    let says = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    if says(&["depth", "Depth", "nested deeper"]) {
        return Some(
            "it is nested deeper than the engines index: no mapping takes it, and its words are found as they are",
        );
    }
    if says(&[
        "Number value length",
        "Number length",
        "String length",
        "String value length",
        "Name length",
        "Name value length",
    ]) {
        return Some(
            "the engine's JSON parser refuses so long a name, number or text: no mapping takes it, and its words are \
                     found as they are",
        );
    }
    if says(&["field=\"conflict", "[conflict]"]) {
        return Some(
            "the payload does not fit into `conflict` either, as with a string of over 32,766 bytes, so it is text in \
             `message`, where its words are found. `fix` tries the document again, and says which field was rejected first",
        );
    }
    if reason.contains("constraints") || reason.contains("dotted") {
        return Some("the engine's parser refuses the name: give the field another name in the service");
    }
    None
}

/// Whether the cluster rejected a name.
fn blames_name(reason: &str) -> bool {
    ["empty string", "whitespace", "only the character [.]", "starting or ending with a [.]"]
        .iter()
        .any(|words| reason.contains(words))
}

/// Whether no field can have the name: a part of it is empty or blank.
fn is_refused_name(name: &str) -> bool {
    name.split('.').any(|part| part.trim().is_empty())
}

/// A name within a member that is a sound name itself is no field in a flat object.
fn for_name(engine: Engine, member: &str) -> Proposal {
    if member == "*" || is_refused_name(member) {
        return none(
            "no field can have such a name: give it another one in the service. Its values are found as they are",
        );
    }
    let field = field_of_member(member);
    if is_pipelines(&field) {
        return none(PIPELINES);
    }
    let advice = format!(
        "a name below `{field}` can't be a field's; `{}` takes any names below it, and finds their values",
        FieldMapping::Flat.type_name(engine)
    );
    Proposal { change: Some(Change::Field(field.into_owned(), FieldMapping::Flat)), advice }
}

/// `mapping set to strict, dynamic introduction of [x] within [_doc] is not allowed`: the dotted name of the field.
fn strict_field(reason: &str) -> Option<String> {
    let (_, rest) = reason.split_once("dynamic introduction of [")?;
    let (name, rest) = rest.split_once("] within [")?;
    let (parent, _) = rest.split_once(']')?;
    Some(if parent == "_doc" { name.to_owned() } else { format!("{parent}.{name}") })
}

fn strict(engine: Engine, path: String, value: Option<&Value>) -> Proposal {
    let shape = value
        .map(|value| Shape::at(value, path.strip_prefix("original.").unwrap_or(&path)))
        .unwrap_or_default();
    let mapping = match shape {
        Shape { has_object: true, .. } => FieldMapping::Flat,
        Shape { has_number: true, has_string: false, has_boolean: false, .. } => FieldMapping::Number,
        Shape { has_string: true, has_number: false, has_boolean: false, .. } => FieldMapping::Text,
        _ => FieldMapping::Keyword,
    };
    let advice = format!(
        "a strict mapping has no `{path}`: `{}` takes the value of the example",
        mapping.type_name(engine)
    );
    Proposal { change: Some(Change::Field(path, mapping)), advice }
}

fn for_field(engine: Engine, path: &str, reason: &str, value: Option<&Value>) -> Proposal {
    let inner = path.strip_prefix("original.").unwrap_or(path);
    let shape = value.map(|value| Shape::at(value, inner)).unwrap_or_default();
    let existing = existing_type(reason);
    // Elasticsearch maps the leaves of objects beside a value, where it does not itself say that it has an object there.
    let is_object =
        shape.has_object && engine == Engine::OpenSearch || reason.contains("Preview of field's value: '{");
    let was_object =
        existing.is_some_and(|kind| ["object", "nested", "flat_object", "flattened"].contains(&kind));
    let is_below_a_value =
        ["must be of type object", "non object mapping"].iter().any(|words| reason.contains(words));
    let change = |mapping| Some(Change::Field(path.to_owned(), mapping));
    if engine == Engine::Elasticsearch && was_object && !is_object && existing != Some("object") {
        let advice = format!(
            "`{path}` is mapped as an object and has a value here. The leaves of objects need no mapping of `{path}`: with \
             this one it takes both"
        );
        return Proposal { change: change(FieldMapping::Keyword), advice };
    }
    if is_object || was_object || is_below_a_value {
        return for_mixed(path);
    }
    let mut advice = match existing {
        Some(kind) => format!(
            "`{path}` is of type `{kind}`, which does not take every value; a keyword takes strings, numbers \
                               and booleans, and finds words in `{path}.text`. Ranges compare text then"
        ),
        None => format!(
            "by the value of the example: a keyword takes strings, numbers and booleans in `{path}`, and finds \
                         words in `{path}.text`"
        ),
    };
    if let Some(kind) = existing.filter(|kind| CHOSEN_TYPES.contains(kind)) {
        advice += &format!(
            ". If you mapped it as `{kind}` and need that, keep the type and add `\"ignore_malformed\": true` \
                            there instead"
        );
    }
    Proposal { change: change(FieldMapping::Keyword), advice }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const OPENSEARCH: Engine = Engine::OpenSearch;

    fn proposed(engine: Engine, member: &str, reason: &str, value: Value) -> Option<Change> {
        propose(engine, member, Some(reason), Some(&value)).change
    }

    fn field(path: &str, mapping: FieldMapping) -> Option<Change> {
        Some(Change::Field(path.into(), mapping))
    }

    #[test]
    fn the_mapping_follows_what_the_cluster_says_and_the_value_seen() {
        let object = json!({"a": {"b": 1}});
        for (member, reason, value, expected) in [
            (
                "a",
                "failed to parse field [a] of type [double]",
                json!({"a": "x"}),
                field("a", FieldMapping::Keyword),
            ),
            (
                "a",
                "failed to parse field [a.b] of type [double]",
                json!({"a": {"b": "x"}}),
                field("a.b", FieldMapping::Keyword),
            ),
            (
                "a",
                "mapper [a] cannot be changed from type [double] to [text]",
                json!({"a": [1, "x"]}),
                field("a", FieldMapping::Keyword),
            ),
            (
                "time",
                "failed to parse field [original.time] of type [double]",
                json!({"time": "x"}),
                field("original.time", FieldMapping::Keyword),
            ),
            (
                "a",
                "failed to parse field [a] of type [double]",
                object.clone(),
                field("a", FieldMapping::Stored),
            ),
            (
                "a",
                "failed to parse field [a.text] of type [match_only_text]. Preview of field's value: 'null'",
                object.clone(),
                field("a", FieldMapping::Stored),
            ),
            (
                "a",
                "failed to parse field [a] of type [keyword] in document with id 'x'. Preview of field's value: '{b=1}'",
                Value::Null,
                field("a", FieldMapping::Stored),
            ),
            (
                "a",
                "object mapping for [a] tried to parse field [a] as object, but found a concrete value",
                json!({"a": "x"}),
                field("a", FieldMapping::Stored),
            ),
            (
                "a.b",
                "Could not dynamically add mapping for field [a.b]. Existing mapping for [a] must be of type object but found [keyword].",
                json!({"a.b": 1}),
                field("a", FieldMapping::Stored),
            ),
            (
                "a",
                "field name cannot be an empty string",
                json!({"a": {"": 1}}),
                field("a", FieldMapping::Flat),
            ),
            ("*", "Limit of total fields [1000] has been exceeded", object, Some(Change::FieldLimit(2000))),
            (
                "a",
                "Document contains at least one immense term in field=\"a\" (whose UTF8",
                json!({"a": "x"}),
                field("a", FieldMapping::Keyword),
            ),
            (
                "s",
                "mapping set to strict, dynamic introduction of [s] within [_doc] is not allowed",
                json!({"s": 1}),
                field("s", FieldMapping::Number),
            ),
            (
                "s",
                "mapping set to strict, dynamic introduction of [t] within [s] is not allowed",
                json!({"s": {"t": "x"}}),
                field("s.t", FieldMapping::Text),
            ),
        ] {
            assert_eq!(proposed(OPENSEARCH, member, reason, value), expected, "{reason}");
        }
    }

    #[test]
    fn a_conflict_that_no_mapping_ends_gets_advice_alone() {
        for (member, reason) in [
            ("a", "The depth of the field has exceeded the allowed limit of [100]"),
            ("*", "the payload is nested deeper than 250 levels"),
            ("*", "Document contains at least one immense term in field=\"conflict._value\" (whose UTF8"),
            ("a", "Number value length (1001) exceeds the maximum allowed"),
            ("a..b", "object field starting or ending with a [.] makes object resolution ambiguous: [a..b]"),
            (" ", "Field name cannot contain only whitespace: [ ]"),
            ("trace", "failed to parse field [trace.id] of type [keyword]"),
            ("message", "failed to parse field [message] of type [match_only_text]"),
            (
                "service.name",
                "Could not dynamically add mapping for field [service.name]. Existing mapping for [service] must be of type object",
            ),
            ("*", "failed to parse field [conflict] of type [flat_object]"),
            ("*", "some words without a field"),
        ] {
            let Proposal { change, advice } = propose(OPENSEARCH, member, Some(reason), None);
            assert_eq!(change, None, "{reason}");
            assert!(advice.len() > 40, "{advice}");
        }
    }

    #[test]
    fn a_reason_that_is_not_kept_leaves_the_value() {
        let of = |value: Value| propose(OPENSEARCH, "a", None, Some(&value)).change;
        assert_eq!(of(json!({"a": "x"})), field("a", FieldMapping::Keyword));
        assert_eq!(of(json!({"a": {"b": 1}})), field("a", FieldMapping::Stored));
        let blank = propose(OPENSEARCH, "\u{2003}", None, Some(&json!({"\u{2003}": "x"}))).change;
        assert_eq!(blank, None, "the whole template would be refused");
        let service = propose(OPENSEARCH, "service", None, Some(&json!({"service": "x"}))).change;
        assert_eq!(service, field("original.service", FieldMapping::Keyword));
    }

    #[test]
    fn elasticsearch_maps_leaves_beside_a_value() {
        let reason = "[1:7] failed to parse field [a] of type [flattened] in document";
        assert_eq!(
            proposed(Engine::Elasticsearch, "a", reason, json!({"a": 1})),
            field("a", FieldMapping::Keyword)
        );
        let reason = "mapper [a] cannot be changed from type [double] to [text]";
        assert_eq!(
            proposed(Engine::Elasticsearch, "a", reason, json!({"a": [1, "x", {"b": 1}]})),
            field("a", FieldMapping::Keyword)
        );
    }
}
