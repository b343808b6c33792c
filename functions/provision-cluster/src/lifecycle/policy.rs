//! The lifecycle policies: of the daily indices, and of the dead letters.

use search_client::engine::Engine;
use serde_json::Value;

use crate::event_indices::IndexPattern;
use crate::files::{FileError, lifecycle};
use crate::product::Product;
use crate::settings::Settings;

/// A lifecycle policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Its name, which is also the prefix of its indices.
    pub name: String,
    /// Its indices.
    pub indices: Vec<IndexPattern>,
    /// Path of its API.
    pub path: String,
    /// Its content.
    pub body: Value,
}

/// Returns the policies of the daily indices and of the dead letters.
///
/// # Errors
/// [`FileError`] when a file of `infra/search` can't be used.
pub fn policies(product: Product, settings: &Settings) -> Result<Vec<Policy>, FileError> {
    let api = match product.engine {
        Engine::OpenSearch => "_plugins/_ism/policies",
        Engine::Elasticsearch => "_ilm/policy",
    };
    let dead_letters = &settings.dead_letter_prefix;
    let names = [
        (&settings.index_prefix, settings.event_indices()),
        (dead_letters, vec![IndexPattern::daily(dead_letters)]),
    ];
    let files = lifecycle(product.engine);
    let policies = files.iter().zip(names).map(|(file, (name, indices))| {
        let mut body = file.json(settings)?;
        if must_not_merge(product)
            && let Some(actions) =
                body.pointer_mut("/policy/phases/warm/actions").and_then(Value::as_object_mut)
        {
            actions.remove("forcemerge");
        }
        Ok(Policy { name: name.clone(), indices, path: format!("{api}/{name}"), body })
    });
    policies.collect()
}

/// Whether indices must not be merged: before 8.9 ILM makes an index read-only to merge it, and leaves it read-only, so that
/// late events would be rejected for ever.
pub(super) fn must_not_merge(product: Product) -> bool {
    product.engine == Engine::Elasticsearch && !product.is_elasticsearch_from(8, 9)
}

/// Whether this run changed a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PolicyChange {
    None,
    ThisRun,
}

#[cfg(test)]
mod tests {
    use search_client::engine::Version;

    use super::*;

    #[test]
    fn indices_are_merged_only_where_merging_does_not_make_them_read_only() {
        let settings = Settings::of_command_line(&|_| None).unwrap();
        for (version, merges) in [("6.8.23", false), ("8.8.2", false), ("8.9.0", true), ("9.1.0", true)] {
            let version = Version::parse(version);
            let policies = policies(Product { engine: Engine::Elasticsearch, version }, &settings).unwrap();
            let warm = &policies[0].body["policy"]["phases"]["warm"]["actions"];
            assert_eq!(warm.get("forcemerge").is_some(), merges, "{version:?}");
            assert!(warm.get("set_priority").is_some());
        }
    }
}
