//! The forms of a rejected document: in each of them the whole payload is in the document.

use event_pipeline::encoder::Encoder;
use event_pipeline::encoding::Routing;
use event_pipeline::rescue::{Rescue, RescueForm};
use event_pipeline::settings::Settings;
use event_pipeline::write_error::{ErrorKind, WriteError};
use serde_json::{Map, Value};

use super::document::{contains, document_line, with_record};
use super::reading::value_and_duplicates;

/// The first line of `data` is the cluster's reasons with bars between them, taken in turn; the rest is the payload.
pub(crate) fn check(data: &[u8]) {
    let Some(end) = data.iter().position(|byte| *byte == b'\n') else { return };
    let (reasons, payload) = (String::from_utf8_lossy(&data[..end]), &data[end + 1..]);
    let errors: Vec<WriteError> = reasons
        .split('|')
        .map(|reason| WriteError {
            kind: ErrorKind::cluster("t"),
            status: Some(400),
            reason: reason.to_owned(),
        })
        .collect();
    with_record(payload, |item| {
        let record = item.record.as_ref().unwrap();
        let mut encoder = Encoder::new(Settings::default());
        let Some(object) = encoder.object_payload(record) else { return };
        let mut rescue = None;
        for n_forms in 0.. {
            assert!(n_forms <= 6, "the forms come to an end");
            let error = &errors[n_forms % errors.len()];
            let Some(next) = Rescue::after(rescue, error, &object) else { break };
            let mut body = Vec::new();
            encoder.append_rescued(record, &next, Routing::Own, &mut body).unwrap().document().unwrap();
            check_form(&next, document_line(&body), &object);
            rescue = Some(next);
        }
    });
}

fn check_form(rescue: &Rescue, document: &[u8], object: &[u8]) {
    let (Some((Value::Object(object_value), false)), Some((Value::Object(mut document), false))) =
        (value_and_duplicates(object), value_and_duplicates(document))
    else {
        return;
    };
    assert!(document["tags"].as_array().unwrap().contains(&"_mappingconflict".into()));
    assert_eq!(document["conflict_field"], Value::from(rescue.fields()));
    match &rescue.form {
        RescueForm::Members(moved) => {
            let Some(Value::Object(conflict)) = document.remove("conflict") else { panic!("no conflict") };
            let (moved, kept): (Map<_, _>, Map<_, _>) =
                object_value.into_iter().partition(|(name, _)| moved.contains(name));
            assert_eq!(conflict, moved);
            contains(&document, &kept);
        }
        RescueForm::Payload => {
            assert_eq!(document["conflict"], Value::Object(object_value));
            contains(&document, &Map::new());
        }
        RescueForm::Text => {
            assert_eq!(document["message"].as_str().map(str::as_bytes), Some(object));
            contains(&document, &Map::new());
        }
    }
}
