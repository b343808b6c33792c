//! Compiles scripts, and reports every problem with its place and its fix.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;

use event_pipeline::transform::{ScriptProblem, SharedTransform, TransformCompiler};
use vrl::compiler::codes::ExprCode;
use vrl::compiler::state::{ExternalEnv, TypeState};
use vrl::compiler::{CompilationResult, CompileConfig, Function, Program, compile_with_external};
use vrl::diagnostic::{Diagnostic, Note};
use vrl::path::{OwnedSegment, OwnedTargetPath, PathPrefix};
use vrl::value::Kind;
use vrl::value::kind::Collection;

use crate::functions::{allowed, refusal};
use crate::metadata;
use crate::script_place::ScriptPlace;
use crate::transform::VrlTransform;

/// Compiles transforms that are written in VRL.
///
/// VRL's warnings are problems too: they are of code without effect, and a redaction whose result is assigned to nothing
/// would put into the index what it was written to keep out.
#[derive(Debug)]
pub struct VrlCompiler {
    /// Made when the first script is compiled: a function without transforms starts without them.
    functions: LazyLock<Vec<Box<dyn Function>>>,
}

impl VrlCompiler {
    /// A compiler that knows the functions which transforms may use.
    pub fn new() -> Self {
        Self { functions: LazyLock::new(allowed) }
    }

    fn program(&self, script: &str) -> Result<Program, Vec<ScriptProblem>> {
        let mut config = CompileConfig::default();
        config.set_read_only_path(OwnedTargetPath::metadata_root(), true);
        let external = ExternalEnv::new_with_kind(Kind::object(Collection::json()), metadata::kind());
        let CompilationResult { program, warnings, .. } =
            compile_with_external(script, &self.functions, &external, config)
                .map_err(|errors| problems(script, errors.iter()))?;
        let mut found = problems(script, warnings.iter());
        found.extend(unknown_metadata(script, &program));
        found.extend(no_object(script, &program));
        if found.is_empty() { Ok(program) } else { Err(found) }
    }
}

impl Default for VrlCompiler {
    fn default() -> Self {
        Self::new()
    }
}

impl TransformCompiler for VrlCompiler {
    fn compile(&self, script: &str) -> Result<SharedTransform, Vec<ScriptProblem>> {
        let program = catch_unwind(AssertUnwindSafe(|| self.program(script))).unwrap_or_else(|_| {
            Err(vec![problem_at(script, 0, "VRL panicked, which is a defect of VRL".to_owned())])
        })?;
        Ok(SharedTransform::new(VrlTransform::new(script, program)))
    }
}

fn problem_at(script: &str, offset: usize, message: String) -> ScriptProblem {
    let ScriptPlace { line, column } = ScriptPlace::of(script, offset);
    ScriptProblem { line, column, message }
}

fn problems<'a>(script: &str, diagnostics: impl Iterator<Item = &'a Diagnostic>) -> Vec<ScriptProblem> {
    let mut problems: Vec<_> = diagnostics.map(|diagnostic| problem(script, diagnostic)).collect();
    problems.sort_by_key(|problem| (problem.line, problem.column));
    problems.dedup();
    problems
}

/// VRL's message, and what its labels and notes say, in one line.
fn problem(script: &str, diagnostic: &Diagnostic) -> ScriptProblem {
    let label = diagnostic.labels.iter().find(|label| label.primary).or(diagnostic.labels.first());
    let span = label.map(|label| label.span).unwrap_or_default();
    if diagnostic.code == ExprCode::UndefinedFunction as usize
        && let Some(refused) = script.get(span.range()).and_then(refusal)
    {
        return problem_at(
            script,
            span.start(),
            format!("`{}` is refused: {}", refused.name, refused.reason),
        );
    }
    let labels = diagnostic.labels.iter().map(|label| label.message.clone());
    let notes = diagnostic.notes.iter().filter_map(help);
    let mut message = diagnostic.message.clone();
    for part in labels.chain(notes).filter(|part| *part != diagnostic.message) {
        message.push_str(if message.ends_with(':') {
            " "
        } else if message.len() == diagnostic.message.len() {
            ": "
        } else {
            "; "
        });
        message.push_str(&part);
    }
    let mut message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    if message.ends_with("unknown filter name") {
        message.push_str(KNOWN_FILTERS);
    }
    if message.contains("mutation of read-only value") {
        message.push_str(": metadata can be read, not written; assign to a field of the payload");
    }
    // The codes that VRL's site has pages of.
    if (100..=110).contains(&diagnostic.code) {
        message.push_str(&format!(" (https://errors.vrl.dev/{})", diagnostic.code));
    }
    problem_at(script, span.start(), message)
}

/// What VRL does not say of an unknown filter of `redact`.
const KNOWN_FILTERS: &str = ": a filter is a regular expression, for payment cards \
    r'\\b(?:\\d[ -]?){12,18}\\d\\b', or \"us_social_security_number\"";

/// What a note helps with; `None` for links to the documentation at large.
fn help(note: &Note) -> Option<String> {
    let links_only = matches!(
        note,
        Note::SeeErrorDocs
            | Note::SeeCodeDocs(_)
            | Note::SeeLangDocs
            | Note::SeeFunctionCharacteristicsDocs
            | Note::SeeRepl
    );
    let text = note.to_string();
    (!links_only && !text.trim().is_empty()).then_some(text)
}

/// Names of metadata that no record has, which VRL would read as null.
fn unknown_metadata(script: &str, program: &Program) -> Vec<ScriptProblem> {
    let known = metadata::names();
    let mut problems: Vec<_> = program
        .info()
        .target_queries
        .iter()
        .filter(|query| query.prefix == PathPrefix::Metadata)
        .filter_map(|query| match query.path.segments.first() {
            Some(OwnedSegment::Field(name)) if !known.iter().any(|known| known == name.as_str()) => {
                Some(name)
            }
            _ => None,
        })
        .map(|name| {
            let offset = script.find(&format!("%{name}")).unwrap_or_default();
            let list = known.iter().map(|name| format!("%{name}")).collect::<Vec<_>>().join(", ");
            problem_at(script, offset, format!("records have no metadata `%{name}`: there are {list}"))
        })
        .collect();
    problems.sort_by_key(|problem| (problem.line, problem.column));
    problems.dedup();
    problems
}

/// A script that leaves `.` as something that is no object, whatever the payload.
fn no_object(script: &str, program: &Program) -> Option<ScriptProblem> {
    let state: TypeState = program.final_type_info().state;
    let kind = state.external.target_kind();
    if kind.contains_object() || kind.is_never() {
        return None;
    }
    let offset = script
        .match_indices('.')
        .map(|(offset, _)| offset)
        .rfind(|offset| {
            let before = script.get(..*offset).unwrap_or_default();
            let after = script.get(offset + 1..).unwrap_or_default();
            !before.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | ')' | ']' | '"'))
                && after.trim_start_matches([' ', '\t']).starts_with(['=', '|'])
        })
        .unwrap_or_default();
    let message = format!(
        "`.` ends as {kind}, but a document is an object: assign an object to `.`, or the value to a field"
    );
    Some(problem_at(script, offset, message))
}
