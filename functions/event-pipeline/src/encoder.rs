//! Encodes the records of a batch into a bulk body, each as its document or as its dead letter.

use std::sync::Arc;

use record_formats::frame::SchemaId;

use crate::address::{ActionLine, Address};
use crate::dead_letter;
use crate::decoder::KnownSchemas;
use crate::document::DocumentWriter;
use crate::event::{BatchItem, KafkaRecord, RecordError};
use crate::event_time;
use crate::rescue::Rescue;
use crate::settings::Settings;
use crate::timestamp::Timestamp;
use crate::write_error::WriteError;

/// Encodes records, keeping its buffers from one to the next.
#[derive(Debug)]
pub struct Encoder {
    documents: DocumentWriter,
}

impl Encoder {
    /// Makes an encoder for `settings`.
    pub fn new(settings: Settings) -> Self {
        Self { documents: DocumentWriter::new(settings) }
    }

    /// The same encoder with what is known of a registry's schemas; `None` is no registry.
    #[must_use]
    pub fn with_schemas(mut self, schemas: Option<Arc<KnownSchemas>>) -> Self {
        self.documents.set_schemas(schemas);
        self
    }

    /// Takes in what is known of a registry's schemas by now.
    pub fn set_schemas(&mut self, schemas: Arc<KnownSchemas>) {
        self.documents.set_schemas(Some(schemas));
    }

    /// The schemas without which the last record gave [`RecordError::MissingSchema`].
    pub fn missing_schemas(&self) -> &[SchemaId] {
        self.documents.missing_schemas()
    }

    /// Why the last record could not be decoded; `None` if it could be.
    pub fn schema_failure(&self) -> Option<&str> {
        self.documents.schema_failure()
    }

    /// Number of values so far that look as if they were in a registry's frame, and were not read as there is no registry.
    pub fn n_unread_frames(&self) -> usize {
        self.documents.n_unread_frames()
    }

    /// Makes an encoder whose documents all have these tags too, in front of their other tags of ours.
    pub(crate) fn with_tags(settings: Settings, tags: Vec<&'static str>) -> Self {
        Self { documents: DocumentWriter::tagging(settings, tags) }
    }

    /// Appends the action line and the document line of `record` to `body`.
    ///
    /// # Errors
    /// [`RecordError`] when the value is not base64, or the headers are not JSON; nothing is appended then.
    pub fn append(
        &mut self,
        record: &KafkaRecord<'_>,
        body: &mut Vec<u8>,
    ) -> Result<ActionLine, RecordError> {
        self.documents.append(record, body)
    }

    /// The form of the document that [`Encoder::append`] wrote last, where no cluster could read it as it was.
    pub fn rescue_of_last(&self) -> Option<Rescue> {
        self.documents.rescue_of_last()
    }

    /// Appends the action line and the document line of `record` as [`Encoder::append`] does, in the form of `rescue`.
    ///
    /// # Errors
    /// [`RecordError`] when the value is not base64, or the headers are not JSON; nothing is appended then.
    pub fn append_rescued(
        &mut self,
        record: &KafkaRecord<'_>,
        rescue: &Rescue,
        body: &mut Vec<u8>,
    ) -> Result<ActionLine, RecordError> {
        let mut documents = DocumentWriter::rescuing(self.documents.settings().clone(), rescue.clone());
        documents.set_schemas(self.documents.schemas());
        documents.append(record, body)
    }

    /// Returns the JSON object that is the payload of `record`, repaired where it is nearly JSON; `None` where there is none,
    /// so that no other form of the document could be accepted.
    pub fn object_payload(&mut self, record: &KafkaRecord<'_>) -> Option<Vec<u8>> {
        self.documents.object_payload(record)
    }

    /// Appends the action line and the dead letter of `item` to `body`.
    pub fn append_dead_letter(
        &mut self,
        item: &BatchItem<'_>,
        error: &WriteError,
        body: &mut Vec<u8>,
    ) -> ActionLine {
        let time = self.dead_letter_time(item);
        dead_letter::append(body, self.documents.settings(), item, time, error)
    }

    /// Returns the address of the document that [`Encoder::append`] writes for `item`, without writing it.
    ///
    /// # Errors
    /// [`RecordError`] when `item` has no document.
    pub fn document_address(&mut self, item: &BatchItem<'_>) -> Result<Address<'static>, RecordError> {
        let record = item.record.as_ref().map_err(|error| *error)?;
        let time = self.documents.time(record)?;
        Ok(Address::of_document(self.documents.settings(), record, time))
    }

    /// Returns the address of the dead letter that [`Encoder::append_dead_letter`] writes for `item`, without
    /// writing it.
    pub fn dead_letter_address(&mut self, item: &BatchItem<'_>) -> Address<'static> {
        let time = self.dead_letter_time(item);
        Address::of_dead_letter(self.documents.settings(), item, time)
    }

    /// A dead letter has the time of its document. Where there is no document, it has the record's, and what can't be
    /// read as a record has none.
    fn dead_letter_time(&mut self, item: &BatchItem<'_>) -> Timestamp {
        let Ok(record) = &item.record else { return Timestamp::EPOCH };
        self.documents.time(record).unwrap_or_else(|_| {
            event_time::choose(
                self.documents.settings(),
                record.timestamp_ms,
                std::iter::empty(),
                &mut Vec::new(),
            )
        })
    }
}
