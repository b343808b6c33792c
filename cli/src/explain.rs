//! What each step of a topic's rules does to a record: the record is decided on with the first step, with the first two, and so
//! on, and what differs is what the step did.

use std::collections::BTreeMap;
use std::sync::Arc;

use event_pipeline::decoder::KnownSchemas;
use event_pipeline::event::EventError;
use event_pipeline::field_path::FieldPath;
use event_pipeline::routing::OVERFLOW;
use event_pipeline::rules::{Keep, MissingSalt, Rules, TopicRules};
use event_pipeline::salt::Salts;
use event_pipeline::settings::Settings;
use serde::Serialize;

use crate::document_diff::{ChangeKind, FieldChange, diff, fields};
use crate::evaluate::{Decision, Document, Evaluator};
use crate::record::Record;

/// What one step did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The step, as the file names it.
    pub step: &'static str,
    /// What it did, in words.
    pub did: String,
}

/// Explains decisions.
#[derive(Debug)]
pub struct Explainer {
    settings: Settings,
    salts: Salts,
    schemas: Option<Arc<KnownSchemas>>,
    /// Of each of the rules, by their position.
    stages: BTreeMap<usize, Vec<Stage>>,
}

/// The rules with all steps up to one.
#[derive(Debug)]
struct Stage {
    step: &'static str,
    /// Fields that the step names.
    paths: Vec<FieldPath>,
    evaluator: Evaluator,
}

impl Explainer {
    /// Makes one for `settings`, whose rules have `salts`.
    pub fn new(settings: Settings, salts: Salts, schemas: Option<Arc<KnownSchemas>>) -> Self {
        Self { settings, salts, schemas, stages: BTreeMap::new() }
    }

    /// Takes in what is known of a registry's schemas by now.
    pub fn set_schemas(&mut self, schemas: Arc<KnownSchemas>) {
        for stage in self.stages.values_mut().flatten() {
            stage.evaluator.set_schemas(Arc::clone(&schemas));
        }
        self.schemas = Some(schemas);
    }

    /// What the steps did to `record`, of which `decision` was made, in their order; `None` if its topic has no rules. The index is the
    /// last step where the rules give one.
    ///
    /// # Errors
    /// When the record can't be in a batch.
    pub fn explain(
        &mut self,
        record: &Record,
        decision: &Decision,
    ) -> Result<Option<Vec<Step>>, ExplainError> {
        let Some((position, rules)) = self.settings.rules.of(&record.topic) else { return Ok(None) };
        let rules = rules.clone();
        if !self.stages.contains_key(&position) {
            let stages = self.make_stages(&rules)?;
            self.stages.insert(position, stages);
        }
        let stages = self.stages.get_mut(&position).map(Vec::as_mut_slice).unwrap_or_default();
        let mut steps = Vec::new();
        let mut before: Option<Decision> = None;
        for stage in stages {
            let Some(after) = stage.evaluator.decide(std::slice::from_ref(record))?.pop() else { continue };
            match (before.take(), &after) {
                (None, _) => {}
                (Some(before), after) => {
                    let failure = stage.evaluator.last_failure().map(ToOwned::to_owned);
                    if let Some(did) = what_changed(stage, &before, after, failure.as_deref()) {
                        steps.push(Step { step: stage.step, did });
                    }
                }
            }
            let is_over = !matches!(after, Decision::Indexed(_));
            before = Some(after);
            if is_over {
                break;
            }
        }
        if let (Decision::Indexed(document), Some(_)) = (decision, &rules.index) {
            let is_beyond = document.tags().iter().any(|tag| tag == OVERFLOW);
            let why = if is_beyond { ", since the batch has max_indices others" } else { "" };
            steps.push(Step { step: "index", did: format!("{}{why}", document.index) });
        }
        Ok(Some(steps))
    }

