//! What an invocation asks for: which dead letters or objects, and whether to replay them or only to look.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

/// Says what is wrong with the event, and how to mend it.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum RequestError {
    /// The event is not of the documented form.
    #[error(
        "the event is not a replay request: {0}; give for example {{\"service\": \"order\", \"dry_run\": true}}"
    )]
    Form(String),
    /// Everything would be replayed without having been asked for.
    #[error(
        "the event names no dead letters: give `service`, `error_type`, `from`, `to` or `ids`, or `\"all\": true` for \
         every dead letter"
    )]
    Everything,
    /// "All" and "some" at once.
    #[error("the event has `\"all\": true` and `{0}`: `all` goes alone, leave one of them out")]
    AllAndSome(&'static str),
    /// Dead letters and objects at once.
    #[error("the event has `s3` and `{0}`: objects are replayed whole, invoke once for each")]
    ObjectsAndSome(&'static str),
    /// A list without elements matches nothing, which is hardly meant.
    #[error("`{0}` is an empty list: leave it out, or name at least one")]
    EmptyList(&'static str),
    /// Neither a day nor a time.
    #[error(
        "`{name}` is `{text}`: give a day (2026-03-01), a time with its zone (2026-03-01T10:00:00Z), or one that counts \
         from now (now-2d)"
    )]
    Time {
        /// The member.
        name: &'static str,
        /// What was given.
        text: String,
    },
    /// Not one object and not a prefix.
    #[error("`s3` needs `bucket`, and either `key` (one object) or `prefix` (all below it)")]
    Objects,
}

/// An event as it comes.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Event {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    service: Option<OneOrMore>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error_type: Option<OneOrMore>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ids: Option<OneOrMore>,
    #[serde(default, skip_serializing_if = "is_false")]
    all: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    s3: Option<ObjectsEvent>,
    #[serde(default, skip_serializing_if = "is_false")]
    dry_run: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<Value>,
}

#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct ObjectsEvent {
    bucket: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prefix: Option<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    delete: bool,
}

/// A word or a list of them.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(untagged, expecting = "expected a text or a list of texts")]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    fn list(&self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text.clone()],
            Self::More(texts) => texts.clone(),
        }
    }
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    event: Event,
    /// What to replay.
    pub source: Source,
    /// Whether anything is changed.
    pub mode: Mode,
}

/// Where the records come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// Dead letters in the cluster.
    DeadLetters {
        /// Which of them.
        filter: Filter,
        /// Sort values of the last one that an earlier invocation dealt with.
        after: Option<Vec<Value>>,
    },
    /// On-failure records in a bucket.
    Objects {
        /// Which of them.
        objects: Objects,
        /// Key of the last one that an earlier invocation dealt with.
        after: Option<String>,
    },
}

/// Which dead letters: all conditions that are given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Service names or topics.
    pub services: Vec<String>,
    /// Types of errors, as the cluster names them.
    pub error_types: Vec<String>,
    /// The earliest `@timestamp`.
    pub from: Option<String>,
    /// What `@timestamp` must lie before.
    pub to: Option<String>,
    /// Ids of dead letters.
    pub ids: Vec<String>,
}

/// Which objects, and what becomes of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objects {
    /// The bucket.
    pub bucket: String,
    /// One object or many.
    pub keys: Keys,
    /// What becomes of an object whose records are all indexed.
    pub afterwards: Afterwards,
}

/// One object or many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keys {
    /// The object with this key.
    One(String),
    /// Every object whose key begins so.
    Prefix(String),
}

/// What becomes of an object whose records are all indexed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Afterwards {
    /// It stays.
    Keep,
    /// It is deleted.
    Delete,
}

/// Whether anything is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Records are indexed, dead letters removed.
    Replay,
    /// Counts and a sample only.
    DryRun,
}

impl Request {
    /// Reads an event.
    ///
    /// # Errors
    /// [`RequestError`], which says how to mend it.
    pub fn parse(payload: &[u8]) -> Result<Self, RequestError> {
        let event: Event =
            serde_json::from_slice(payload).map_err(|error| RequestError::Form(error.to_string()))?;
        let source = match &event.s3 {
            Some(objects) => objects_of(&event, objects)?,
            None => dead_letters_of(&event)?,
        };
        let mode = if event.dry_run { Mode::DryRun } else { Mode::Replay };
        Ok(Self { event, source, mode })
    }

