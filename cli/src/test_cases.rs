//! `test`: runs test cases of the rules, or writes what they expect.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde_yaml_ng::Value as Yaml;
use thiserror::Error;

use crate::case_edit::{EditError, with_expectations};
use crate::cases::{Case, CaseError, CaseFile, parse};
use crate::evaluate::Evaluator;
use crate::exit::Exit;
use crate::expectation::{difference, ordered_like, outcome};
use crate::explain::{ExplainError, Explainer};
use crate::schemas::{SchemaFileError, SchemasError, compile, parse_in};
use crate::setup::{Setup, SetupError, SetupOptions, setup};

/// Run test cases of the rules: records, and all that is expected of them. Status: 0 all passed, 1 some failed, 2 a file can't be
/// used
#[derive(Debug, Args)]
pub struct TestOptions {
    /// Write what each failing case expects, instead of failing
    #[arg(long)]
    update: bool,
    /// Folder with *.yaml files of cases, or one of them
    #[arg(default_value = "infra/pipeline-tests")]
    cases: PathBuf,
    #[command(flatten)]
    setup: SetupOptions,
}

/// Why no cases can be run.
#[derive(Debug, Error)]
pub enum TestError {
    /// The folder can't be read.
    #[error("{}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There are none.
    #[error("{}: there is no *.yaml file with cases", .0.display())]
    NoFiles(PathBuf),
    /// A file has no cases that can be run.
    #[error(transparent)]
    Cases(#[from] CaseError),
    /// A case is not one.
    #[error("{}: {source}", path.display())]
    Case {
        /// The file.
        path: PathBuf,
        /// Why.
        source: CaseError,
    },
    /// The settings can't be read.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// A schema is named in another form.
    #[error("{}: schema `{schema}`: {source}", path.display())]
    SchemaFile {
        /// The file.
        path: PathBuf,
        /// What was named.
        schema: String,
        /// Why.
        source: SchemaFileError,
    },
    /// A schema can't be used.
    #[error(transparent)]
    Schemas(#[from] SchemasError),
    /// A record can't be decided on.
    #[error(transparent)]
    Explain(#[from] ExplainError),
    /// A file can't be updated.
    #[error("{}: {source}", path.display())]
    Edit {
        /// The file.
        path: PathBuf,
        /// Why.
        source: EditError,
    },
    /// After the update the file would say something else.
    #[error("{}: case `{case}` would read differently after the update, so the file stays as it was: write it by hand", path.display())]
    NotUpdated {
        /// The file.
        path: PathBuf,
        /// Name of the case.
        case: String,
    },
    /// The outcome can't be written as YAML.
    #[error(transparent)]
    Yaml(#[from] serde_yaml_ng::Error),
    /// The output can't be written.
    #[error("standard output: {0}")]
    Write(#[from] io::Error),
}

/// How many cases passed, failed and were written.
#[derive(Debug, Default)]
struct Totals {
    passed: usize,
    failed: usize,
    updated: usize,
}

/// Runs the cases, and writes to `out` how those that fail differ.
///
/// # Errors
/// [`TestError`]
pub fn run(options: &TestOptions, out: &mut dyn Write) -> Result<Exit, TestError> {
    let mut totals = Totals::default();
    for path in files(&options.cases)? {
        run_file(options, &path, &mut totals, out)?;
    }
    let Totals { passed, failed, updated } = totals;
    write!(out, "{passed} passed, {failed} failed")?;
    if options.update {
        write!(out, ", {updated} updated: read the difference before you commit it")?;
    } else if failed > 0 {
        write!(out, "; if the new outcomes are right, --update (make test-pipeline UPDATE=1) writes them")?;
    }
    writeln!(out)?;
    Ok(if failed == 0 { Exit::Success } else { Exit::Found })
}

fn files(cases: &Path) -> Result<Vec<PathBuf>, TestError> {
    if cases.is_file() {
        return Ok(vec![cases.to_owned()]);
    }
    let error = |source| TestError::Folder { path: cases.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(cases).map_err(error)? {
        let path = entry.map_err(error)?.path();
        if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
            && path.is_file()
        {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() { Err(TestError::NoFiles(cases.to_owned())) } else { Ok(files) }
}

fn run_file(
    options: &TestOptions,
    path: &Path,
    totals: &mut Totals,
    out: &mut dyn Write,
) -> Result<(), TestError> {
    let text =
        fs::read_to_string(path).map_err(|source| CaseError::Read { path: path.to_owned(), source })?;
    let file = parse(path, &text)?;
    let runner = Runner::new(&file, path, &options.setup)?;
    let mut new = Vec::new();
    for (position, case) in file.cases.iter().enumerate() {
        let expected = case.expect.clone().unwrap_or(Yaml::Null);
        let actual = ordered_like(runner.outcome(case, path)?, &expected);
        if actual == expected {
            totals.passed += 1;
        } else if options.update {
            new.push((position, actual));
        } else {
            totals.failed += 1;
            writeln!(out, "{}: {}", path.display(), case.name)?;
            if case.expect.is_none() {
                writeln!(out, "  it has no `expect`")?;
            }
            for line in difference(&expected, &actual)?.lines() {
                writeln!(out, "  {line}")?;
            }
            writeln!(out)?;
        }
    }
    if !new.is_empty() {
        totals.updated += new.len();
        update(path, &text, &new)?;
    }
    Ok(())
}

fn update(path: &Path, text: &str, new: &[(usize, Yaml)]) -> Result<(), TestError> {
    let edited =
        with_expectations(text, new).map_err(|source| TestError::Edit { path: path.to_owned(), source })?;
    let read = parse(path, &edited)?;
    for (position, expected) in new {
        let case = read.cases.get(*position);
        if case.and_then(|case| case.expect.as_ref()) != Some(expected) {
            let case = case.map(|case| case.name.clone()).unwrap_or_default();
            return Err(TestError::NotUpdated { path: path.to_owned(), case });
        }
    }
    Ok(fs::write(path, edited)?)
}

/// Runs the cases of a file.
struct Runner {
    setup: Setup,
    schemas: Option<Arc<event_pipeline::decoder::KnownSchemas>>,
}

impl Runner {
    fn new(file: &CaseFile, path: &Path, options: &SetupOptions) -> Result<Self, TestError> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut variables = options.variables()?;
        variables.extend(file.variables.clone());
        let pipeline = match &file.pipeline {
            Some(pipeline) => Some(folder.join(pipeline)),
            None => options.pipeline(),
        };
        let setup = setup(&variables, pipeline)?;
        let mut schemas = Vec::new();
        for schema in &file.schemas {
            schemas.push(parse_in(folder, schema).map_err(|source| TestError::SchemaFile {
                path: path.to_owned(),
                schema: schema.clone(),
                source,
            })?);
        }
        let schemas = compile(&schemas)?;
        let schemas = (setup.has_registry || !schemas.is_empty()).then(|| Arc::new(schemas));
        Ok(Self { setup, schemas })
    }

    /// What becomes of the records of a case.
    fn outcome(&self, case: &Case, path: &Path) -> Result<Yaml, TestError> {
        let records = case.records().map_err(|source| TestError::Case { path: path.to_owned(), source })?;
        let Setup { settings, salts, .. } = &self.setup;
        let mut evaluator = Evaluator::new(settings.clone(), self.schemas.clone());
        let mut explainer = Explainer::new(settings.clone(), salts.clone(), self.schemas.clone());
        let mut outcomes = Vec::new();
        let decisions = evaluator.decide(&records).map_err(ExplainError::from)?;
        for (record, decision) in records.iter().zip(&decisions) {
            let steps = explainer.explain(record, decision)?.unwrap_or_default();
            outcomes.push(outcome(decision, &steps));
        }
        Ok(match outcomes.pop() {
            Some(only) if !case.is_list() => only,
            last => Yaml::Sequence(outcomes.into_iter().chain(last).collect()),
        })
    }
}
