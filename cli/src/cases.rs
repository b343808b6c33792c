//! Files with test cases: records, and what is expected of them.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_yaml_ng::Value as Yaml;
use thiserror::Error;

use crate::record::Record;
use crate::record_text::{Defaults, RecordText, RecordTextError};
use crate::variables::VariableTexts;

/// Test cases of one pipeline file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseFile {
    /// The file with the rules, as seen from the folder of this one; `None` is that of the command line.
    pub pipeline: Option<PathBuf>,
    /// The function's variables.
    #[serde(default)]
    pub variables: VariableTexts,
    /// Schemas, `17=order.avsc`, as seen from the folder of this file.
    #[serde(default)]
    pub schemas: Vec<String>,
    /// The cases.
    pub cases: Vec<Case>,
}

/// A test case.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What is shown of it: a behaviour.
    pub name: String,
    /// Its only record.
    record: Option<RecordText<Yaml>>,
    /// Its records, which are one batch.
    records: Option<Vec<RecordText<Yaml>>>,
    /// What becomes of the record; a list for `records`.
    pub expect: Option<Yaml>,
}

/// Why a file has no cases.
#[derive(Debug, Error)]
pub enum CaseError {
    /// It can't be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It has another form.
    #[error("{}: {source}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// Why, with the line.
        source: serde_yaml_ng::Error,
    },
    /// A case has no records.
    #[error("case `{0}` has neither `record` nor `records`, or both: give one of them")]
    NoRecord(String),
    /// A record is none.
    #[error("case `{case}`: record {number}: {source}")]
    Record {
        /// Name of the case.
        case: String,
        /// Number of the record, from 1 on.
        number: usize,
        /// Why.
        source: RecordTextError,
    },
}

/// The time of records that name none: 2026-01-01T00:00:00Z. A test gives the same whenever it runs.
const TIMESTAMP_MS: i64 = 1_767_225_600_000;

/// Reads the text of a file at `path`.
///
/// # Errors
/// [`CaseError::Form`]
pub fn parse(path: &Path, text: &str) -> Result<CaseFile, CaseError> {
    serde_yaml_ng::from_str(text).map_err(|source| CaseError::Form { path: path.to_owned(), source })
}

impl Case {
    /// The records, in their order. Their offsets count from 0 where they name none.
    ///
    /// # Errors
    /// [`CaseError::NoRecord`], [`CaseError::Record`]
    pub fn records(&self) -> Result<Vec<Record>, CaseError> {
        let texts = match (&self.record, &self.records) {
            (Some(record), None) => std::slice::from_ref(record),
            (None, Some(records)) if !records.is_empty() => records,
            _ => return Err(CaseError::NoRecord(self.name.clone())),
        };
        let mut records = Vec::new();
        for (position, text) in texts.iter().enumerate() {
            let defaults = Defaults { topic: None, offset: position as i64, timestamp_ms: TIMESTAMP_MS };
            let record = text.to_record(defaults).map_err(|source| CaseError::Record {
                case: self.name.clone(),
                number: position + 1,
                source,
            })?;
            records.push(record);
        }
        Ok(records)
    }

    /// Whether the case has a list of records, and so a list of expectations.
    pub fn is_list(&self) -> bool {
        self.records.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Result<CaseFile, CaseError> {
        parse(Path::new("a.yaml"), text)
    }

    #[test]
    fn a_case_has_one_record_or_a_batch_of_them() {
        let cases = file(
            "cases:\n- name: one\n  record: {topic: t, value: {a: 1}}\n- name: two\n  records: [{topic: t}, {topic: u}]\n",
        )
        .unwrap()
        .cases;
        let one = cases[0].records().unwrap();
        assert_eq!((one[0].offset, one[0].timestamp_ms), (0, Some(TIMESTAMP_MS)));
        let two = cases[1].records().unwrap();
        assert_eq!((two[1].topic.as_str(), two[1].offset), ("u", 1));
    }

    #[test]
    fn what_is_wrong_names_its_place() {
        let error = file("cases:\n- name: a\n  recrd: {}\n").unwrap_err().to_string();
        assert!(error.starts_with("a.yaml: ") && error.contains("line 3"), "{error}");
        let cases = file("cases: [{name: none}, {name: bad, record: {value: 1}}]").unwrap().cases;
        let errors = cases.iter().map(|case| case.records().unwrap_err().to_string()).collect::<Vec<_>>();
        assert_eq!(errors[0], "case `none` has neither `record` nor `records`, or both: give one of them");
        assert!(errors[1].starts_with("case `bad`: record 1: no `topic`"), "{}", errors[1]);
    }
}
