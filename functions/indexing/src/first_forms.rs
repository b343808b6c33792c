//! Encodes the records of a batch for the first time, and sends their documents.

use std::collections::HashMap;

use event_pipeline::address::ActionLine;
use event_pipeline::encoder::Encoder;
use event_pipeline::encoding::Appended;
use event_pipeline::event::{BatchItem, RecordError};
use event_pipeline::rescue::Rescue;
use event_pipeline::rules::{Keep, Rules};
use record_formats::frame::SchemaId;

use crate::account::Account;
use crate::bulk_sender::BulkSender;
use crate::index_cap::{Admission, IndexCap};
use crate::noted::{Noted, topic};
use crate::transport::BulkTransport;

/// A batch whose records are encoded for the first time.
pub(crate) struct FirstForms<T> {
    pub(crate) sender: BulkSender<T>,
    pub(crate) encoder: Encoder,
    pub(crate) account: Account,
    /// The documents that no cluster could read as they are, with the form that they have instead.
    pub(crate) too_deep: HashMap<usize, Rescue>,
    pub(crate) notes: Notes,
    pub(crate) cap: IndexCap,
    rules: Rules,
    /// The records whose schemas are not known.
    pub(crate) waiting: Vec<Waiting>,
}

/// What is noted of the records of a batch.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) undecoded: Noted,
    pub(crate) untransformed: Noted,
    pub(crate) overflowing: Noted,
}

impl Notes {
    /// Notes the record at `position`, which `encoder` has encoded last.
    pub(crate) fn note(&mut self, position: usize, encoder: &Encoder) {
        self.undecoded.note(position, encoder.schema_failure());
        self.untransformed.note(position, encoder.transform_failure());
    }
}

impl<T: BulkTransport + 'static> FirstForms<T> {
    /// Begins with a batch of `n_records`, whose documents `sender` sends.
    pub(crate) fn new(sender: BulkSender<T>, encoder: Encoder, n_records: usize, rules: &Rules) -> Self {
        Self {
            sender,
            encoder,
            account: Account::new(n_records),
            too_deep: HashMap::new(),
            notes: Notes::default(),
            cap: IndexCap::new(rules.max_indices()),
            rules: rules.clone(),
            waiting: Vec::new(),
        }
    }

    /// Encodes the item at `position` and sends it with the others. If its schema is not known it waits, and if it may be routed to
    /// one index too many it is held back.
    pub(crate) async fn push(&mut self, position: usize, item: &BatchItem<'_>) {
        let record = match &item.record {
            Ok(record) => record,
            Err(_) if self.drops_all(item) => return self.account.drop(position),
            Err(error) => return self.account.reject(position, self.encoder.write_error(*error)),
        };
        let Self { sender, encoder, cap, .. } = self;
        let write = |body: &mut Vec<u8>| {
            let line = document(encoder.append(record, body))?;
            match encoder.routed() {
                Some((rule, prefix)) if cap.admit(position, rule, prefix.as_str()) == Admission::Held => {
                    Err(NotSent::Held)
                }
                _ => Ok(line),
            }
        };
        match sender.push(position, write).await {
            Ok(()) => {
                self.notes.note(position, encoder);
                self.too_deep.extend(encoder.rescue_of_last().map(|rescue| (position, rescue)));
            }
            Err(NotSent::Held) => {}
            Err(NotSent::Dropped) => self.account.drop(position),
            Err(NotSent::Unreadable(RecordError::MissingSchema)) => {
                let rules = self.rules.of(record.topic).filter(|(_, rules)| rules.routes_openly());
                if let Some((rule, _)) = rules {
                    cap.wait(position, rule);
                }
                self.waiting.push(Waiting { position, schemas: encoder.missing_schemas().to_vec() });
            }
            Err(NotSent::Unreadable(error)) => {
                self.notes.untransformed.note(position, encoder.transform_failure());
                self.account.reject(position, encoder.write_error(error));
            }
        }
    }

    /// Whether the rules of its topic drop each of its records, whatever it is.
    fn drops_all(&self, item: &BatchItem<'_>) -> bool {
        let rules = topic(item).and_then(|topic| self.rules.of(topic));
        rules.is_some_and(|(_, rules)| rules.keep == Keep::None)
    }
}

/// A record whose schemas are not known yet.
pub(crate) struct Waiting {
    pub(crate) position: usize,
    pub(crate) schemas: Vec<SchemaId>,
}

/// Why nothing is sent for a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotSent {
    /// It gives no document.
    Unreadable(RecordError),
    /// The rules of its topic drop it.
    Dropped,
    /// It is held back.
    Held,
}

/// The action line of the document that was appended.
pub(crate) fn document(appended: Result<Appended, RecordError>) -> Result<ActionLine, NotSent> {
    match appended.map_err(NotSent::Unreadable)? {
        Appended::Document(line) => Ok(line),
        Appended::Dropped => Err(NotSent::Dropped),
    }
}
