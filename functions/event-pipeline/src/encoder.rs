//! Encodes the records of a batch into a bulk body, each as its document or as its dead letter.

use std::mem;
use std::sync::Arc;

use record_formats::frame::SchemaId;

use crate::address::{ActionLine, Address};
use crate::dead_letter;
use crate::decoder::KnownSchemas;
use crate::document::DocumentWriter;
use crate::encoding::{Appended, Routing};
use crate::event::{BatchItem, KafkaRecord, RecordError};
use crate::event_time;
use crate::index::IndexPrefix;
use crate::rescue::Rescue;
use crate::rules::Rules;
use crate::settings::Settings;
use crate::timestamp::Timestamp;
use crate::write_error::{ErrorKind, WriteError, shortened};

/// Encodes records, keeping its buffers from one to the next.
///
/// Topics without rules share one writer of documents. Those with rules have one for each of the rules, made when it is needed.
#[derive(Debug)]
pub struct Encoder {
    rules: Rules,
    documents: DocumentWriter,
    /// Of each of the rules.
    shaped: Vec<Option<Box<DocumentWriter>>>,
    /// The topic that was encoded last, and the position of its rules.
    topic: String,
    position: Option<usize>,
}

impl Encoder {
    /// Makes an encoder for `settings`.
    pub fn new(settings: Settings) -> Self {
        Self::with_tags(settings, Vec::new())
    }

    /// Makes an encoder whose documents of topics without rules all have these tags too, in front of their other tags of ours.
    pub(crate) fn with_tags(mut settings: Settings, tags: Vec<&'static str>) -> Self {
        let rules = mem::take(&mut settings.rules);
        Self {
            shaped: rules.iter().map(|_| None).collect(),
            rules,
            documents: DocumentWriter::tagging(settings, tags),
            topic: String::new(),
            position: None,
        }
    }

    /// The same encoder with what is known of a registry's schemas; `None` is no registry.
    #[must_use]
    pub fn with_schemas(mut self, schemas: Option<Arc<KnownSchemas>>) -> Self {
        self.documents.set_schemas(schemas);
        self.shaped.fill_with(|| None);
        self
    }

    /// Takes in what is known of a registry's schemas by now.
    pub fn set_schemas(&mut self, schemas: Arc<KnownSchemas>) {
        for writer in self.shaped.iter_mut().flatten() {
            writer.set_schemas(Some(Arc::clone(&schemas)));
        }
        self.documents.set_schemas(Some(schemas));
    }

    /// The schemas without which the last record gave [`RecordError::MissingSchema`].
    pub fn missing_schemas(&self) -> &[SchemaId] {
        self.last().missing_schemas()
    }

    /// Why the last record could not be decoded; `None` if it could be.
    pub fn schema_failure(&self) -> Option<&str> {
        self.last().schema_failure()
    }

    /// Why the last record could not be redacted or transformed; `None` if it could be.
    pub fn transform_failure(&self) -> Option<&str> {
        self.last().transform_failure()
    }

    /// Why the last record, which gave `error`, has no document.
    pub fn write_error(&self, error: RecordError) -> WriteError {
        let (kind, reason) = match error {
            RecordError::SchemaFailure => (ErrorKind::SchemaFailure, self.schema_failure()),
            RecordError::TransformFailure => (ErrorKind::TransformFailure, self.transform_failure()),
            _ => (ErrorKind::UnreadableRecord, None),
        };
        let reason = reason.map_or_else(|| error.to_string(), |reason| shortened(reason).to_owned());
        WriteError { kind, status: None, reason }
    }

    /// The rules, by their position among all, and the index prefix of the document that was appended last, if headers or the payload
    /// gave a part of it: there can be any number of such prefixes. `None` where it went to the index that its rules fall back to.
    pub fn routed(&self) -> Option<(usize, &IndexPrefix)> {
        Some((self.position?, self.last().routed()?))
    }

    /// Number of values so far that look as if they were in a registry's frame, and were not read as there is no registry.
    pub fn n_unread_frames(&self) -> usize {
        let shaped = self.shaped.iter().flatten().map(|writer| writer.n_unread_frames());
        self.documents.n_unread_frames() + shaped.sum::<usize>()
    }

    /// Appends the action line and the document line of `record` to `body`.
    ///
    /// # Errors
    /// [`RecordError`] when the record gives no document; nothing is appended then.
    pub fn append(&mut self, record: &KafkaRecord<'_>, body: &mut Vec<u8>) -> Result<Appended, RecordError> {
        self.append_routed(record, Routing::Own, body)
    }

    /// Appends what [`Encoder::append`] does, for the index that `routing` says.
    ///
    /// # Errors
    /// [`RecordError`] when the record gives no document; nothing is appended then.
    pub fn append_routed(
        &mut self,
        record: &KafkaRecord<'_>,
        routing: Routing,
        body: &mut Vec<u8>,
    ) -> Result<Appended, RecordError> {
        self.of(record.topic).append(record, routing, body)
    }

    /// The form of the document that [`Encoder::append`] wrote last, where no cluster could read it as it was.
    pub fn rescue_of_last(&self) -> Option<Rescue> {
        self.last().rescue_of_last()
    }

