//! The rules that a file has.

use std::collections::BTreeSet;

use event_pipeline::routing::IndexRoute;
use event_pipeline::rules::{DEFAULT_MAX_INDICES, MissingSalt, Rules, TopicRules};
use event_pipeline::salt::Salts;
use event_pipeline::transform::TransformCompiler;

use crate::node::{self, Value};
use crate::problem::PipelineFileError;
use crate::reader::{At, Problems};
use crate::topic_rules;

/// The rules of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineFile {
    /// The rules of topics: the first that matches a topic counts.
    pub topics: Vec<TopicRules>,
    /// Distinct indices of one routed rule in a batch, at most.
    pub max_indices: usize,
}

/// Reads the text of a file. `compiler` compiles its scripts.
///
/// # Errors
/// [`PipelineFileError`] with every problem of the file.
pub fn parse(text: &str, compiler: &dyn TransformCompiler) -> Result<PipelineFile, PipelineFileError> {
    let root = node::read(text).map_err(|problem| PipelineFileError { problems: vec![problem] })?;
    let mut problems = Problems::default();
    let mut file = PipelineFile { topics: Vec::new(), max_indices: DEFAULT_MAX_INDICES };
    // A file that is empty has no rules.
    if root.value != Value::Null {
        let [max_indices, topics] =
            problems.map(&At { node: &root, path: String::new() }, ["max_indices", "topics"]);
        if let Some(number) = max_indices.and_then(|at| max_indices_of(&at, &mut problems)) {
            file.max_indices = number;
        }
        file.topics = topics.map(|at| topics_of(&at, compiler, &mut problems)).unwrap_or_default();
    }
    if problems.0.is_empty() {
        return Ok(file);
    }
    problems.0.sort_by_key(|problem| (problem.line, problem.column));
    Err(PipelineFileError { problems: problems.0 })
}

/// Most indices that a rule can be given in a batch. Each costs the cluster shards every day.
const MOST_INDICES: f64 = 1000.0;

fn max_indices_of(at: &At<'_>, problems: &mut Problems) -> Option<usize> {
    let number = problems.number(at, "20")?;
    if !(1.0..=MOST_INDICES).contains(&number) || number.fract() != 0.0 {
        problems.add(
            at,
            format!("`{number}` is no whole number from 1 to {MOST_INDICES}"),
            "write how many indices the records of a rule can go to, such as 20",
        );
        return None;
    }
    Some(number as usize)
}

fn topics_of(at: &At<'_>, compiler: &dyn TransformCompiler, problems: &mut Problems) -> Vec<TopicRules> {
    let mut topics: Vec<TopicRules> = Vec::new();
    for element in problems.list(at, "- match: \"payments.*\"") {
        let Some(rules) = topic_rules::read(&element, compiler, problems) else { continue };
        if let Some(earlier) = topics.iter().find(|earlier| earlier.pattern.covers(&rules.pattern)) {
            let what = format!(
                "no topic gets to `{}`: `{}` before it matches them all",
                rules.pattern, earlier.pattern
            );
            problems.add(&element, what, "move this rule before that one, or remove it");
        }
        topics.push(rules);
    }
    topics
}

impl PipelineFile {
    /// Patterns of the indices that routed rules can write to, such as `payments-*`, each once and in order. Those of the
    /// settings are not among them.
    pub fn index_patterns(&self) -> Vec<String> {
        let routes = self.topics.iter().filter_map(|rules| rules.index.as_ref());
        routes.map(IndexRoute::index_pattern).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Names of the secrets that have the salts, each once and in order.
    pub fn salts(&self) -> Vec<String> {
        let names = self.topics.iter().flat_map(|rules| &rules.hash).map(|field| field.salt.clone());
        names.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The rules, for [`event_pipeline::settings::Settings::rules`], with the salts that [`PipelineFile::salts`] names.
    ///
    /// # Errors
    /// [`MissingSalt`] when `salts` lacks one.
    pub fn rules(self, salts: &Salts) -> Result<Rules, MissingSalt> {
        Rules::new(self.topics, self.max_indices, salts)
    }
}