    fn make_stages(&self, rules: &TopicRules) -> Result<Vec<Stage>, MissingSalt> {
        let mut made = Vec::new();
        let mut so_far = TopicRules {
            keep: Keep::All,
            parse_json: Vec::new(),
            remove: Vec::new(),
            hash: Vec::new(),
            transform: None,
            ..rules.clone()
        };
        self.push_stage(&mut made, "", Vec::new(), &so_far)?;
        // A record that is dropped is dropped first. Where it is kept, that is said and the others follow.
        match rules.keep {
            Keep::All => {}
            Keep::None => {
                self.push_stage(
                    &mut made,
                    "drop",
                    Vec::new(),
                    &TopicRules { keep: rules.keep, ..so_far.clone() },
                )?;
            }
            Keep::Sample(_) => {
                so_far.keep = rules.keep;
                self.push_stage(&mut made, "sample", Vec::new(), &so_far)?;
            }
        }
        if !rules.parse_json.is_empty() {
            so_far.parse_json.clone_from(&rules.parse_json);
            self.push_stage(&mut made, "parse_json", rules.parse_json.clone(), &so_far)?;
        }
        if !rules.remove.is_empty() {
            so_far.remove.clone_from(&rules.remove);
            self.push_stage(&mut made, "remove", rules.remove.clone(), &so_far)?;
        }
        if !rules.hash.is_empty() {
            so_far.hash.clone_from(&rules.hash);
            let paths = rules.hash.iter().map(|field| field.path.clone()).collect();
            self.push_stage(&mut made, "hash", paths, &so_far)?;
        }
        if rules.transform.is_some() {
            so_far.transform.clone_from(&rules.transform);
            self.push_stage(&mut made, "transform", Vec::new(), &so_far)?;
        }
        Ok(made)
    }

    fn push_stage(
        &self,
        stages: &mut Vec<Stage>,
        step: &'static str,
        paths: Vec<FieldPath>,
        rules: &TopicRules,
    ) -> Result<(), MissingSalt> {
        let rules = Rules::new(vec![rules.clone()], self.settings.rules.max_indices(), &self.salts)?;
        let settings = Settings { rules, ..self.settings.clone() };
        stages.push(Stage { step, paths, evaluator: Evaluator::new(settings, self.schemas.clone()) });
        Ok(())
    }
}

/// Why a decision can't be explained.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// The record can't be in a batch.
    #[error(transparent)]
    Event(#[from] EventError),
    /// A salt is missing.
    #[error(transparent)]
    Salt(#[from] MissingSalt),
}

fn what_changed(stage: &Stage, before: &Decision, after: &Decision, failure: Option<&str>) -> Option<String> {
    let (before, after) = match (before, after) {
        (_, Decision::Dropped) => return Some("drops the event".into()),
        (_, Decision::DeadLetter(_, error)) => return Some(format!("fails: {}", error.reason)),
        (Decision::Indexed(before), Decision::Indexed(after)) => (before, after),
        _ => return None,
    };
    if let Some(reason) = failure {
        return Some(format!("fails, and the event stays as it was: {reason}"));
    }
    if stage.step == "sample" {
        return Some("keeps the event".into());
    }
    let changes = changes(before, after);
    if stage.paths.is_empty() {
        return Some(of_transform(&changes));
    }
    let is_done =
        |path: &FieldPath| changes.iter().any(|change| is_at_or_around(&change.path, path.as_str()));
    let (done, absent): (Vec<_>, Vec<_>) = stage.paths.iter().partition(|path| is_done(path));
    let names =
        |paths: Vec<&FieldPath>| paths.into_iter().map(FieldPath::as_str).collect::<Vec<_>>().join(", ");
    let mut did = Vec::new();
    if !done.is_empty() {
        did.push(names(done));
    }
    if !absent.is_empty() {
        did.push(format!("nothing to do for {}", names(absent)));
    }
    Some(did.join("; "))
}

/// Whether the field `changed` is the one that `path` names, one in it, or one that it was in.
fn is_at_or_around(changed: &str, path: &str) -> bool {
    let below = |one: &str, other: &str| {
        one.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    // A member with the name of one of the document's own is below `original`.
    [changed, changed.strip_prefix("original.").unwrap_or(changed)]
        .iter()
        .any(|changed| below(changed, path) || below(path, changed))
}

fn of_transform(changes: &[FieldChange]) -> String {
    let mut did = Vec::new();
    for (kind, word) in
        [(ChangeKind::Added, "adds"), (ChangeKind::Removed, "removes"), (ChangeKind::Changed, "changes")]
    {
        let paths: Vec<_> = changes
            .iter()
            .filter(|change| change.kind() == kind)
            .map(|change| change.path.as_str())
            .collect();
        if !paths.is_empty() {
            did.push(format!("{word} {}", paths.join(", ")));
        }
    }
    if did.is_empty() { "changes nothing".into() } else { did.join("; ") }
}

/// What differs, without what only follows from that.
fn changes(before: &Document, after: &Document) -> Vec<FieldChange> {
    let (Ok(before), Ok(after)) = (fields(&before.json), fields(&after.json)) else { return Vec::new() };
    let mut changes = diff(&before, &after);
    changes.retain(|change| !matches!(change.path.as_str(), "tags" | "event_text"));
    changes
}