    /// Appends the action line and the document line of `record` as [`Encoder::append`] does, in the form of `rescue`.
    ///
    /// # Errors
    /// [`RecordError`] when the record gives no document; nothing is appended then.
    pub fn append_rescued(
        &mut self,
        record: &KafkaRecord<'_>,
        rescue: &Rescue,
        routing: Routing,
        body: &mut Vec<u8>,
    ) -> Result<Appended, RecordError> {
        let writer = &*self.of(record.topic);
        let rescuing = writer.rescuing(rescue.clone());
        let salted = self.position.and_then(|position| self.rules.get(position));
        let mut writer = match salted {
            Some(salted) => rescuing.with_rules(salted),
            None => rescuing,
        };
        writer.append(record, routing, body)
    }

    /// Returns the JSON object that is the payload of `record`, repaired where it is nearly JSON and shaped by its topic's rules;
    /// `None` where there is none, so that no other form of the document could be accepted.
    pub fn object_payload(&mut self, record: &KafkaRecord<'_>) -> Option<Vec<u8>> {
        self.of(record.topic).object_payload(record)
    }

    /// Appends the action line and the dead letter of `item` to `body`. It holds the record as it came.
    pub fn append_dead_letter(
        &mut self,
        item: &BatchItem<'_>,
        error: &WriteError,
        body: &mut Vec<u8>,
    ) -> ActionLine {
        let place = self.place(item);
        let time = self.dead_letter_time(item, place.as_ref());
        let target = match (place, &item.record) {
            (Some((time, prefix)), _) => prefix.daily(time),
            (None, Ok(record)) => self.of(record.topic).fallback_index(record.topic, time),
            (None, Err(_)) => self.documents.fallback_index("", time),
        };
        dead_letter::append(body, self.documents.settings(), item, time, &target, error)
    }

    /// Returns the address of the document that [`Encoder::append`] writes for `item`, without writing it; `None` where the rules
    /// of its topic drop it.
    ///
    /// # Errors
    /// [`RecordError`] when `item` has no document.
    pub fn document_address(
        &mut self,
        item: &BatchItem<'_>,
    ) -> Result<Option<Address<'static>>, RecordError> {
        let record = item.record.as_ref().map_err(|error| *error)?;
        self.of(record.topic).address(record)
    }

    /// Returns the address of the dead letter that [`Encoder::append_dead_letter`] writes for `item`, without
    /// writing it.
    pub fn dead_letter_address(&mut self, item: &BatchItem<'_>) -> Address<'static> {
        let place = self.place(item);
        let time = self.dead_letter_time(item, place.as_ref());
        Address::of_dead_letter(self.documents.settings(), item, time)
    }

    /// The time of the document of `item` and the prefix of its index; `None` where it has no document.
    fn place(&mut self, item: &BatchItem<'_>) -> Option<(Timestamp, IndexPrefix)> {
        let record = item.record.as_ref().ok()?;
        self.of(record.topic).place(record).ok().flatten()
    }

    /// A dead letter has the time of its document, which `place` has. Where there is no document, it has the record's, and what
    /// can't be read as a record has none.
    fn dead_letter_time(&self, item: &BatchItem<'_>, place: Option<&(Timestamp, IndexPrefix)>) -> Timestamp {
        let of_record = |record: &KafkaRecord<'_>| {
            let settings = self.documents.settings();
            event_time::choose(settings, record.timestamp_ms, std::iter::empty(), &mut Vec::new())
        };
        match (place, &item.record) {
            (Some((time, _)), _) => *time,
            (None, Ok(record)) => of_record(record),
            (None, Err(_)) => Timestamp::EPOCH,
        }
    }

    /// The writer of the documents of `topic`.
    #[inline(always)]
    fn of(&mut self, topic: &str) -> &mut DocumentWriter {
        if self.rules.is_empty() { &mut self.documents } else { self.of_topic(topic) }
    }

    #[inline(never)]
    fn of_topic(&mut self, topic: &str) -> &mut DocumentWriter {
        if self.topic != topic {
            topic.clone_into(&mut self.topic);
            self.position = self.rules.of(topic).map(|(position, _)| position);
        }
        match self.position {
            None => &mut self.documents,
            Some(position) => self.of_rules(position),
        }
    }

    /// The writer of the documents of the topics of the rules at `position`.
    fn of_rules(&mut self, position: usize) -> &mut DocumentWriter {
        let (Some(slot), Some(salted)) = (self.shaped.get_mut(position), self.rules.get(position)) else {
            return &mut self.documents;
        };
        let documents = &self.documents;
        slot.get_or_insert_with(|| {
            let mut writer = DocumentWriter::shaping(documents.settings(), salted);
            writer.set_schemas(documents.schemas());
            Box::new(writer)
        })
    }

    /// The writer that was used last.
    fn last(&self) -> &DocumentWriter {
        let shaped = self.position.and_then(|position| self.shaped.get(position)?.as_deref());
        shaped.unwrap_or(&self.documents)
    }
}
