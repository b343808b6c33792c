//! Index templates: component templates with settings and mappings, one for the users, the index template composed of
//! them, and the index template of the dead letters.

pub mod content;

use search_client::engine::Engine;
use serde_json::Value;

use crate::call_error::CallError;
use crate::cluster::Cluster;
use crate::compare::{flat_settings, matches};
use crate::mapping_dialect;
use crate::report::{Outcome, Report, StepError};
use crate::run::Run;
use crate::values::Codec;
use content::{COMMON_CODEC, CUSTOM_NOTE, LifecycleSetting, Template, TemplateKind, codec, templates};

/// Applies the templates.
pub async fn apply(run: &Run<'_>, report: &mut Report) {
    let lifecycle = match lifecycle_setting(run).await {
        Ok(lifecycle) => lifecycle,
        Err(error) => return report.fail("index templates", error.into(), ""),
    };
    let codec = codec(run.product, run.settings);
    match templates(run.product, run.settings, codec, lifecycle) {
        Err(error) => report.fail("index templates", error.into(), ""),
        Ok(templates) => {
            let mut codec = codec.to_owned();
            let mut has_components = true;
            for template in templates {
                // It would fail too if it is composed of a component that failed, and would add nothing to the report.
                if template.is_composed() && !has_components {
                    continue;
                }
                let is_component = matches!(template.kind, TemplateKind::Component | TemplateKind::Custom);
                let exists = apply_one(run, template, &mut codec, report).await;
                has_components &= exists || !is_component;
                if report.given_up() {
                    return;
                }
            }
        }
    }
}

/// Deletes the templates. Their indices must be gone.
pub async fn delete(run: &Run<'_>, report: &mut Report) {
    let templates =
        templates(run.product, run.settings, COMMON_CODEC, LifecycleSetting::Absent).unwrap_or_default();
    // An index template goes before the component templates that it is composed of.
    for template in templates.into_iter().rev() {
        let deleted = run.cluster.delete(&template.path).await;
        report.record_deleted(template.what, deleted);
        if report.given_up() {
            return;
        }
    }
}

async fn lifecycle_setting(run: &Run<'_>) -> Result<LifecycleSetting, CallError> {
    if run.product.engine == Engine::OpenSearch {
        return Ok(LifecycleSetting::Absent);
    }
    match run.cluster.get("_ilm/status").await {
        Ok(Some(_)) => Ok(LifecycleSetting::Named),
        Ok(None) | Err(CallError::MissingApi { .. }) => Ok(LifecycleSetting::Absent),
        Err(error) => Err(error),
    }
}

/// Applies one template. Returns whether the cluster has it now.
async fn apply_one(run: &Run<'_>, template: Template, codec: &mut String, report: &mut Report) -> bool {
    let Template { what, path, mut body, kind } = template;
    let has_codec = replace_codec(&mut body, codec);
    let mut result = put_if_different(run, &path, &body, kind).await;
    let may_fall_back = run.settings.codec == Codec::Auto && codec.as_str() != COMMON_CODEC && has_codec;
    if may_fall_back && is_worth_falling_back(&result, "codec") {
        replace_codec(&mut body, COMMON_CODEC);
        if fall_back(run, &path, &body, kind, &mut result).await {
            COMMON_CODEC.clone_into(codec);
        }
    }
    // Some distributions leave the module mapper-extras out, and with it this type.
    if is_worth_falling_back(&result, "match_only_text")
        && mapping_dialect::replace_match_only_text(&mut body)
    {
        fall_back(run, &path, &body, kind, &mut result).await;
    }
    match result.map_err(with_fix) {
        Ok(outcome) => {
            let note = match kind {
                TemplateKind::Custom => Some(CUSTOM_NOTE.to_owned()),
                TemplateKind::Component | TemplateKind::Legacy if has_codec => Some(format!("codec {codec}")),
                _ => None,
            };
            report.add_with_note(what, outcome, note);
            true
        }
        Err(error) => {
            report.fail(what, error, "the cluster has no such templates: use a newer one");
            false
        }
    }
}

/// Whether a fallback may replace `result`: the cluster refused `feature`, or a dry run could not try it.
fn is_worth_falling_back(result: &Result<Outcome, CallError>, feature: &str) -> bool {
    match result {
        Ok(outcome) => matches!(outcome, Outcome::WouldApply),
        Err(error) => error.refusal().is_some_and(|message| message.contains(feature)),
    }
}

