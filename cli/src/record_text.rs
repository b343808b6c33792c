//! Records as a person writes them: a line of JSON, or a record of a test case in YAML.

use chrono::DateTime;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_yaml_ng::Value as Yaml;
use thiserror::Error;

use crate::record::Record;

/// A record as it is written: `{"topic", "partition", "offset", "key", "headers", "value", "timestamp"}`.
///
/// A key or value that is a text is these bytes, anything else is its JSON, and null is null. `key_base64` and `value_base64`
/// take the place of what is not UTF-8.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, bound(deserialize = "V: Deserialize<'de>"))]
pub struct RecordText<V> {
    topic: Option<String>,
    partition: Option<i64>,
    offset: Option<i64>,
    key: Option<V>,
    key_base64: Option<String>,
    value: Option<V>,
    value_base64: Option<String>,
    #[serde(default)]
    headers: Yaml,
    timestamp: Option<Yaml>,
}

/// What a record has where its text does not say it.
#[derive(Debug, Clone, Copy)]
pub struct Defaults<'d> {
    /// The topic; `None` if each record has to name its own.
    pub topic: Option<&'d str>,
    /// The offset.
    pub offset: i64,
    /// The time, in milliseconds since the epoch.
    pub timestamp_ms: i64,
}

/// What is wrong with the text of a record.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum RecordTextError {
    /// It names no topic.
    #[error("no `topic`: name it in the record, or all records' by --topic")]
    NoTopic,
    /// Both forms are there.
    #[error("both `{0}` and `{0}_base64`: give one of them")]
    Both(&'static str),
    /// What is named base64 is not.
    #[error("`{0}_base64` is not base64")]
    Base64(&'static str),
    /// The headers have another form.
    #[error(
        "`headers` are neither names with texts, such as {{\"tenant\": \"acme\"}}, nor a list of them for names that are there twice"
    )]
    Headers,
    /// The time has another form.
    #[error("`timestamp` is neither milliseconds since the epoch nor RFC 3339, such as 2026-03-01T10:00:00Z")]
    Timestamp,
    /// The value can't be JSON.
    #[error("`{0}` can't be written as JSON: {1}")]
    NotJson(&'static str, String),
}

/// A key or value as it is written.
pub trait WrittenValue {
    /// The bytes that it stands for.
    ///
    /// # Errors
    /// When it can't be written as JSON.
    fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error>;
}

impl WrittenValue for Box<RawValue> {
    /// Any JSON but a string stays byte for byte as it is.
    fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        if self.get().starts_with('"') {
            return Ok(serde_json::from_str::<String>(self.get())?.into_bytes());
        }
        Ok(self.get().as_bytes().to_vec())
    }
}

impl WrittenValue for Yaml {
    fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        match self {
            Self::String(text) => Ok(text.clone().into_bytes()),
            other => serde_json::to_vec(other),
        }
    }
}

impl<V: WrittenValue> RecordText<V> {
    /// The record, with `defaults` for what its text leaves out.
    ///
    /// # Errors
    /// [`RecordTextError`]
    pub fn to_record(&self, defaults: Defaults<'_>) -> Result<Record, RecordTextError> {
        let topic = self.topic.as_deref().or(defaults.topic).ok_or(RecordTextError::NoTopic)?;
        Ok(Record {
            topic: topic.to_owned(),
            partition: self.partition.unwrap_or(0),
            offset: self.offset.unwrap_or(defaults.offset),
            timestamp_ms: Some(match &self.timestamp {
                None => defaults.timestamp_ms,
                Some(written) => millis(written)?,
            }),
            key: bytes("key", self.key.as_ref(), self.key_base64.as_deref())?,
            value: bytes("value", self.value.as_ref(), self.value_base64.as_deref())?,
            headers: headers(&self.headers)?,
        })
    }
}

fn bytes<V: WrittenValue>(
    name: &'static str,
    written: Option<&V>,
    base64: Option<&str>,
) -> Result<Option<Vec<u8>>, RecordTextError> {
    match (written, base64) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(RecordTextError::Both(name)),
        (Some(written), None) => {
            let bytes =
                written.to_bytes().map_err(|error| RecordTextError::NotJson(name, error.to_string()))?;
            Ok(Some(bytes))
        }
        (None, Some(text)) => {
            let bytes = base64_simd::STANDARD.decode_to_vec(text.trim());
            bytes.map(Some).map_err(|_| RecordTextError::Base64(name))
        }
    }
}

fn millis(written: &Yaml) -> Result<i64, RecordTextError> {
    let millis = match written {
        Yaml::Number(number) => number.as_i64(),
        Yaml::String(text) => parse_time(text),
        _ => None,
    };
    millis.ok_or(RecordTextError::Timestamp)
}

