//! The outcome of a record, and how many records of a batch have each outcome.

use crate::rescue::Rescue;
use crate::write_error::WriteError;

/// The outcome of one record. Every record of a batch has exactly one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The cluster wrote the document.
    Indexed,
    /// The cluster wrote the document in another form, after it had rejected it as it was.
    Rescued(Rescue),
    /// The cluster had the document already.
    Duplicate,
    /// The rules of its topic drop the record: it is written nowhere.
    Dropped,
    /// The document is at fault and the dead-letter index has it.
    DeadLettered(WriteError),
    /// The record is not written: the event source mapping must deliver it again.
    Failed(WriteError),
}

/// How many records of a batch have each outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records in the batch.
    pub received: usize,
    /// Written now, in any form.
    pub indexed: usize,
    /// Those of them that were written in another form.
    pub rescued: usize,
    /// Written by an earlier delivery.
    pub duplicates: usize,
    /// Dropped by the rules of their topics.
    pub dropped: usize,
    /// In the dead-letter index.
    pub dead_lettered: usize,
    /// Not written; the mapping delivers them again.
    pub failed: usize,
}

impl Counts {
    /// Counts `outcomes`, one for each record.
    pub fn of<'o>(outcomes: impl IntoIterator<Item = &'o Outcome>) -> Self {
        let mut counts = Self::default();
        for outcome in outcomes {
            counts.received += 1;
            match outcome {
                Outcome::Indexed => counts.indexed += 1,
                Outcome::Rescued(_) => {
                    counts.indexed += 1;
                    counts.rescued += 1;
                }
                Outcome::Duplicate => counts.duplicates += 1,
                Outcome::Dropped => counts.dropped += 1,
                Outcome::DeadLettered(_) => counts.dead_lettered += 1,
                Outcome::Failed(_) => counts.failed += 1,
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rescue::RescueForm;
    use crate::write_error::ErrorKind;

    #[test]
    fn every_record_is_counted_once() {
        let error =
            WriteError { kind: ErrorKind::DocumentTooLarge, status: Some(413), reason: String::new() };
        let rescue = Rescue { form: RescueForm::Payload, reason: String::new() };
        let outcomes = [
            Outcome::Indexed,
            Outcome::Duplicate,
            Outcome::Dropped,
            Outcome::DeadLettered(error),
            Outcome::Indexed,
            Outcome::Rescued(rescue),
        ];
        let counts = Counts {
            received: 6,
            indexed: 3,
            rescued: 1,
            duplicates: 1,
            dropped: 1,
            dead_lettered: 1,
            failed: 0,
        };
        assert_eq!(Counts::of(&outcomes), counts);
    }
}
