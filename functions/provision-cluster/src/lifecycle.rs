//! Lifecycle: how long indices stay, as ISM policies on OpenSearch and ILM policies on Elasticsearch. A changed policy
//! reaches the indices that exist.

mod ilm;
mod ism;

use search_client::engine::Engine;
use serde_json::Value;

use crate::cluster::Cluster;
use crate::files::{FileError, lifecycle};
use crate::product::Product;
use crate::provision::Run;
use crate::refusal::CallError;
use crate::report::{Outcome, Report, StepError};
use crate::settings::Settings;

/// Names in one request, so that its path stays below the 4 KiB that clusters take.
const NAMES_IN_A_PATH: usize = 25;

/// A lifecycle policy and the indices that it is for.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Its name, which is the prefix of its indices too.
    pub name: String,
    /// Path of its API.
    pub path: String,
    /// Its content.
    pub body: Value,
}

/// The policies: of the daily indices, and of the dead letters.
///
/// # Errors
/// [`FileError`] when a file of `infra/search` can't be used.
pub fn policies(product: Product, settings: &Settings) -> Result<Vec<Policy>, FileError> {
    let api = match product.engine {
        Engine::OpenSearch => "_plugins/_ism/policies",
        Engine::Elasticsearch => "_ilm/policy",
    };
    let names = [&settings.index_prefix, &settings.dead_letter_prefix];
    let files = lifecycle(product.engine);
    let policies = files.iter().zip(names).map(|(file, name)| {
        let mut body = file.json(settings)?;
        if leaves_merging_out(product)
            && let Some(actions) =
                body.pointer_mut("/policy/phases/warm/actions").and_then(Value::as_object_mut)
        {
            actions.remove("forcemerge");
        }
        Ok(Policy { name: name.clone(), path: format!("{api}/{name}"), body })
    });
    policies.collect()
}

/// Before 8.9 ILM makes an index read-only to merge it, and leaves it so: late events would be refused for ever.
fn leaves_merging_out(product: Product) -> bool {
    product.engine == Engine::Elasticsearch && !product.is_elasticsearch_from(8, 9)
}

fn lacking(product: Product) -> &'static str {
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

/// Applies the policies, and to the indices that exist.
pub async fn apply(run: &Run<'_>, report: &mut Report) {
    let policies = match policies(run.product, run.settings) {
        Ok(policies) => policies,
        Err(error) => return report.fail("lifecycle policies", StepError::Other(error.to_string()), ""),
    };
    for policy in policies {
        let what = format!("lifecycle policy {}", policy.name);
        let applied = match run.product.engine {
            Engine::OpenSearch => ism::apply(run, &policy).await,
            Engine::Elasticsearch => ilm::apply(run, &policy).await,
        };
        match applied {
            Err(error) => report.fail(what, error, lacking(run.product)),
            Ok(outcome) => {
                let is_new = outcome == Outcome::WouldApply;
                let change = if outcome == Outcome::Unchanged { Change::None } else { Change::Now };
                let note = "indices are not merged: before Elasticsearch 8.9 that would make them read-only";
                let would_merge = policy.name == run.settings.index_prefix;
                let note = (would_merge && leaves_merging_out(run.product)).then(|| note.to_owned());
                report.add_with_note(what, outcome, note);
                // A policy that is not there yet can't be compared with what indices have.
                if !(is_new && run.is_dry()) {
                    apply_to_indices(run, &policy, change, report).await;
                }
            }
        }
        if report.given_up() {
            return;
        }
    }
}

/// Whether a policy changed in this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    None,
    Now,
}

async fn apply_to_indices(run: &Run<'_>, policy: &Policy, change: Change, report: &mut Report) {
    let what = format!("lifecycle of the indices {}-*", policy.name);
    let reached = match run.product.engine {
        Engine::OpenSearch => ism::reach_indices(run, policy, change).await,
        Engine::Elasticsearch => ilm::reach_indices(run, policy).await,
    };
    match reached {
        Ok(Reached { outcome, note }) => report.add_with_note(what, outcome, note),
        Err(error) => report.fail(what, error, lacking(run.product)),
    }
}

/// What became of the indices that exist.
struct Reached {
    outcome: Outcome,
    note: Option<String>,
}

/// Deletes the policies, after their indices.
pub async fn delete(run: &Run<'_>, report: &mut Report) {
    for policy in policies(run.product, run.settings).unwrap_or_default() {
        let deleted = run.cluster.delete(&policy.path).await;
        report.record_deleted(format!("lifecycle policy {}", policy.name), deleted);
        if report.given_up() {
            return;
        }
    }
}

/// Deletes the daily indices and those of the dead letters: the data.
pub async fn delete_indices(run: &Run<'_>, report: &mut Report) {
    for prefix in [&run.settings.index_prefix, &run.settings.dead_letter_prefix] {
        let what = format!("indices {prefix}-*");
        match daily_indices(&run.cluster, prefix).await {
            Err(error) => report.fail(what, error.into(), ""),
            Ok(names) => {
                for names in names.chunks(NAMES_IN_A_PATH) {
                    let path = format!("{}?ignore_unavailable=true", names.join(","));
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

/// The indices `<prefix>-YYYY.MM.DD` that exist, and no others that begin alike.
async fn daily_indices(cluster: &Cluster, prefix: &str) -> Result<Vec<String>, CallError> {
    let path = format!("{prefix}-*/_settings?filter_path=*.settings.index.uuid&expand_wildcards=all");
    let answer = cluster.get(&path).await?;
    let names =
        answer.as_ref().and_then(Value::as_object).into_iter().flatten().map(|(name, _)| name.clone());
    Ok(names.filter(|name| is_daily(name, prefix)).collect())
}

/// Whether a name is that of a daily index of the prefix.
fn is_daily(name: &str, prefix: &str) -> bool {
    let Some(day) = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('-')) else { return false };
    day.len() == 10
        && day.char_indices().all(|(position, letter)| match position {
            4 | 7 => letter == '.',
            _ => letter.is_ascii_digit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_elasticsearch_that_merging_makes_read_only_does_not_merge() {
        let settings = Settings::of_command_line(&|_| None).unwrap();
        for (version, merges) in [("6.8.23", false), ("8.8.2", false), ("8.9.0", true), ("9.1.0", true)] {
            let version = search_client::engine::Version::parse(version);
            let policies = policies(Product { engine: Engine::Elasticsearch, version }, &settings).unwrap();
            let warm = &policies[0].body["policy"]["phases"]["warm"]["actions"];
            assert_eq!(warm.get("forcemerge").is_some(), merges, "{version:?}");
            assert!(warm.get("set_priority").is_some());
        }
    }

    #[test]
    fn only_indices_named_by_a_day_are_ours() {
        assert!(is_daily("a-2026.11.24", "a"));
        for name in [
            "a-b-2026.11.24",
            "a-2026.11.24-old",
            "a-2026-11-24",
            "a-2026.11.2x",
            "b-2026.11.24",
            "a2026.11.24",
        ] {
            assert!(!is_daily(name, "a"), "{name}");
        }
    }
}