/// Reads milliseconds since the epoch, or RFC 3339.
pub fn parse_time(text: &str) -> Option<i64> {
    let millis = text.parse().ok();
    millis.or_else(|| Some(DateTime::parse_from_rfc3339(text).ok()?.timestamp_millis()))
}

fn headers(written: &Yaml) -> Result<Vec<(String, Vec<u8>)>, RecordTextError> {
    let mut headers = Vec::new();
    match written {
        Yaml::Null => {}
        Yaml::Mapping(_) => append_headers(written, &mut headers)?,
        Yaml::Sequence(list) => {
            for names in list {
                append_headers(names, &mut headers)?;
            }
        }
        _ => return Err(RecordTextError::Headers),
    }
    Ok(headers)
}

fn append_headers(written: &Yaml, headers: &mut Vec<(String, Vec<u8>)>) -> Result<(), RecordTextError> {
    let Yaml::Mapping(names) = written else { return Err(RecordTextError::Headers) };
    for (name, value) in names {
        let (Yaml::String(name), false) = (name, value.is_mapping() || value.is_sequence()) else {
            return Err(RecordTextError::Headers);
        };
        let value = match value {
            Yaml::Null => Vec::new(),
            other => other.to_bytes().map_err(|_| RecordTextError::Headers)?,
        };
        headers.push((name.clone(), value));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULTS: Defaults<'static> = Defaults { topic: Some("t"), offset: 3, timestamp_ms: 9 };

    fn of_json(text: &str) -> Result<Record, RecordTextError> {
        serde_json::from_str::<RecordText<Box<RawValue>>>(text).unwrap().to_record(DEFAULTS)
    }

    fn of_yaml(text: &str) -> Result<Record, RecordTextError> {
        serde_yaml_ng::from_str::<RecordText<Yaml>>(text).unwrap().to_record(DEFAULTS)
    }

    fn header(name: &str, value: &[u8]) -> (String, Vec<u8>) {
        (name.to_owned(), value.to_vec())
    }

    #[test]
    fn json_stays_byte_for_byte_and_a_text_is_its_bytes() {
        let record = of_json(
            r#"{"topic":"a","partition":2,"offset":5,"key":"k\n","value":{"b": 1.00,"b":2},"timestamp":"1970-01-01T00:00:01Z",
            "headers":{"tenant":"acme","n":5,"none":null}}"#,
        );
        let expected = Record {
            topic: "a".into(),
            partition: 2,
            offset: 5,
            timestamp_ms: Some(1_000),
            key: Some(b"k\n".to_vec()),
            value: Some(br#"{"b": 1.00,"b":2}"#.to_vec()),
            headers: vec![header("tenant", b"acme"), header("n", b"5"), header("none", b"")],
        };
        assert_eq!(record, Ok(expected));
    }

    #[test]
    fn yaml_becomes_json_in_its_order() {
        let record = of_yaml(
            "value: {b: 1, a: [x, null]}\nkey_base64: /w==\ntimestamp: 5\nheaders:\n- {h: one}\n- {h: two}\n",
        )
        .unwrap();
        assert_eq!(record.value.as_deref(), Some(&br#"{"b":1,"a":["x",null]}"#[..]));
        assert_eq!((record.key, record.timestamp_ms), (Some(vec![255]), Some(5)));
        assert_eq!((record.topic.as_str(), record.offset), ("t", 3));
        assert_eq!(record.headers, [header("h", b"one"), header("h", b"two")]);
    }

    #[test]
    fn what_is_left_out_is_null_or_the_default() {
        let record = of_json("{}").unwrap();
        assert_eq!((record.key, record.value, record.headers), (None, None, Vec::new()));
        assert_eq!(record.timestamp_ms, Some(9));
    }

    #[test]
    fn what_can_be_read_in_two_ways_or_none_is_refused() {
        assert_eq!(of_json(r#"{"value":1,"value_base64":""}"#), Err(RecordTextError::Both("value")));
        assert_eq!(of_json(r#"{"key_base64":"?"}"#), Err(RecordTextError::Base64("key")));
        assert_eq!(of_json(r#"{"timestamp":"noon"}"#), Err(RecordTextError::Timestamp));
        assert_eq!(of_json(r#"{"headers":{"a":[1]}}"#), Err(RecordTextError::Headers));
        assert_eq!(of_yaml("headers: [a]"), Err(RecordTextError::Headers));
        let no_topic = Defaults { topic: None, ..DEFAULTS };
        let text: RecordText<Yaml> = serde_yaml_ng::from_str("value: a").unwrap();
        assert_eq!(text.to_record(no_topic), Err(RecordTextError::NoTopic));
    }
}
