//! Which indices hold the events: the daily ones of the prefix, and those that the rules of topics route to.

use std::io;

use pipeline_file::NoScripts;
use search_client::percent::encode;
use thiserror::Error;

/// A pattern of indices, such as `microservices-*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexPattern {
    fixed: String,
    indices: Indices,
}

/// Which indices of a pattern are the pipeline's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Indices {
    /// `<fixed>YYYY.MM.DD`. The names alone say so: no one else has this prefix.
    Daily,
    /// `<fixed>YYYY.MM.DD` and `<fixed><text>-YYYY.MM.DD`, where they have the fields of the pipeline's events.
    Routed,
}

/// Why a pattern can't be used: it would match indices of others.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "events are routed to indices `{0}`: begin the index with a fixed text and a hyphen, as in `payments-{{payload.tenant}}`, \
     so that its template, lifecycle and roles are for no others"
)]
pub struct TooWide(pub String);

/// Why the rules of topics can't be read.
#[derive(Debug, Error)]
pub(crate) enum RulesError {
    #[error("the file `{path}` can't be read: {source}")]
    File { path: String, source: io::Error },
    /// Each problem in a line, as `/opt/pipeline.yaml:3:5: …`.
    #[error("the rules of topics can't be read\n{0}")]
    Rules(String),
    #[error("{path}: {source}")]
    Pattern { path: String, source: TooWide },
}

impl IndexPattern {
    /// The daily indices of a prefix.
    pub fn daily(prefix: &str) -> Self {
        Self { fixed: format!("{prefix}-"), indices: Indices::Daily }
    }

    /// The daily indices that a rule routes to, of its pattern.
    ///
    /// # Errors
    /// [`TooWide`] when it does not say whose indices it matches.
    pub fn routed(pattern: &str) -> Result<Self, TooWide> {
        let fixed = pattern.strip_suffix('*').unwrap_or(pattern);
        if !fixed.ends_with('-') || fixed.trim_matches('-').is_empty() {
            return Err(TooWide(pattern.to_owned()));
        }
        Ok(Self { fixed: fixed.to_owned(), indices: Indices::Routed })
    }

    /// Returns the pattern as the cluster takes it.
    pub fn text(&self) -> String {
        format!("{}*", self.fixed)
    }

    /// Returns the pattern as a segment of a path. A route may have characters that mean something in a URL.
    pub fn in_path(&self) -> String {
        format!("{}*", encode(&self.fixed))
    }

    /// Returns what its indices begin with.
    pub fn fixed(&self) -> &str {
        &self.fixed
    }

    /// Whether an index may be the pipeline's own by its name.
    pub fn may_hold(&self, name: &str) -> bool {
        let Some(rest) = name.strip_prefix(&self.fixed) else { return false };
        is_day(rest)
            || (self.indices == Indices::Routed
                && rest
                    .len()
                    .checked_sub("-YYYY.MM.DD".len())
                    .and_then(|end| rest.get(end..))
                    .and_then(|end| end.strip_prefix('-'))
                    .is_some_and(is_day))
    }

    /// Whether names alone don't say whose an index is.
    pub fn is_shared(&self) -> bool {
        self.indices == Indices::Routed
    }
}

/// Reads the patterns that the rules of topics in a file route to, without those of `prefix` itself.
pub(crate) fn read_routed(path: &str, prefix: &str) -> Result<Vec<IndexPattern>, RulesError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| RulesError::File { path: path.to_owned(), source })?;
    // What the scripts do is no matter here, so they need no compiler.
    let rules = pipeline_file::parse(&text, &NoScripts).map_err(|error| {
        let lines = error.problems.iter().map(|problem| format!("  {path}:{problem}"));
        RulesError::Rules(lines.collect::<Vec<_>>().join("\n"))
    })?;
    let mut routed: Vec<IndexPattern> = Vec::new();
    for pattern in rules.index_patterns() {
        let pattern = IndexPattern::routed(&pattern)
            .map_err(|source| RulesError::Pattern { path: path.to_owned(), source })?;
        if pattern.fixed != format!("{prefix}-") && !routed.contains(&pattern) {
            routed.push(pattern);
        }
    }
    Ok(routed)
}

fn is_day(text: &str) -> bool {
    text.len() == "YYYY.MM.DD".len()
        && text.char_indices().all(|(position, letter)| match position {
            4 | 7 => letter == '.',
            _ => letter.is_ascii_digit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_end_with_a_day_are_daily_indices() {
        let pattern = IndexPattern::daily("a");
        assert!(pattern.may_hold("a-2026.11.24"));
        for name in [
            "a-b-2026.11.24",
            "a-2026.11.24-old",
            "a-2026-11-24",
            "a-2026.11.2x",
            "b-2026.11.24",
            "a2026.11.24",
        ] {
            assert!(!pattern.may_hold(name), "{name}");
        }
    }

    #[test]
    fn a_routed_index_may_have_more_text_before_its_day() {
        let pattern = IndexPattern::routed("pay-*").unwrap();
        for name in ["pay-2026.11.24", "pay-eu-2026.11.24", "pay-a-b.c-2026.11.24", "pay-é-2026.11.24"] {
            assert!(pattern.may_hold(name), "{name}");
        }
        for name in ["pay-eu", "pay-eu2026.11.24", "pay-2026.11", "paid-2026.11.24", "pay-é2026.11.24"] {
            assert!(!pattern.may_hold(name), "{name}");
        }
        assert_eq!((pattern.text().as_str(), pattern.fixed()), ("pay-*", "pay-"));
        assert_eq!(IndexPattern::routed("é%-*").unwrap().in_path(), "%C3%A9%25-*");
    }

    #[test]
    fn a_pattern_that_would_match_the_indices_of_others_is_refused_with_the_fix() {
        for wide in ["*", "-*", "p*", "payments*", "payments_*"] {
            let error = IndexPattern::routed(wide).unwrap_err();
            assert_eq!(error, TooWide(wide.into()));
            assert!(error.to_string().contains("begin the index with a fixed text and a hyphen"), "{error}");
        }
    }
}
