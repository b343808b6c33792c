//! The daily indices that exist.

use serde_json::Value;

use crate::call_error::CallError;
use crate::cluster::Cluster;
use crate::report::Outcome;

/// Names of indices in one request: its path must stay below the 4 KiB that clusters accept.
pub(super) const MAX_NAMES_IN_PATH: usize = 25;

/// Outcome of applying a policy to the indices that exist.
pub(super) struct IndicesOutcome {
    pub(super) outcome: Outcome,
    pub(super) note: Option<String>,
}

/// Lists the indices `<prefix>-YYYY.MM.DD`, and no others that start alike.
pub(super) async fn daily_indices(cluster: &Cluster, prefix: &str) -> Result<Vec<String>, CallError> {
    let path = format!("{prefix}-*/_settings?filter_path=*.settings.index.uuid&expand_wildcards=all");
    let response = cluster.get(&path).await?;
    let names =
        response.as_ref().and_then(Value::as_object).into_iter().flatten().map(|(name, _)| name.clone());
    Ok(names.filter(|name| is_daily(name, prefix)).collect())
}

/// Whether a name is that of a daily index of the prefix.
pub(super) fn is_daily(name: &str, prefix: &str) -> bool {
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
    fn only_names_that_end_with_a_day_are_daily_indices() {
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
