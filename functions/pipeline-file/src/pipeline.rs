//! The rules that a file has.

use std::collections::BTreeSet;

use event_pipeline::routing::IndexRoute;
use event_pipeline::rules::{DEFAULT_MAX_INDICES, MissingSalt, Rules, TopicRules};
use event_pipeline::salt::Salts;
use event_pipeline::transform::TransformCompiler;

use crate::problem::PipelineFileError;

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
    let _ = (text, compiler);
    Ok(PipelineFile { topics: Vec::new(), max_indices: DEFAULT_MAX_INDICES })
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
