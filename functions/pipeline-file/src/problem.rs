//! What is wrong with a file.

use std::fmt;
use std::path::Path;

use thiserror::Error;

/// Every problem of a file, in its order. Shown as one line each.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub struct PipelineFileError {
    /// At least one.
    pub problems: Vec<Problem>,
}

impl PipelineFileError {
    /// A line for each problem, which begins with the file and the place in it: `infra/pipeline.yaml:12:9: …`.
    pub fn lines(&self, path: &Path) -> Vec<String> {
        self.problems.iter().map(|problem| format!("{}:{problem}", path.display())).collect()
    }
}

impl fmt::Display for PipelineFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.problems.iter().enumerate() {
            if number > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

/// One problem. Shown as `12:9: topics[1].sample: …`, which editors and terminals take for a place in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line in the file, from 1 on.
    pub line: usize,
    /// Column in the line in characters, from 1 on.
    pub column: usize,
    /// Where it is: `topics[1].sample`. Empty for the whole file.
    pub path: String,
    /// What is wrong.
    pub what: String,
    /// What to write instead.
    pub fix: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.line, self.column)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "{}: {}", self.what, self.fix)
    }
}
