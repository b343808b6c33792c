//! Keeps account of a batch: every record gets exactly one outcome.

use std::collections::HashMap;

use event_pipeline::item_result::ItemResult;
use event_pipeline::outcome::Outcome;
use event_pipeline::rescue::Rescue;
use event_pipeline::write_error::{ErrorKind, WriteError};

/// What is known of each record of a batch.
pub(crate) struct Account {
    outcomes: Vec<Option<Outcome>>,
    rejected: Vec<(usize, WriteError)>,
    /// Records whose documents may be what makes the cluster fail.
    suspects: Vec<(usize, WriteError)>,
    is_dead_lettered: Vec<bool>,
}

impl Account {
    /// Opens an account of `n_records`, none with an outcome.
    pub(crate) fn new(n_records: usize) -> Self {
        Self {
            outcomes: vec![None; n_records],
            rejected: Vec::new(),
            suspects: Vec::new(),
            is_dead_lettered: vec![false; n_records],
        }
    }

    /// Records that the cluster rejected the document of `record`.
    pub(crate) fn reject(&mut self, record: usize, error: WriteError) {
        self.rejected.push((record, error));
    }

    /// Takes out the rejected records, which need dead letters.
    pub(crate) fn take_rejected(&mut self) -> Vec<(usize, WriteError)> {
        std::mem::take(&mut self.rejected)
    }

    /// Takes out the records whose documents may be what makes the cluster fail.
    pub(crate) fn take_suspects(&mut self) -> Vec<(usize, WriteError)> {
        std::mem::take(&mut self.suspects)
    }

    /// Records that the rules of its topic drop `record`.
    pub(crate) fn drop(&mut self, record: usize) {
        self.set(record, Outcome::Dropped);
    }

    /// Whether the cluster accepted any document of the batch.
    pub(crate) fn has_written(&self) -> bool {
        let is_written = |outcome: &Outcome| !matches!(outcome, Outcome::Failed(_) | Outcome::Dropped);
        self.outcomes.iter().flatten().any(is_written)
    }

    /// Enters the results of the documents. Those of `rescues` are written in that form.
    pub(crate) fn enter_documents(
        &mut self,
        results: Vec<(usize, ItemResult)>,
        rescues: &HashMap<usize, Rescue>,
    ) {
        let written = |record| rescues.get(&record).cloned().map_or(Outcome::Indexed, Outcome::Rescued);
        for (record, result) in results {
            match result {
                ItemResult::Indexed => self.set(record, written(record)),
                ItemResult::Duplicate => self.set(record, Outcome::Duplicate),
                ItemResult::Rejected(error) => self.reject(record, error),
                ItemResult::Failed(error) if error.may_be_the_documents() => {
                    self.suspects.push((record, error))
                }
                ItemResult::Failed(error) => self.set(record, Outcome::Failed(error)),
                ItemResult::Deleted | ItemResult::NotFound | ItemResult::Changed => {
                    self.set(record, Outcome::Failed(not_a_create()));
                }
            }
        }
    }

    /// Records that `record` has failed.
    pub(crate) fn fail(&mut self, record: usize, error: WriteError) {
        self.set(record, Outcome::Failed(error));
    }

    /// Enters the results of the dead letters.
    pub(crate) fn enter_dead_letters(&mut self, results: Vec<(usize, ItemResult)>) {
        for (record, result) in results {
            match result {
                ItemResult::Indexed | ItemResult::Duplicate => {
                    if let Some(flag) = self.is_dead_lettered.get_mut(record) {
                        *flag = true;
                    }
                }
                ItemResult::Rejected(WriteError { kind, status, reason }) => {
                    let reason = format!("the dead-letter index refuses the dead letter: {kind}: {reason}");
                    let error = WriteError { kind: ErrorKind::DeadLetterRefused, status, reason };
                    self.set(record, Outcome::Failed(error));
                }
                ItemResult::Failed(error) => {
                    let reason = format!("the dead letter could not be written: {error}");
                    self.set(record, Outcome::Failed(WriteError { reason, ..error }));
                }
                ItemResult::Deleted | ItemResult::NotFound | ItemResult::Changed => {
                    self.set(record, Outcome::Failed(not_a_create()));
                }
            }
        }
    }

    /// Closes the account: a rejected record with a dead letter is dead-lettered, and a record without any result has
    /// failed.
    pub(crate) fn close(mut self, rejected: Vec<(usize, WriteError)>) -> Vec<Outcome> {
        for (record, error) in rejected {
            if self.is_dead_lettered.get(record) == Some(&true) {
                self.set(record, Outcome::DeadLettered(error));
            }
        }
        let no_result = || {
            Outcome::Failed(WriteError {
                kind: ErrorKind::NoResult,
                status: None,
                reason: "the request that held the record ended early".into(),
            })
        };
        self.outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(no_result)).collect()
    }

    fn set(&mut self, record: usize, outcome: Outcome) {
        if let Some(slot) = self.outcomes.get_mut(record) {
            debug_assert_eq!(*slot, None, "record {record} gets one outcome");
            *slot = Some(outcome);
        }
    }
}

/// The response names a `delete` where a `create` was sent, so nothing counts as written.
fn not_a_create() -> WriteError {
    WriteError {
        kind: ErrorKind::BadResponse,
        status: None,
        reason: "the response reports a delete for a create".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejection() -> WriteError {
        WriteError { kind: ErrorKind::cluster("t"), status: Some(400), reason: "r".into() }
    }

    #[test]
    fn a_record_without_a_result_has_failed() {
        let mut account = Account::new(2);
        account.enter_documents(vec![(1, ItemResult::Indexed)], &HashMap::new());
        let outcomes = account.close(Vec::new());
        assert!(
            matches!(outcomes.first(), Some(Outcome::Failed(error)) if error.kind == ErrorKind::NoResult)
        );
        assert_eq!(outcomes.get(1), Some(&Outcome::Indexed));
    }

    #[test]
    fn a_rejected_record_is_dead_lettered_only_with_its_dead_letter() {
        let mut account = Account::new(2);
        let results = vec![(0, ItemResult::Rejected(rejection())), (1, ItemResult::Rejected(rejection()))];
        account.enter_documents(results, &HashMap::new());
        let rejected = account.take_rejected();
        account.enter_dead_letters(vec![(0, ItemResult::Indexed), (1, ItemResult::Rejected(rejection()))]);
        let refused = WriteError {
            kind: ErrorKind::DeadLetterRefused,
            status: Some(400),
            reason: "the dead-letter index refuses the dead letter: t: r".into(),
        };
        assert_eq!(account.close(rejected), [Outcome::DeadLettered(rejection()), Outcome::Failed(refused)]);
    }

    #[test]
    fn a_delete_reported_for_a_create_is_not_a_write() {
        let mut account = Account::new(1);
        account.enter_documents(vec![(0, ItemResult::Deleted)], &HashMap::new());
        assert_eq!(account.close(Vec::new()), [Outcome::Failed(not_a_create())]);
    }
}
