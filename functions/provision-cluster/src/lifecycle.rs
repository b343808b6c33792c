//! Lifecycle: how long indices are kept, by ISM policies on OpenSearch and ILM policies on Elasticsearch. A changed policy
//! is applied to the indices that exist.

mod ilm;
mod indices;
mod ism;
pub mod policy;

use search_client::engine::Engine;

use crate::event_indices::IndexPattern;
use crate::product::Product;
use crate::report::{Outcome, Report};
use crate::run::Run;
use indices::{IndicesOutcome, MAX_NAMES_IN_PATH, find, in_path};
use policy::{Policy, PolicyChange, must_not_merge, policies};

/// Says what a cluster without the API lacks, and the fix.
fn missing_api(product: Product) -> &'static str {
    match product.engine {
        Engine::OpenSearch => {
            "this OpenSearch has no plugin opensearch-index-management, so indices are never deleted: install the plugin \
             and run this again, or delete old indices by hand"
        }
        Engine::Elasticsearch => {
            "this Elasticsearch has no index lifecycle management, so indices are never deleted: use a distribution that \
             has it and run this again, or delete old indices by hand"
        }
    }
}

/// Applies the policies, to the indices that exist as well.
pub async fn apply(run: &Run<'_>, report: &mut Report) {
    let policies = match policies(run.product, run.settings) {
        Ok(policies) => policies,
        Err(error) => return report.fail("lifecycle policies", error.into(), ""),
    };
    for policy in policies {
        let what = format!("lifecycle policy {}", policy.name);
        let applied = match run.product.engine {
            Engine::OpenSearch => ism::apply(run, &policy).await,
            Engine::Elasticsearch => ilm::apply(run, &policy).await,
        };
        match applied {
            Err(error) => report.fail(what, error, missing_api(run.product)),
            Ok(outcome) => {
                let would_apply = outcome == Outcome::WouldApply;
                let change =
                    if outcome == Outcome::Unchanged { PolicyChange::None } else { PolicyChange::ThisRun };
                let note = "indices are not merged: before Elasticsearch 8.9 that would make them read-only";
                let would_merge = policy.name == run.settings.index_prefix;
                let note = (would_merge && must_not_merge(run.product)).then(|| note.to_owned());
                report.add_with_note(what, outcome, note);
                // Indices can't be compared with a policy that does not exist yet.
                if !(would_apply && run.is_dry()) {
                    apply_to_indices(run, &policy, change, report).await;
                }
            }
        }
        if report.given_up() {
            return;
        }
    }
}

async fn apply_to_indices(run: &Run<'_>, policy: &Policy, change: PolicyChange, report: &mut Report) {
    let what = format!("lifecycle of the indices {}", texts(&policy.indices));
    let result = match run.product.engine {
        Engine::OpenSearch => ism::apply_to_indices(run, policy, change).await,
        Engine::Elasticsearch => ilm::apply_to_indices(run, policy).await,
    };
    match result {
        Ok(IndicesOutcome { outcome, note }) => report.add_with_note(what, outcome, note),
        Err(error) => report.fail(what, error, missing_api(run.product)),
    }
}

/// Deletes the policies. Their indices must be gone.
pub async fn delete(run: &Run<'_>, report: &mut Report) {
    for policy in policies(run.product, run.settings).unwrap_or_default() {
        let deleted = run.cluster.delete(&policy.path).await;
        report.record_deleted(format!("lifecycle policy {}", policy.name), deleted);
        if report.given_up() {
            return;
        }
    }
}

fn texts(patterns: &[IndexPattern]) -> String {
    patterns.iter().map(IndexPattern::text).collect::<Vec<_>>().join(", ")
}

/// Deletes the data: the indices of the events and the dead-letter indices.
pub async fn delete_indices(run: &Run<'_>, report: &mut Report) {
    let dead_letters = vec![IndexPattern::daily(&run.settings.dead_letter_prefix)];
    for patterns in [run.settings.event_indices(), dead_letters] {
        match find(&run.cluster, &patterns).await {
            Err(error) => report.fail(format!("indices {}", texts(&patterns)), error.into(), ""),
            Ok(found) => {
                let own: Vec<_> = found.own.iter().map(String::as_str).collect();
                for names in own.chunks(MAX_NAMES_IN_PATH) {
                    let path = format!("{}?ignore_unavailable=true", in_path(names));
                    let deleted = run.cluster.delete(&path).await;
                    report.record_deleted(format!("indices {}", names.join(", ")), deleted);
                }
            }
        }
        if report.given_up() {
            return;
        }
    }
}