    /// The event that goes on behind `after`.
    pub fn going_on_after(&self, after: Option<Value>) -> Value {
        let event = Event { after, ..self.event.clone() };
        serde_json::to_value(event).unwrap_or_default()
    }

    /// Where an earlier invocation ended.
    pub fn after(&self) -> Option<Value> {
        self.event.after.clone()
    }
}

fn dead_letters_of(event: &Event) -> Result<Source, RequestError> {
    let given = given(event);
    if event.all {
        if let Some(name) = given.first() {
            return Err(RequestError::AllAndSome(name));
        }
    } else if given.is_empty() {
        return Err(RequestError::Everything);
    }
    let filter = Filter {
        services: list("service", event.service.as_ref())?,
        error_types: list("error_type", event.error_type.as_ref())?,
        from: time("from", event.from.as_deref())?,
        to: time("to", event.to.as_deref())?,
        ids: list("ids", event.ids.as_ref())?,
    };
    let after = match &event.after {
        None => None,
        Some(Value::Array(values)) => Some(values.clone()),
        Some(_) => {
            return Err(RequestError::Form("`after` is not the list of an earlier answer's `next`".into()));
        }
    };
    Ok(Source::DeadLetters { filter, after })
}

fn objects_of(event: &Event, objects: &ObjectsEvent) -> Result<Source, RequestError> {
    if let Some(name) = given(event).first() {
        return Err(RequestError::ObjectsAndSome(name));
    }
    if event.all {
        return Err(RequestError::ObjectsAndSome("all"));
    }
    let keys = match (&objects.key, &objects.prefix) {
        (Some(key), None) if !key.is_empty() => Keys::One(key.clone()),
        // An empty prefix is said aloud: the whole bucket.
        (None, Some(prefix)) => Keys::Prefix(prefix.clone()),
        _ => return Err(RequestError::Objects),
    };
    if objects.bucket.is_empty() || objects.bucket.contains('/') {
        return Err(RequestError::Objects);
    }
    let after = match &event.after {
        None => None,
        Some(Value::String(key)) => Some(key.clone()),
        Some(_) => {
            return Err(RequestError::Form("`after` is not the key of an earlier answer's `next`".into()));
        }
    };
    let afterwards = if objects.delete { Afterwards::Delete } else { Afterwards::Keep };
    Ok(Source::Objects { objects: Objects { bucket: objects.bucket.clone(), keys, afterwards }, after })
}

/// Names of the conditions that the event has.
fn given(event: &Event) -> Vec<&'static str> {
    [
        ("service", event.service.is_some()),
        ("error_type", event.error_type.is_some()),
        ("from", event.from.is_some()),
        ("to", event.to.is_some()),
        ("ids", event.ids.is_some()),
    ]
    .into_iter()
    .filter_map(|(name, is_given)| is_given.then_some(name))
    .collect()
}

fn list(name: &'static str, given: Option<&OneOrMore>) -> Result<Vec<String>, RequestError> {
    let Some(given) = given else { return Ok(Vec::new()) };
    let list = given.list();
    if list.is_empty() || list.iter().any(String::is_empty) {
        Err(RequestError::EmptyList(name))
    } else {
        Ok(list)
    }
}

