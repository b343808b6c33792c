//! What an invocation requests: which dead letters or objects, and whether to replay them or only to show them.

use serde_json::Value;
use thiserror::Error;

use crate::replay_event::{OneOrMany, ReplayEvent, S3Member};
use crate::selection::{AfterIndexing, Filter, Keys, Objects};

/// What is wrong with the event, and how to fix it.
#[derive(Debug, Error)]
pub enum RequestError {
    /// The event does not have the documented form.
    #[error(
        "the event is not a replay request: {0}; give for example {{\"service\": \"order\", \"dry_run\": true}}"
    )]
    Form(#[source] serde_json::Error),
    /// `after` was not made by an earlier invocation.
    #[error("`after` is not the {0} of an earlier response's `next`: invoke with that `next`, unchanged")]
    After(&'static str),
    /// Without any condition, everything would be replayed.
    #[error(
        "the event names no dead letters: give `service`, `error_type`, `from`, `to` or `ids`, or `\"all\": true` for \
         every dead letter"
    )]
    NoCondition,
    /// `all` and a condition.
    #[error("the event has `\"all\": true` and `{0}`: leave one of them out")]
    AllWithCondition(&'static str),
    /// `s3` and a condition for dead letters.
    #[error("the event has `s3` and `{0}`: objects are replayed whole, invoke once for each")]
    ObjectsWithCondition(&'static str),
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
        /// Its value.
        text: String,
    },
    /// Neither one object nor a prefix.
    #[error("`s3` needs `bucket`, and either `key` (one object) or `prefix` (all below it)")]
    Objects,
}

/// What an invocation requests.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    event: ReplayEvent,
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
        /// Sort values of the last one that an earlier invocation processed.
        after: Option<Vec<Value>>,
    },
    /// On-failure records in a bucket.
    Objects {
        /// Which of them.
        objects: Objects,
        /// Key of the last one that an earlier invocation processed.
        after: Option<String>,
    },
}

/// Whether anything is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Records are indexed, and dead letters removed.
    Replay,
    /// Dead letters or records are counted, and some shown.
    DryRun,
}

impl Request {
    /// Parses an event.
    ///
    /// # Errors
    /// [`RequestError`], whose text shows how to fix the event.
    pub fn parse(payload: &[u8]) -> Result<Self, RequestError> {
        let event: ReplayEvent = serde_json::from_slice(payload).map_err(RequestError::Form)?;
        let source = match &event.s3 {
            Some(s3) => objects(&event, s3)?,
            None => dead_letters(&event)?,
        };
        let mode = if event.dry_run { Mode::DryRun } else { Mode::Replay };
        Ok(Self { event, source, mode })
    }

    /// Returns the event that requests what is left behind the position `after`.
    pub fn next_event(&self, after: Option<Value>) -> Value {
        let event = ReplayEvent { after, ..self.event.clone() };
        serde_json::to_value(event).unwrap_or_default()
    }
}

fn dead_letters(event: &ReplayEvent) -> Result<Source, RequestError> {
    match (event.all, event.conditions().first()) {
        (true, Some(name)) => return Err(RequestError::AllWithCondition(name)),
        (false, None) => return Err(RequestError::NoCondition),
        (true, None) | (false, Some(_)) => {}
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
        Some(_) => return Err(RequestError::After("list")),
    };
    Ok(Source::DeadLetters { filter, after })
}

fn objects(event: &ReplayEvent, s3: &S3Member) -> Result<Source, RequestError> {
    if let Some(name) = event.conditions().first() {
        return Err(RequestError::ObjectsWithCondition(name));
    }
    if event.all {
        return Err(RequestError::ObjectsWithCondition("all"));
    }
    let keys = match (&s3.key, &s3.prefix) {
        (Some(key), None) if !key.is_empty() => Keys::One(key.clone()),
        // An empty prefix is a deliberate choice: the whole bucket.
        (None, Some(prefix)) => Keys::Prefix(prefix.clone()),
        _ => return Err(RequestError::Objects),
    };
    if s3.bucket.is_empty() || s3.bucket.contains('/') {
        return Err(RequestError::Objects);
    }
    let after = match &event.after {
        None => None,
        Some(Value::String(key)) => Some(key.clone()),
        Some(_) => return Err(RequestError::After("key")),
    };
    let after_indexing = if s3.delete { AfterIndexing::Delete } else { AfterIndexing::Keep };
    Ok(Source::Objects { objects: Objects { bucket: s3.bucket.clone(), keys, after_indexing }, after })
}

fn list(name: &'static str, given: Option<&OneOrMany>) -> Result<Vec<String>, RequestError> {
    let Some(given) = given else { return Ok(Vec::new()) };
    let list = given.list();
    if list.is_empty() || list.iter().any(String::is_empty) {
        Err(RequestError::EmptyList(name))
    } else {
        Ok(list)
    }
}

/// Checks the form of a time, so that a typing error gets our message. The cluster parses the time.
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
    fn conditions_are_strings_or_lists() {
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
    fn everything_is_replayed_only_on_request() {
        assert!(refused(&json!({})).contains("`\"all\": true`"));
        assert!(refused(&json!({"dry_run": true})).contains("names no dead letters"));
        assert!(refused(&json!({"all": true, "service": "order"})).contains("`service`"));
        let all = parse(&json!({"all": true})).unwrap();
        assert_eq!(all.source, Source::DeadLetters { filter: Filter::default(), after: None });
    }

    #[test]
    fn objects_are_named_by_key_or_by_prefix() {
        let one = parse(&json!({"s3": {"bucket": "b", "key": "k"}})).unwrap();
        let objects =
            Objects { bucket: "b".into(), keys: Keys::One("k".into()), after_indexing: AfterIndexing::Keep };
        assert_eq!(one.source, Source::Objects { objects, after: None });
        let below =
            parse(&json!({"s3": {"bucket": "b", "prefix": "", "delete": true}, "after": "k"})).unwrap();
        let objects = Objects {
            bucket: "b".into(),
            keys: Keys::Prefix(String::new()),
            after_indexing: AfterIndexing::Delete,
        };
        assert_eq!(below.source, Source::Objects { objects, after: Some("k".into()) });
        for s3 in [
            json!({"bucket": "b"}),
            json!({"bucket": "b", "key": "k", "prefix": "p"}),
            json!({"bucket": "", "key": "k"}),
        ] {
            assert!(matches!(parse(&json!({"s3": s3})), Err(RequestError::Objects)));
        }
        assert!(
            refused(&json!({"s3": {"bucket": "b", "key": "k"}, "service": "order"})).contains("`service`")
        );
    }

    #[test]
    fn an_invalid_event_is_refused_with_a_way_to_fix_it() {
        assert!(refused(&json!({"servce": "order"})).contains("unknown field `servce`"));
        assert!(refused(&json!({"service": 5})).contains("a string or a list of strings"));
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
    fn the_next_event_is_the_same_event_with_a_position() {
        let event = json!({"service": "order", "from": "2026-03-01"});
        let next = parse(&event).unwrap().next_event(Some(json!([1, null])));
        assert_eq!(next, json!({"service": "order", "from": "2026-03-01", "after": [1, null]}));
        let Source::DeadLetters { after, .. } = parse(&next).unwrap().source else { panic!("dead letters") };
        assert_eq!(after, Some(vec![json!(1), Value::Null]));
    }
}
