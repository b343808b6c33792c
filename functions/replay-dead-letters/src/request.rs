//! What an invocation requests: which dead letters or objects, and whether to replay them or only to show them.

use serde_json::Value;

use crate::conditions::{list, time};
use crate::replay_event::{ConflictAction, ReplayEvent, S3Member};
use crate::request_error::RequestError;
use crate::selection::{AfterIndexing, ConflictFilter, Filter, Keys, Objects, Records};

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
    /// Documents that were written in another form because the cluster rejected them.
    Conflicts {
        /// Which of them.
        filter: ConflictFilter,
        /// Sort values of the last one that an earlier invocation processed.
        after: Option<Vec<Value>>,
    },
}

/// Whether anything is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Records are indexed, and dead letters removed. Documents with a conflict get their usual form.
    Replay,
    /// Dead letters, records or conflicts are counted, and some shown.
    DryRun,
}

impl Request {
    /// Parses an event.
    ///
    /// # Errors
    /// [`RequestError`], whose text shows how to fix the event.
    pub fn parse(payload: &[u8]) -> Result<Self, RequestError> {
        let event: ReplayEvent = serde_json::from_slice(payload).map_err(RequestError::Form)?;
        let source = match (&event.s3, event.conflicts) {
            (Some(_), Some(_)) => return Err(RequestError::ObjectsWithCondition("conflicts")),
            (Some(s3), None) => objects(&event, s3)?,
            (None, Some(action)) => conflicts(&event, action)?,
            (None, None) => dead_letters(&event)?,
        };
        let mode = match event.conflicts {
            Some(ConflictAction::List) => Mode::DryRun,
            _ if event.dry_run => Mode::DryRun,
            _ => Mode::Replay,
        };
        Ok(Self { event, source, mode })
    }

    /// Returns the event that requests the rest, after the position `after`.
    pub fn next_event(&self, after: Option<Value>) -> Value {
        let event = ReplayEvent { after, ..self.event.clone() };
        serde_json::to_value(event).unwrap_or_default()
    }
}

fn dead_letters(event: &ReplayEvent) -> Result<Source, RequestError> {
    if let Some(name) = event.conflict_conditions().first() {
        return Err(RequestError::OtherCondition(name, "conflicts"));
    }
    match (event.all, event.conditions().first()) {
        (true, Some(name)) => return Err(RequestError::AllWithCondition(name)),
        (false, None) => return Err(RequestError::NoCondition),
        (true, None) | (false, Some(_)) => {}
    }
    let filter =
        Filter { records: records(event)?, error_types: list("error_type", event.error_type.as_ref())? };
    Ok(Source::DeadLetters { filter, after: sort_values(event)? })
}

fn conflicts(event: &ReplayEvent, action: ConflictAction) -> Result<Source, RequestError> {
    if event.error_type.is_some() {
        return Err(RequestError::OtherCondition("error_type", "dead letters"));
    }
    let conditions = [event.conditions(), event.conflict_conditions()].concat();
    match (event.all, conditions.first()) {
        (true, Some(name)) => return Err(RequestError::AllWithCondition(name)),
        (false, None) if action == ConflictAction::Fix => return Err(RequestError::NoConflictCondition),
        _ => {}
    }
    let filter = ConflictFilter {
        records: records(event)?,
        fields: list("field", event.field.as_ref())?,
        indices: list("index", event.index.as_ref())?,
    };
    Ok(Source::Conflicts { filter, after: sort_values(event)? })
}

fn records(event: &ReplayEvent) -> Result<Records, RequestError> {
    Ok(Records {
        services: list("service", event.service.as_ref())?,
        from: time("from", event.from.as_deref())?,
        to: time("to", event.to.as_deref())?,
        ids: list("ids", event.ids.as_ref())?,
    })
}

fn sort_values(event: &ReplayEvent) -> Result<Option<Vec<Value>>, RequestError> {
    match &event.after {
        None => Ok(None),
        Some(Value::Array(values)) => Ok(Some(values.clone())),
        Some(_) => Err(RequestError::After("list")),
    }
}

fn objects(event: &ReplayEvent, s3: &S3Member) -> Result<Source, RequestError> {
    if let Some(name) = [event.conditions(), event.conflict_conditions()].concat().first() {
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
            records: Records {
                services: vec!["order".into()],
                from: Some("2026-03-01".into()),
                to: Some("now-1h/h".into()),
                ids: Vec::new(),
            },
            error_types: vec!["a".into(), "b".into()],
        };
        let request = request.unwrap();
        assert_eq!(request.source, Source::DeadLetters { filter, after: None });
        assert_eq!(request.mode, Mode::DryRun);
    }

    #[test]
    fn conflicts_are_listed_freely_and_fixed_only_on_request() {
        let list = parse(&json!({"conflicts": "list"})).unwrap();
        assert_eq!(list.source, Source::Conflicts { filter: ConflictFilter::default(), after: None });
        assert_eq!(list.mode, Mode::DryRun);
        assert!(refused(&json!({"conflicts": "fix"})).contains("`\"all\": true`"));
        assert!(refused(&json!({"conflicts": "repair"})).contains("`list`"));
        assert!(refused(&json!({"conflicts": "fix", "all": true, "field": "a"})).contains("`field`"));
        assert!(refused(&json!({"conflicts": "fix", "error_type": "a"})).contains("dead letters"));
        assert!(refused(&json!({"all": true, "field": "a"})).contains("conflicts"));
        assert!(refused(&json!({"conflicts": "list", "s3": {"bucket": "b", "key": "k"}})).contains("s3"));
        let some =
            parse(&json!({"conflicts": "fix", "index": "microservices-2026.11.*", "field": ["a", "b"],
            "service": "order", "ids": "i", "from": "now-1d", "to": "now", "after": [1, "t"]}));
        let some = some.unwrap();
        let filter = ConflictFilter {
            records: Records {
                services: vec!["order".into()],
                from: Some("now-1d".into()),
                to: Some("now".into()),
                ids: vec!["i".into()],
            },
            fields: vec!["a".into(), "b".into()],
            indices: vec!["microservices-2026.11.*".into()],
        };
        assert_eq!(some.source, Source::Conflicts { filter, after: Some(vec![json!(1), json!("t")]) });
        assert_eq!(some.mode, Mode::Replay);
        assert_eq!(
            parse(&json!({"conflicts": "fix", "all": true, "dry_run": true})).unwrap().mode,
            Mode::DryRun
        );
        let next = some.next_event(Some(json!([2, "u"])));
        assert_eq!((&next["conflicts"], &next["after"]), (&json!("fix"), &json!([2, "u"])));
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
