//! Decides on records with the schemas that the registry gives.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use event_pipeline::decoder::KnownSchemas;
use event_pipeline::event::EventError;
use event_pipeline::settings::Settings;
use schema_registry::registry::Registry;
use tokio::time::Instant;

use crate::evaluate::{Decision, Evaluator};
use crate::record::Record;

/// How long the registry may take for the schemas of a batch.
const REGISTRY_TIME: Duration = Duration::from_secs(20);
/// Rounds of asking the registry: a record names the schema of its key and that of its value.
const REGISTRY_ROUNDS: usize = 3;

/// Decides as the function does, with its registry.
pub struct Decider {
    evaluator: Evaluator,
    registry: Option<Registry>,
    known: Option<Arc<KnownSchemas>>,
}

impl Decider {
    /// Makes one; `None` is a function without a registry.
    pub fn new(settings: Settings, registry: Option<Registry>) -> Self {
        let known = registry.is_some().then(Arc::default);
        Self { evaluator: Evaluator::new(settings, known.clone()), registry, known }
    }

    /// Decides on the records of one batch, in their order.
    ///
    /// # Errors
    /// When there are more records than any batch has.
    pub async fn decide(&mut self, batch: &[Record]) -> Result<Vec<Decision>, EventError> {
        let mut decisions = self.evaluator.decide(batch)?;
        let Some(registry) = &self.registry else { return Ok(decisions) };
        for _ in 0..REGISTRY_ROUNDS {
            let missing: BTreeSet<_> = decisions
                .iter()
                .filter_map(|decision| match decision {
                    Decision::NeedsSchema(ids) => Some(ids),
                    _ => None,
                })
                .flatten()
                .copied()
                .collect();
            if missing.is_empty() {
                break;
            }
            let known = registry.resolve(&missing, Instant::now() + REGISTRY_TIME).await.known;
            self.evaluator.set_schemas(Arc::clone(&known));
            self.known = Some(known);
            decisions = self.evaluator.decide(batch)?;
        }
        Ok(decisions)
    }

    /// What is known of the registry's schemas by now; `None` without a registry.
    pub fn known(&self) -> Option<&Arc<KnownSchemas>> {
        self.known.as_ref()
    }
}
