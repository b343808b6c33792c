//! What a script reads of a record besides its payload: `%kafka_topic` and the like.

use std::collections::BTreeMap;

use chrono::DateTime;
use event_pipeline::transform::RecordContext;
use vrl::value::kind::{Collection, Field};
use vrl::value::{KeyString, Kind, ObjectMap, Value};

pub(crate) const TIMESTAMP: &str = "kafka_timestamp";

/// The names and types of the metadata, for the compiler.
pub(crate) fn kind() -> Kind {
    let fields = [
        ("headers", Kind::object(Collection::from_unknown(Kind::bytes()))),
        ("kafka_key", Kind::bytes().or_null()),
        ("kafka_offset", Kind::integer()),
        ("kafka_partition", Kind::integer()),
        (TIMESTAMP, Kind::timestamp().or_null()),
        ("kafka_topic", Kind::bytes()),
        ("service_name", Kind::bytes()),
    ];
    Kind::object(BTreeMap::from(fields.map(|(name, kind)| (Field::from(name), kind))))
}

/// Names of the metadata, in the order of the alphabet.
pub(crate) fn names() -> Vec<String> {
    let kind = kind();
    let fields = kind.as_object().map(|object| object.known().keys().map(ToString::to_string));
    fields.into_iter().flatten().collect()
}

/// The metadata of a record. Of several headers with one name the last one counts, as in Kafka's `Headers.lastHeader`.
pub(crate) fn of(about: &RecordContext<'_>) -> Value {
    let timestamp = about.timestamp.and_then(|time| DateTime::from_timestamp_millis(time.millis()));
    let headers: ObjectMap =
        about.headers.iter().map(|(name, value)| (name.as_str().into(), value.as_str().into())).collect();
    let fields: [(&str, Value); 7] = [
        ("headers", headers.into()),
        ("kafka_key", about.key.map_or(Value::Null, Value::from)),
        ("kafka_offset", about.offset.into()),
        ("kafka_partition", about.partition.into()),
        (TIMESTAMP, timestamp.map_or(Value::Null, Value::from)),
        ("kafka_topic", about.topic.into()),
        ("service_name", about.service_name.into()),
    ];
    fields.into_iter().map(|(name, value)| (KeyString::from(name), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiler_knows_the_types_of_what_scripts_read() {
        let headers = [("a".to_owned(), "1".to_owned())];
        let about = RecordContext {
            topic: "order.events",
            service_name: "order",
            partition: 3,
            offset: 7,
            timestamp: event_pipeline::timestamp::Timestamp::from_millis(0),
            key: None,
            headers: &headers,
        };
        let value = of(&about);
        assert!(kind().is_superset(&Kind::from(&value)).is_ok(), "{value}");
        assert_eq!(value.as_object().unwrap().len(), names().len());
    }
}
