//! The event of an event source mapping, read as serde_json reads it.

use event_pipeline::encoder::Encoder;
use event_pipeline::event::{BatchItem, EventError, RecordError, read_batch};
use event_pipeline::settings::Settings;
use serde_json::Value;
use serde_json::value::RawValue;

use super::reading::{Pairs, is_json};

pub(crate) fn check(data: &[u8]) {
    let read = read_batch(data);
    let Ok(text) = std::str::from_utf8(data) else { return };
    match read {
        Ok(batch) => {
            let text_of_sound_parts = without_refused_parts(text, &batch);
            assert!(is_json(text_of_sound_parts.as_bytes()), "taken, but not JSON: {text_of_sound_parts}");
            compare(text, &batch);
        }
        Err(EventError::Json(error)) => {
            assert!(!is_event(text), "refused as JSON ({error}), but serde_json reads an event");
        }
        Err(EventError::NoRecords) => {
            let has_records = serde_json::from_str::<Pairs<&RawValue>>(text)
                .is_ok_and(|event| event.last("records").is_some());
            assert!(!(has_records && is_event(text)), "the records of an event are not found");
        }
        Err(EventError::TooManyRecords) => {}
    }
}

/// The text with something sound in the place of each part that the pipeline refuses later: the headers that are not JSON,
/// and what is no record.
fn without_refused_parts(text: &str, batch: &[BatchItem<'_>]) -> String {
    let mut encoder = Encoder::new(Settings::default());
    let (mut sound, mut end) = (String::new(), 0);
    for item in batch {
        let refused = match &item.record {
            Ok(record) => {
                let written = encoder.append(record, &mut Vec::new());
                let Some(headers) = record.headers.filter(|headers| !is_json(headers)) else {
                    assert_ne!(written, Err(RecordError::Headers));
                    continue;
                };
                assert!(written.is_err(), "headers that are not JSON are taken");
                headers
            }
            Err(_) => item.json,
        };
        let start = refused.as_ptr() as usize - text.as_ptr() as usize;
        sound.push_str(&text[end..start]);
        sound.push_str("[]");
        end = start + refused.len();
    }
    sound + &text[end..]
}

/// Compares each record with serde_json's reading of it.
fn compare(text: &str, batch: &[BatchItem<'_>]) {
    let Some(records) = records(text) else { return };
    assert_eq!(records.len(), batch.len());
    for (theirs, ours) in records.into_iter().zip(batch) {
        assert_eq!(theirs.get().as_bytes(), ours.json);
        let Ok(theirs) = serde_json::from_str::<Pairs<&RawValue>>(theirs.get()) else { continue };
        let number = |name| theirs.last(name).and_then(|raw| raw.get().trim_matches('"').parse::<i64>().ok());
        assert_eq!(ours.offset, number("offset"));
        let Ok(record) = &ours.record else { continue };
        assert_eq!(record.timestamp_ms, number("timestamp"));
        if let Some(partition) = number("partition") {
            assert_eq!(record.partition, partition);
        }
        let last_text = |name| theirs.last(name).map(|raw| serde_json::from_str::<Value>(raw.get()));
        if let Some(Ok(Value::String(topic))) = last_text("topic") {
            assert_eq!(record.topic, topic);
        }
        let value = record.value.map(|value| String::from_utf8(value.unescape().into_owned()));
        match last_text("value") {
            Some(Ok(Value::String(theirs))) => assert_eq!(value, Some(Ok(theirs))),
            None | Some(Ok(Value::Null)) => assert_eq!(value, None),
            Some(Ok(_)) => panic!("a value of another type is not refused"),
            // An unpaired surrogate.
            Some(Err(_)) => {}
        }
    }
}

/// The records in the order of the text; `None` where serde_json can't read them as such.
fn records(text: &str) -> Option<Vec<&RawValue>> {
    let mut all = Vec::new();
    for (name, lists) in serde_json::from_str::<Pairs<&RawValue>>(text).ok()?.0 {
        if name != "records" {
            continue;
        }
        let lists: Option<Pairs<Option<Vec<&RawValue>>>> = serde_json::from_str(lists.get()).ok()?;
        all.extend(lists.into_iter().flat_map(|lists| lists.0).filter_map(|(_, records)| records).flatten());
    }
    Some(all)
}

fn is_event(text: &str) -> bool {
    is_json(text.as_bytes()) && records(text).is_some()
}