/// Puts `body`, without the feature. Returns whether `result` is that of `body` now: in a dry run only where an earlier run
/// fell back to it.
async fn fall_back(
    run: &Run<'_>,
    path: &str,
    body: &Value,
    kind: TemplateKind,
    result: &mut Result<Outcome, CallError>,
) -> bool {
    let is_refused = result.is_err();
    let fallen_back = put_if_different(run, path, body, kind).await;
    let counts = is_refused || matches!(fallen_back, Ok(Outcome::Unchanged));
    if counts {
        *result = fallen_back;
    }
    counts
}

async fn put_if_different(
    run: &Run<'_>,
    path: &str,
    body: &Value,
    kind: TemplateKind,
) -> Result<Outcome, CallError> {
    let current = current(&run.cluster, path, kind).await?;
    let is_unchanged = match (&current, kind) {
        (None, _) => false,
        (Some(_), TemplateKind::Custom) => true,
        (Some(current), _) => is_same(current, body),
    };
    if is_unchanged {
        return Ok(Outcome::Unchanged);
    }
    if run.is_dry() {
        return Ok(Outcome::WouldApply);
    }
    run.cluster.put(path, body).await?;
    Ok(Outcome::Applied)
}

/// Adds the fix to an error that has a known one.
fn with_fix(error: CallError) -> StepError {
    let fix = match error.refusal() {
        Some(message) if message.contains("same priority") => {
            "another template has the same patterns: delete that one, or give it another priority"
        }
        Some(message) if message.contains("codec") => "set Codec to one that the cluster has, or to `auto`",
        _ => return error.into(),
    };
    StepError::Other(format!("{error}; {fix}"))
}

/// Gets the cluster's version of a template.
async fn current(cluster: &Cluster, path: &str, kind: TemplateKind) -> Result<Option<Value>, CallError> {
    let Some(response) = cluster.get(path).await? else { return Ok(None) };
    let template = match kind {
        TemplateKind::Component | TemplateKind::Custom => {
            response.pointer("/component_templates/0/component_template")
        }
        TemplateKind::Index => response.pointer("/index_templates/0/index_template"),
        TemplateKind::Legacy => response.as_object().and_then(|templates| templates.values().next()),
    };
    Ok(template.cloned())
}

fn is_same(actual: &Value, expected: &Value) -> bool {
    matches(&normalized(actual), &normalized(expected))
}

/// Returns a template with flat settings, and its mappings without the type that some versions put around them.
fn normalized(template: &Value) -> Value {
    let mut template = template.clone();
    normalize_part(&mut template);
    if let Some(inner) = template.get_mut("template") {
        normalize_part(inner);
    }
    template
}

fn normalize_part(part: &mut Value) {
    if let Some(settings) = part.get_mut("settings") {
        *settings = flat_settings(settings);
    }
    if let Some(mappings) = part.get_mut("mappings")
        && let Some(inner) = mappings.get_mut("_doc").map(Value::take)
    {
        *mappings = inner;
    }
}

/// Replaces the codec of a body. Returns whether it has one.
fn replace_codec(body: &mut Value, codec: &str) -> bool {
    let mut replaced = false;
    for pointer in ["/settings/codec", "/template/settings/codec"] {
        if let Some(current) = body.pointer_mut(pointer) {
            *current = codec.into();
            replaced = true;
        }
    }
    replaced
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_template_equals_what_the_cluster_returns_for_it() {
        let expected =
            json!({"template": {"settings": {"number_of_shards": 1, "mapping.ignore_malformed": true}}});
        let actual = json!({"template": {"settings": {"index": {"number_of_shards": "1",
            "mapping": {"ignore_malformed": "true"}}}}});
        assert!(is_same(&actual, &expected));
        let legacy =
            json!({"order": 200, "settings": {"number_of_shards": 1}, "mappings": {"_doc": {"a": 1}}});
        let actual = json!({"order": 200, "settings": {"index": {"number_of_shards": "1"}}, "aliases": {},
            "mappings": {"a": 1}});
        assert!(is_same(&actual, &legacy));
        assert!(!is_same(
            &json!({"template": {"settings": {"index": {"number_of_shards": "2"}}}}),
            &expected
        ));
    }
}
