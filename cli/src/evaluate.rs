//! What the function makes of records: the documents, the dead letters, and what is dropped.

use std::convert::Infallible;
use std::sync::Arc;

use event_pipeline::bulk::{BulkLimits, BulkRequest};
use event_pipeline::decoder::KnownSchemas;
use event_pipeline::encoder::Encoder;
use event_pipeline::encoding::{Appended, Routing};
use event_pipeline::event::{BatchItem, EventError, RecordError, read_batch};
use event_pipeline::settings::Settings;
use event_pipeline::write_error::WriteError;
use indexing::index_cap::IndexCap;
use record_formats::frame::SchemaId;
use serde::Deserialize;

use crate::record::{Record, event};

/// What becomes of a record, as long as the cluster takes its document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It is indexed.
    Indexed(Document),
    /// The rules of its topic drop it.
    Dropped,
    /// It becomes a dead letter, as it was.
    DeadLetter(Document, WriteError),
    /// Its schema is not known: a registry has to be asked. With the ids of the schemas.
    NeedsSchema(Vec<SchemaId>),
}

/// A document and its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Name of its index.
    pub index: String,
    /// Its id; `None` where the cluster generates one.
    pub id: Option<String>,
    /// Its JSON, on one line.
    pub json: String,
}

impl Document {
    /// Values of its member `tags`.
    pub fn tags(&self) -> Vec<String> {
        #[derive(Deserialize)]
        struct Tagged {
            #[serde(default)]
            tags: Tags,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Tags {
            Several(Vec<String>),
            Other(serde::de::IgnoredAny),
        }
        impl Default for Tags {
            fn default() -> Self {
                Self::Several(Vec::new())
            }
        }
        match serde_json::from_str(&self.json) {
            Ok(Tagged { tags: Tags::Several(tags) }) => tags,
            Ok(Tagged { tags: Tags::Other(_) }) | Err(_) => Vec::new(),
        }
    }
}

/// Why a record has no document.
enum NoDocument {
    Dropped,
    Error(RecordError),
}

/// Decides on records as the function does.
#[derive(Debug)]
pub struct Evaluator {
    encoder: Encoder,
    max_indices: usize,
}

const NO_LIMITS: BulkLimits = BulkLimits { max_bytes: usize::MAX, max_operations: usize::MAX };

impl Evaluator {
    /// Makes one for `settings` and what is known of schemas; `None` is no registry.
    pub fn new(settings: Settings, schemas: Option<Arc<KnownSchemas>>) -> Self {
        let max_indices = settings.rules.max_indices();
        Self { encoder: Encoder::new(settings).with_schemas(schemas), max_indices }
    }

    /// Takes in what is known of a registry's schemas by now.
    pub fn set_schemas(&mut self, schemas: Arc<KnownSchemas>) {
        self.encoder.set_schemas(schemas);
    }

    /// Decides on the records of one batch, in their order.
    ///
    /// # Errors
    /// When there are more records than any batch has.
    pub fn decide(&mut self, records: &[Record]) -> Result<Vec<Decision>, EventError> {
        let payload = event(records);
        let items = read_batch(&payload)?;
        let mut cap = IndexCap::new(self.max_indices);
        let first_form = |(position, item)| self.decide_one(item, Routing::Own, Some((position, &mut cap)));
        let mut decisions: Vec<_> = items.iter().enumerate().map(first_form).collect();
        for (position, routing) in cap.take_held() {
            if let (Some(item), Some(decision)) = (items.get(position), decisions.get_mut(position)) {
                *decision = self.decide_one(item, routing, None);
            }
        }
        Ok(decisions)
    }

    /// Why the last record could not be redacted or transformed; `None` if it could be.
    pub fn last_failure(&self) -> Option<&str> {
        self.encoder.transform_failure()
    }

