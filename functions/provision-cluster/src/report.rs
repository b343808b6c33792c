//! What became of each thing, and what failed.

use std::fmt;

use thiserror::Error;

use crate::refusal::CallError;

/// What became of a thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was made or changed.
    Applied,
    /// The cluster holds it already.
    Unchanged,
    /// It was deleted.
    Deleted,
    /// It would be made or changed: a dry run.
    WouldApply,
    /// Why not, and the mend.
    NotApplied(String),
}

impl Outcome {
    /// Why it was not applied.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::NotApplied(why) => Some(why),
            _ => None,
        }
    }

    /// The outcome as a word.
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
    /// The cluster did not do as it was asked.
    #[error(transparent)]
    Call(#[from] CallError),
    /// There is no way to the cluster: the domain, the secret or the certificate can't be read.
    #[error("{0}")]
    NoWay(String),
    /// Something else; the text says what, where and the mend.
    #[error("{0}")]
    Other(String),
}

impl StepError {
    /// Whether there is no use in going on.
    pub fn is_final(&self) -> bool {
        match self {
            Self::NoWay(_) => true,
            Self::Call(error) => error.is_final(),
            Self::Other(_) => false,
        }
    }
}

/// A thing and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The thing, such as `index template microservices`.
    pub what: String,
    /// What became of it.
    pub outcome: Outcome,
    /// More to know, such as which codec was taken.
    pub note: Option<String>,
}

/// What a run did.
#[derive(Debug, Default)]
pub struct Report {
    /// Things that did not fail, in the order of the run.
    pub lines: Vec<Line>,
    /// Sentences, one for each thing that failed.
    pub failures: Vec<String>,
    given_up: bool,
}

impl Report {
    /// Adds a thing.
    pub fn add(&mut self, what: impl Into<String>, outcome: Outcome) {
        self.lines.push(Line { what: what.into(), outcome, note: None });
    }

    /// Adds a thing with more to know.
    pub fn add_with_note(&mut self, what: impl Into<String>, outcome: Outcome, note: Option<String>) {
        self.lines.push(Line { what: what.into(), outcome, note });
    }

    /// Adds what a step returned. A cluster that lacks the API is no failure: `lacking` says what it lacks and the mend.
    pub fn record(&mut self, what: impl Into<String>, result: Result<Outcome, StepError>, lacking: &str) {
        match result {
            Ok(outcome) => self.add(what, outcome),
            Err(error) => self.fail(what, error, lacking),
        }
    }

    /// Adds a thing that failed, or that the cluster can't have.
    pub fn fail(&mut self, what: impl Into<String>, error: StepError, lacking: &str) {
        let what = what.into();
        match error {
            // What this says is what `lacking` says.
            StepError::Call(CallError::Lacking { said }) if said.starts_with("no handler found") => {
                self.add(what, Outcome::NotApplied(lacking.to_owned()));
            }
            StepError::Call(CallError::Lacking { said }) => {
                self.add(what, Outcome::NotApplied(format!("{lacking} (the cluster answered: {said})")));
            }
            error => {
                self.given_up |= error.is_final();
                self.failures.push(format!("{what}: {error}"));
            }
        }
    }

    /// Adds a deletion. What was not there is not told, nor what the cluster can't have.
    pub fn record_deleted(&mut self, what: impl Into<String>, deleted: Result<bool, CallError>) {
        match deleted {
            Ok(true) => self.add(what, Outcome::Deleted),
            Ok(false) | Err(CallError::Lacking { .. }) => {}
            Err(error) => self.fail(what, error.into(), ""),
        }
    }

    /// Whether there is no use in going on: the cluster is out of reach, or refuses the credential.
    pub fn given_up(&self) -> bool {
        self.given_up
    }

    /// How many things ended so.
    pub fn count(&self, is: impl Fn(&Outcome) -> bool) -> usize {
        self.lines.iter().filter(|line| is(&line.outcome)).count()
    }

    /// The things that were not applied, a sentence for each reason.
    pub fn not_applied(&self) -> Vec<String> {
        let mut by_reason: Vec<(&str, Vec<&str>)> = Vec::new();
        for line in &self.lines {
            let Some(why) = line.outcome.why() else { continue };
            match by_reason.iter_mut().find(|(known, _)| *known == why) {
                Some((_, things)) => things.push(&line.what),
                None => by_reason.push((why, vec![&line.what])),
            }
        }
        by_reason.into_iter().map(|(why, things)| format!("{}: {why}", things.join(", "))).collect()
    }

    /// One line that counts.
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
        for Line { what, outcome, note } in &self.lines {
            write!(f, "{:<12} {what}", outcome.word())?;
            if let Outcome::NotApplied(why) = outcome {
                write!(f, ": {why}")?;
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
        let lacking = CallError::Lacking { said: "license is non-compliant".into() };
        report.record("lifecycle policy a", Err(lacking.into()), "it lacks index management: install it");
        report.record("role a-writer", Err(StepError::Other("refused; do this".into())), "");
        assert_eq!(
            report.to_string(),
            "applied      index template a\n\
             unchanged    component template a-settings (codec zstd)\n\
             not applied  lifecycle policy a: it lacks index management: install it (the cluster answered: license is non-compliant)\n\
             failed       role a-writer: refused; do this\n\
             1 applied, 1 unchanged, 1 not applied, 1 failed\n"
        );
        assert!(!report.given_up());
        report.add("lifecycle policy b", report.lines[2].outcome.clone());
        let [sentence] = report.not_applied().try_into().unwrap();
        assert!(sentence.starts_with("lifecycle policy a, lifecycle policy b: it lacks"), "{sentence}");
    }
}
