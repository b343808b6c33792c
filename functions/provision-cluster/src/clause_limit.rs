//! The number of clauses that a query may have. A search without a field name has one for each field and word, so OpenSearch's
//! limit of 1,024 would fail searches for two words in an index with hundreds of fields.

use search_client::engine::Engine;
use serde_json::{Value, json};

use crate::call_error::CallError;
use crate::report::{Outcome, Report};
use crate::run::Run;

/// Enough for eight words in an index that has all the fields that the index template allows.
const CLAUSES: u64 = 8192;
/// Dynamic in OpenSearch from 2.16.
const SETTING: &str = "indices.query.bool.max_clause_count";
/// The API of the cluster's settings.
pub const PATH: &str = "_cluster/settings";
const WHAT: &str = "limit of clauses in a query";

/// Raises the limit if it is lower. Elasticsearch from 8.1 computes its own from the size of its heap,
/// <https://www.elastic.co/docs/reference/elasticsearch/configuration-reference/search-settings>.
pub async fn apply(run: &Run<'_>, report: &mut Report) {
    if run.product.is_elasticsearch_from(8, 1) {
        return;
    }
    match raise(run).await {
        Ok(outcome) => report.add(WHAT, outcome),
        Err(error @ (CallError::Refused { .. } | CallError::Forbidden { .. })) => {
            report.add(WHAT, Outcome::NotApplied(format!("{} ({error})", how_to_set(run.product.engine))));
        }
        Err(error) => report.fail(WHAT, error.into(), &how_to_set(run.product.engine)),
    }
}

/// How a person sets it where the API can't.
fn how_to_set(engine: Engine) -> String {
    let place = match engine {
        Engine::OpenSearch => {
            "in opensearch.yml, or as an advanced option of the domain on Amazon OpenSearch Service"
        }
        Engine::Elasticsearch => "in elasticsearch.yml",
    };
    format!(
        "searches without a field name fail in indices with hundreds of fields: set {SETTING} to {CLAUSES} {place}"
    )
}

async fn raise(run: &Run<'_>) -> Result<Outcome, CallError> {
    let path = format!("{PATH}?include_defaults=true&filter_path=**.max_clause_count");
    let settings = run.cluster.get(&path).await?.unwrap_or_default();
    if limit(&settings).is_some_and(|limit| limit >= CLAUSES) {
        return Ok(Outcome::Unchanged);
    }
    if run.is_dry() {
        return Ok(Outcome::WouldApply);
    }
    run.cluster.put(PATH, &body()).await?;
    Ok(Outcome::Applied)
}

/// The body of the request that sets the limit.
pub fn body() -> Value {
    json!({"persistent": {SETTING: CLAUSES}})
}

/// The limit in force.
fn limit(settings: &Value) -> Option<u64> {
    let of = |level: &str| settings.get(level)?.pointer("/indices/query/bool/max_clause_count");
    let value = of("transient").or_else(|| of("persistent")).or_else(|| of("defaults"))?;
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_in_force_is_the_one_of_the_strongest_level() {
        let level = |value: Value| json!({"indices": {"query": {"bool": {"max_clause_count": value}}}});
        assert_eq!(limit(&json!({"defaults": level(json!("1024"))})), Some(1024));
        let settings = json!({"persistent": level(json!("8192")), "defaults": level(json!("1024"))});
        assert_eq!(limit(&settings), Some(8192));
        let settings = json!({"transient": level(json!(9)), "persistent": level(json!("8192"))});
        assert_eq!(limit(&settings), Some(9));
        assert_eq!(limit(&json!({})), None);
    }
}