/// Checks a time roughly, so that a slip is told in our words; the cluster reads it.
fn time(name: &'static str, given: Option<&str>) -> Result<Option<String>, RequestError> {
    let Some(text) = given else { return Ok(None) };
    let from_now = text.strip_prefix("now").is_some_and(|rest| {
        rest.is_empty()
            || rest.starts_with(['-', '+', '/'])
                && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"-+/".contains(&b))
    });
    let (day, clock) = text.split_once('T').unwrap_or((text, ""));
    let digits = |part: &str, len: usize| part.len() == len && part.bytes().all(|b| b.is_ascii_digit());
    let mut parts = day.split('-');
    let is_day = parts.next().is_some_and(|year| digits(year, 4))
        && parts.next().is_some_and(|month| digits(month, 2))
        && parts.next().is_some_and(|day| digits(day, 2))
        && parts.next().is_none();
    // A time without a zone would be read as UTC, whatever was meant.
    let has_zone = clock.ends_with('Z') || clock.get(5..).is_some_and(|rest| rest.contains(['+', '-']));
    if from_now || is_day && (!text.contains('T') || has_zone) {
        return Ok(Some(text.to_owned()));
    }
    Err(RequestError::Time { name, text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(event: &Value) -> Result<Request, RequestError> {
        Request::parse(event.to_string().as_bytes())
    }

    fn refused(event: &Value) -> String {
        parse(event).unwrap_err().to_string()
    }

    #[test]
    fn conditions_are_read_as_words_or_lists() {
        let request = parse(&json!({
            "service": "order", "error_type": ["a", "b"], "from": "2026-03-01", "to": "now-1h/h", "dry_run": true,
        }));
        let filter = Filter {
            services: vec!["order".into()],
            error_types: vec!["a".into(), "b".into()],
            from: Some("2026-03-01".into()),
            to: Some("now-1h/h".into()),
            ids: Vec::new(),
        };
        let request = request.unwrap();
        assert_eq!(request.source, Source::DeadLetters { filter, after: None });
        assert_eq!(request.mode, Mode::DryRun);
    }

    #[test]
    fn everything_is_replayed_only_when_it_is_asked_for() {
        assert!(refused(&json!({})).contains("`\"all\": true`"));
        assert!(refused(&json!({"dry_run": true})).contains("names no dead letters"));
        assert!(refused(&json!({"all": true, "service": "order"})).contains("`service`"));
        let all = parse(&json!({"all": true})).unwrap();
        assert_eq!(all.source, Source::DeadLetters { filter: Filter::default(), after: None });
    }

    #[test]
    fn objects_are_one_or_those_below_a_prefix() {
        let one = parse(&json!({"s3": {"bucket": "b", "key": "k"}})).unwrap();
        let objects =
            Objects { bucket: "b".into(), keys: Keys::One("k".into()), afterwards: Afterwards::Keep };
        assert_eq!(one.source, Source::Objects { objects, after: None });
        let below =
            parse(&json!({"s3": {"bucket": "b", "prefix": "", "delete": true}, "after": "k"})).unwrap();
        let objects =
            Objects { bucket: "b".into(), keys: Keys::Prefix(String::new()), afterwards: Afterwards::Delete };
        assert_eq!(below.source, Source::Objects { objects, after: Some("k".into()) });
        for s3 in [
            json!({"bucket": "b"}),
            json!({"bucket": "b", "key": "k", "prefix": "p"}),
            json!({"bucket": "", "key": "k"}),
        ] {
            assert_eq!(parse(&json!({"s3": s3})), Err(RequestError::Objects));
        }
        assert!(
            refused(&json!({"s3": {"bucket": "b", "key": "k"}, "service": "order"})).contains("`service`")
        );
    }

    #[test]
    fn slips_are_named_with_the_mend() {
        assert!(refused(&json!({"servce": "order"})).contains("unknown field `servce`"));
        assert!(refused(&json!({"service": 5})).contains("a text or a list of texts"));
        assert!(refused(&json!({"ids": []})).contains("`ids` is an empty list"));
        assert!(refused(&json!([1])).contains("not a replay request"));
        for text in ["yesterday", "2026-3-1", "2026-03-01T10:00", "01.03.2026", "now; drop"] {
            assert!(refused(&json!({"from": text})).contains("2026-03-01T10:00:00Z"), "{text}");
        }
        for text in
            ["now", "now-2d", "now/d", "2026-03-01", "2026-03-01T10:00:00.5Z", "2026-03-01T10:00+01:00"]
        {
            assert!(parse(&json!({"to": text})).is_ok(), "{text}");
        }
    }

    #[test]
    fn the_event_that_goes_on_is_the_event_with_a_place() {
        let event = json!({"service": "order", "from": "2026-03-01"});
        let next = parse(&event).unwrap().going_on_after(Some(json!([1, null])));
        assert_eq!(next, json!({"service": "order", "from": "2026-03-01", "after": [1, null]}));
        let Source::DeadLetters { after, .. } = parse(&next).unwrap().source else { panic!("dead letters") };
        assert_eq!(after, Some(vec![json!(1), Value::Null]));
    }
}