    /// Decides on an item that goes where `routing` says. `cap` notes where that is; what it holds back is decided on again.
    fn decide_one(
        &mut self,
        item: &BatchItem<'_>,
        routing: Routing,
        cap: Option<(usize, &mut IndexCap)>,
    ) -> Decision {
        let record = match &item.record {
            Ok(record) => record,
            Err(error) => return self.dead_letter(item, *error),
        };
        let mut request = BulkRequest::default();
        let encoder = &mut self.encoder;
        let write = |body: &mut Vec<u8>| match encoder.append_routed(record, routing, body) {
            Ok(Appended::Document(line)) => Ok(line),
            Ok(Appended::Dropped) => Err(NoDocument::Dropped),
            Err(error) => Err(NoDocument::Error(error)),
        };
        match request.push(0, NO_LIMITS, write) {
            Ok(_) => {
                if let (Some((position, cap)), Some((rule, prefix))) = (cap, self.encoder.routed()) {
                    cap.admit(position, rule, prefix.as_str());
                }
                Decision::Indexed(only_document(&request))
            }
            Err(NoDocument::Dropped) => Decision::Dropped,
            Err(NoDocument::Error(RecordError::MissingSchema)) => {
                Decision::NeedsSchema(self.encoder.missing_schemas().to_vec())
            }
            Err(NoDocument::Error(error)) => self.dead_letter(item, error),
        }
    }

    fn dead_letter(&mut self, item: &BatchItem<'_>, error: RecordError) -> Decision {
        let error = self.encoder.write_error(error);
        let mut request = BulkRequest::default();
        let write =
            |body: &mut Vec<u8>| Ok::<_, Infallible>(self.encoder.append_dead_letter(item, &error, body));
        let Ok(_) = request.push(0, NO_LIMITS, write);
        Decision::DeadLetter(only_document(&request), error)
    }
}

fn only_document(request: &BulkRequest) -> Document {
    let address = request.read_address(0).expect("an address was written");
    let (index, id) = (address.index.into_owned(), address.id.map(Into::into));
    let lines = String::from_utf8_lossy(request.body());
    let json = lines.split_once('\n').map(|(_, document)| document.trim_end()).unwrap_or_default();
    Document { index, id, json: json.to_owned() }
}

#[cfg(test)]
mod tests {
    use event_pipeline::formats::{Formats, SchemaFailures};
    use event_pipeline::write_error::ErrorKind;
    use serde_json::{Value, json};

    use super::*;

    fn record(value: &[u8]) -> Record {
        Record {
            topic: "order.events".into(),
            partition: 0,
            offset: 4,
            timestamp_ms: Some(1_772_360_430_123),
            key: None,
            value: Some(value.to_vec()),
            headers: Vec::new(),
        }
    }

    #[test]
    fn a_record_is_a_document_at_its_address() {
        let mut evaluator = Evaluator::new(Settings::default(), None);
        let decisions = evaluator.decide(&[record(br#"{"a":1}"#), record(b"text")]).unwrap();
        let [Decision::Indexed(first), Decision::Indexed(second)] = &decisions[..] else {
            panic!("{decisions:?}")
        };
        assert_eq!(first.index, "microservices-2026.03.01");
        assert_eq!(first.id.as_deref(), Some("order.events-0-4-1772360430123"));
        let document: Value = serde_json::from_str(&first.json).unwrap();
        assert_eq!((&document["a"], &document["service_name"]), (&json!(1), &json!("order")));
        assert_eq!((first.tags(), second.tags()), (vec![], vec!["_jsonparsefailure".to_owned()]));
    }

    #[test]
    fn a_framed_record_needs_its_schema_or_is_a_dead_letter() {
        let framed = record(&[0, 0, 0, 0, 17, 1]);
        let settings = Settings {
            formats: Formats { failures: SchemaFailures::DeadLetter, ..Formats::default() },
            ..Settings::default()
        };
        let decide = |known: KnownSchemas| {
            let mut evaluator = Evaluator::new(settings.clone(), Some(Arc::new(known)));
            evaluator.decide(std::slice::from_ref(&framed)).unwrap().remove(0)
        };
        assert_eq!(decide(KnownSchemas::new()), Decision::NeedsSchema(vec![SchemaId::Confluent(17)]));
        let unknown = [(SchemaId::Confluent(17), Err("it was deleted".into()))];
        let Decision::DeadLetter(document, error) = decide(unknown.into()) else { panic!("a dead letter") };
        assert_eq!(document.index, "dead-letters-microservices-2026.03.01");
        assert_eq!(error.kind, ErrorKind::SchemaFailure);
        assert!(error.reason.contains("it was deleted"), "{error}");
    }
}
