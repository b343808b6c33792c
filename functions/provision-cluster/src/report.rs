//! The report of a run: the outcome of each thing, and what failed.

use std::fmt;

use lambda_support::search::ConnectError;
use thiserror::Error;

use crate::call_error::CallError;
use crate::files::FileError;

/// Outcome of a thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Created or changed.
    Applied,
    /// The cluster already holds it.
    Unchanged,
    /// Deleted.
    Deleted,
    /// Would be created or changed: a dry run.
    WouldApply,
    /// The cluster can't have it. The text says why, and the fix.
    NotApplied(String),
}

impl Outcome {
    /// The reason why it was not applied.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::NotApplied(reason) => Some(reason),
            _ => None,
        }
    }

    /// The outcome in one or two words.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Unchanged => "unchanged",
            Self::Deleted => "deleted",
            Self::WouldApply => "would apply",
            Self::NotApplied(_) => "not applied",
        }
    }
}

/// Why a thing failed.
#[derive(Debug, Error)]
pub enum StepError {
    /// A call to the cluster failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The client can't be made: the domain, the secret or the certificate can't be read.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A file of `infra/search` can't be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// Something else. The text says what, where and the fix.
    #[error("{0}")]
    Other(String),
}

impl StepError {
    /// Whether further steps would fail too.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Connect(_) => true,
            Self::Call(error) => error.is_final(),
            Self::File(_) | Self::Other(_) => false,
        }
    }
}

/// A thing and its outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportLine {
    /// The thing, such as `index template microservices`.
    pub what: String,
    /// Its outcome.
    pub outcome: Outcome,
    /// A detail, such as the codec that was chosen.
    pub note: Option<String>,
}

/// What a run did.
#[derive(Debug, Default)]
pub struct Report {
    /// Things that did not fail, in the order of the run.
    pub lines: Vec<ReportLine>,
    /// One sentence for each thing that failed.
    pub failures: Vec<String>,
    given_up: bool,
}

impl Report {
    /// Adds a thing.
    pub fn add(&mut self, what: impl Into<String>, outcome: Outcome) {
        self.lines.push(ReportLine { what: what.into(), outcome, note: None });
    }

    /// Adds a thing with a detail.
    pub fn add_with_note(&mut self, what: impl Into<String>, outcome: Outcome, note: Option<String>) {
        self.lines.push(ReportLine { what: what.into(), outcome, note });
    }

    /// Adds the result of a step. A cluster without the API is not a failure: `missing_api` says what the cluster lacks, and
    /// the fix.
    pub fn record(&mut self, what: impl Into<String>, result: Result<Outcome, StepError>, missing_api: &str) {
        match result {
            Ok(outcome) => self.add(what, outcome),
            Err(error) => self.fail(what, error, missing_api),
        }
    }

    /// Adds a thing that failed, or that the cluster can't have.
    pub fn fail(&mut self, what: impl Into<String>, error: StepError, missing_api: &str) {
        let what = what.into();
        match error {
            // This message adds nothing to `missing_api`.
            StepError::Call(CallError::MissingApi { message }) if message.starts_with("no handler found") => {
                self.add(what, Outcome::NotApplied(missing_api.to_owned()));
            }
            StepError::Call(CallError::MissingApi { message }) => {
                self.add(
                    what,
                    Outcome::NotApplied(format!("{missing_api} (the cluster returned: {message})")),
                );
            }
            error => {
                self.given_up |= error.is_final();
                self.failures.push(format!("{what}: {error}"));
            }
        }
    }

    /// Adds a deletion. A thing that did not exist, or that the cluster can't have, gets no line.
    pub fn record_deleted(&mut self, what: impl Into<String>, deleted: Result<bool, CallError>) {
        match deleted {
            Ok(true) => self.add(what, Outcome::Deleted),
            Ok(false) | Err(CallError::MissingApi { .. }) => {}
            Err(error) => self.fail(what, error.into(), ""),
        }
    }

    /// Whether the remaining steps are skipped: the cluster can't be reached, or rejects the credential.
    pub fn given_up(&self) -> bool {
        self.given_up
    }

    /// Counts the things whose outcome satisfies `is`.
    pub fn count(&self, is: impl Fn(&Outcome) -> bool) -> usize {
        self.lines.iter().filter(|line| is(&line.outcome)).count()
    }

    /// Returns one sentence for each reason why things were not applied.
    pub fn not_applied(&self) -> Vec<String> {
        let mut by_reason: Vec<(&str, Vec<&str>)> = Vec::new();
        for line in &self.lines {
            let Some(reason) = line.outcome.reason() else { continue };
            match by_reason.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, things)) => things.push(&line.what),
                None => by_reason.push((reason, vec![&line.what])),
            }
        }
        by_reason.into_iter().map(|(reason, things)| format!("{}: {reason}", things.join(", "))).collect()
    }

    /// Returns the counts of all outcomes on one line.
    pub fn summary(&self) -> String {
        let mut parts = Vec::new();
        for word in ["applied", "would apply", "deleted", "unchanged", "not applied"] {
            let n = self.count(|outcome| outcome.word() == word);
            if n > 0 {
                parts.push(format!("{n} {word}"));
            }
        }
        if !self.failures.is_empty() {
            parts.push(format!("{} failed", self.failures.len()));
        }
        if parts.is_empty() { "nothing to do".to_owned() } else { parts.join(", ") }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ReportLine { what, outcome, note } in &self.lines {
            write!(f, "{:<12} {what}", outcome.word())?;
            if let Some(reason) = outcome.reason() {
                write!(f, ": {reason}")?;
            }
            match note {
                Some(note) => writeln!(f, " ({note})")?,
                None => writeln!(f)?,
            }
        }
        for failure in &self.failures {
            writeln!(f, "{:<12} {failure}", "failed")?;
        }
        writeln!(f, "{}", self.summary())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_a_line_for_each_thing_and_counts_them() {
        let mut report = Report::default();
        report.add("index template a", Outcome::Applied);
        report.add_with_note("component template a-settings", Outcome::Unchanged, Some("codec zstd".into()));
        let missing = CallError::MissingApi { message: "license is non-compliant".into() };
        report.record("lifecycle policy a", Err(missing.into()), "it lacks index management: install it");
        report.record("role a-writer", Err(StepError::Other("refused; do this".into())), "");
        assert_eq!(
            report.to_string(),
            "applied      index template a\n\
             unchanged    component template a-settings (codec zstd)\n\
             not applied  lifecycle policy a: it lacks index management: install it (the cluster returned: license is non-compliant)\n\
             failed       role a-writer: refused; do this\n\
             1 applied, 1 unchanged, 1 not applied, 1 failed\n"
        );
        assert!(!report.given_up());
        report.add("lifecycle policy b", report.lines[2].outcome.clone());
        let [sentence] = report.not_applied().try_into().unwrap();
        assert!(sentence.starts_with("lifecycle policy a, lifecycle policy b: it lacks"), "{sentence}");
    }
}
