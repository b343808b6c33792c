//! Index templates: component templates of settings and mappings, one that is the users' own, the index template that
//! is composed of them, and that of the dead letters. Elasticsearch before 7.8 has legacy templates alone.

use search_client::engine::Engine;
use serde_json::{Map, Value, json};

use crate::cluster::Cluster;
use crate::compare::{flat_settings, holds};
use crate::files::{DEAD_LETTER_TEMPLATE, FileError, INDEX_TEMPLATE};
use crate::product::Product;
use crate::provision::Run;
use crate::refusal::CallError;
use crate::report::{Outcome, Report, StepError};
use crate::settings::{Codec, Replicas, Settings};

/// Codec of `auto` on OpenSearch: faster than `best_compression` and about as small. It needs the plugin
/// opensearch-custom-codecs, which the full distribution and Amazon's service have.
const BEST_OPENSEARCH_CODEC: &str = "zstd_no_dict";
/// Codec that every cluster has.
const COMMON_CODEC: &str = "best_compression";
/// Order of the legacy templates, as the priority in the files.
const LEGACY_ORDER: u32 = 200;

const CUSTOM_NOTE: &str =
    "yours to fill; it wins over the project's settings and mappings, and is never overwritten";

/// A template and what it is to hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    /// Such as `index template microservices`.
    pub what: String,
    /// Path of its API.
    pub path: String,
    /// Its content.
    pub body: Value,
    kind: Kind,
}

impl Template {
    fn is_composed(&self) -> bool {
        self.body.get("composed_of").is_some()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Component,
    /// Made where it is missing, never changed.
    Custom,
    Index,
    Legacy,
}

/// Whether indices name their lifecycle policy in a setting, which only a cluster with ILM knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LifecycleSetting {
    /// `index.lifecycle.name`
    Named,
    /// None.
    Absent,
}

/// Applies the templates.
pub async fn apply(run: &Run<'_>, report: &mut Report) {
    let lifecycle = match lifecycle_setting(run).await {
        Ok(lifecycle) => lifecycle,
        Err(error) => return report.fail("index templates", error.into(), ""),
    };
    let codec = codec(run.product, run.settings);
    match templates(run.product, run.settings, codec, lifecycle) {
        Err(error) => report.fail("index templates", StepError::Other(error.to_string()), ""),
        Ok(templates) => {
            let mut codec = codec.to_owned();
            let mut has_components = true;
            for template in templates {
                // Composed of a component that failed, it would fail too, and tell no more than that.
                if template.is_composed() && !has_components {
                    continue;
                }
                let is_component = matches!(template.kind, Kind::Component | Kind::Custom);
                let is_there = apply_one(run, template, &mut codec, report).await;
                has_components &= is_there || !is_component;
                if report.given_up() {
                    return;
                }
            }
        }
    }
}

/// Deletes the templates, after the indices that need them.
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

/// The codec to begin with.
pub fn codec(product: Product, settings: &Settings) -> &str {
    match &settings.codec {
        Codec::Named(name) => name,
        Codec::Auto if product.engine == Engine::OpenSearch => BEST_OPENSEARCH_CODEC,
        Codec::Auto => COMMON_CODEC,
    }
}

async fn lifecycle_setting(run: &Run<'_>) -> Result<LifecycleSetting, CallError> {
    if run.product.engine == Engine::OpenSearch {
        return Ok(LifecycleSetting::Absent);
    }
    match run.cluster.get("_ilm/status").await {
        Ok(Some(_)) => Ok(LifecycleSetting::Named),
        Ok(None) | Err(CallError::Lacking { .. }) => Ok(LifecycleSetting::Absent),
        Err(error) => Err(error),
    }
}

/// Applies one template; whether it is there now.
async fn apply_one(run: &Run<'_>, template: Template, codec: &mut String, report: &mut Report) -> bool {
    let Template { what, path, mut body, kind } = template;
    let has_codec = replace_codec(&mut body, codec);
    let mut result = put_if_it_differs(run, &path, &body, kind).await;
    let may_fall_back = run.settings.codec == Codec::Auto && codec.as_str() != COMMON_CODEC && has_codec;
    let refused_codec = |error: &CallError| error.refusal().is_some_and(|said| said.contains("codec"));
    let is_refused = result.as_ref().is_err_and(refused_codec);
    // A dry run can't try the codec: what an earlier run fell back to is as good.
    let is_untried = matches!(result, Ok(Outcome::WouldApply));
    if may_fall_back && (is_refused || is_untried) {
        replace_codec(&mut body, COMMON_CODEC);
        let fallen_back = put_if_it_differs(run, &path, &body, kind).await;
        if is_refused || matches!(fallen_back, Ok(Outcome::Unchanged)) {
            COMMON_CODEC.clone_into(codec);
            result = fallen_back;
        }
    }
    match result.map_err(with_mend) {
        Ok(outcome) => {
            let note = match kind {
                Kind::Custom => Some(CUSTOM_NOTE.to_owned()),
                Kind::Component | Kind::Legacy if has_codec => Some(format!("codec {codec}")),
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

async fn put_if_it_differs(
    run: &Run<'_>,
    path: &str,
    body: &Value,
    kind: Kind,
) -> Result<Outcome, CallError> {
    let there = held(&run.cluster, path, kind).await?;
    let is_unchanged = match (&there, kind) {
        (None, _) => false,
        (Some(_), Kind::Custom) => true,
        (Some(there), _) => is_same(there, body),
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

/// Adds the mend where a refusal is known.
fn with_mend(error: CallError) -> StepError {
    let mend = match error.refusal() {
        Some(said) if said.contains("same priority") => {
            "another template has the same patterns: delete that one, or give it another priority"
        }
        Some(said) if said.contains("codec") => "set Codec to one that the cluster has, or to `auto`",
        _ => return error.into(),
    };
    StepError::Other(format!("{error}; {mend}"))
}

/// What the cluster holds under the path.
async fn held(cluster: &Cluster, path: &str, kind: Kind) -> Result<Option<Value>, CallError> {
    let Some(answer) = cluster.get(path).await? else { return Ok(None) };
    let held = match kind {
        Kind::Component | Kind::Custom => answer.pointer("/component_templates/0/component_template"),
        Kind::Index => answer.pointer("/index_templates/0/index_template"),
        Kind::Legacy => answer.as_object().and_then(|templates| templates.values().next()),
    };
    Ok(held.cloned())
}

fn is_same(theirs: &Value, ours: &Value) -> bool {
    holds(&normal(theirs), &normal(ours))
}

/// A template with flat settings, its mappings without the type that some versions put around them.
fn normal(template: &Value) -> Value {
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

/// Puts another codec into a body that has one; whether it has.
fn replace_codec(body: &mut Value, codec: &str) -> bool {
    let mut replaced = false;
    for pointer in ["/settings/codec", "/template/settings/codec"] {
        if let Some(held) = body.pointer_mut(pointer) {
            *held = codec.into();
            replaced = true;
        }
    }
    replaced
}

/// The templates in the order in which they are put.
///
/// # Errors
/// [`FileError`] when a file of `infra/search` can't be used.
pub fn templates(
    product: Product,
    settings: &Settings,
    codec: &str,
    lifecycle: LifecycleSetting,
) -> Result<Vec<Template>, FileError> {
    let prefix = &settings.index_prefix;
    let letters = &settings.dead_letter_prefix;
    let daily = Parts::read(INDEX_TEMPLATE.json(settings)?, product);
    let daily = daily.with_settings(settings, codec, lifecycle, prefix);
    let daily = daily.with("number_of_shards", settings.shards.into());
    let daily = daily.with("refresh_interval", settings.refresh_interval.as_str().into());
    let daily = if product.is_elasticsearch_from(8, 14) {
        daily.with("mapping.total_fields.ignore_dynamic_beyond_limit", true.into())
    } else {
        daily
    };
    let dead = Parts::read(DEAD_LETTER_TEMPLATE.json(settings)?, product);
    let dead = dead.with_settings(settings, codec, lifecycle, letters);
    if product.engine == Engine::Elasticsearch && !product.is_elasticsearch_from(7, 8) {
        return Ok(vec![daily.legacy(prefix), dead.legacy(letters)]);
    }
    let component = |name: &str, body: Value, kind| Template {
        what: format!("component template {name}"),
        path: format!("_component_template/{name}"),
        body,
        kind,
    };
    let index = |name: &str, body| Template {
        what: format!("index template {name}"),
        path: format!("_index_template/{name}"),
        body,
        kind: Kind::Index,
    };
    let names = ["settings", "mappings", "custom"].map(|part| format!("{prefix}-{part}"));
    let [settings_name, mappings_name, custom_name] = &names;
    Ok(vec![
        component(settings_name, json!({"template": {"settings": daily.settings}}), Kind::Component),
        component(mappings_name, json!({"template": {"mappings": daily.mappings}}), Kind::Component),
        component(custom_name, json!({"template": {}, "_meta": {"description": CUSTOM_NOTE}}), Kind::Custom),
        index(
            prefix,
            json!({
                "index_patterns": [format!("{prefix}-*")], "priority": daily.priority, "composed_of": names,
                "_meta": daily.meta,
            }),
        ),
        index(
            letters,
            json!({
                "index_patterns": [format!("{letters}-*")], "priority": dead.priority, "_meta": dead.meta,
                "template": {"settings": dead.settings, "mappings": dead.mappings},
            }),
        ),
    ])
}

/// An index template, taken apart.
struct Parts {
    settings: Map<String, Value>,
    mappings: Value,
    priority: Value,
    meta: Value,
}

impl Parts {
    fn read(mut template: Value, product: Product) -> Self {
        let mut take = |pointer: &str| template.pointer_mut(pointer).map(Value::take).unwrap_or_default();
        let settings = match take("/template/settings") {
            Value::Object(settings) => settings,
            _ => Map::new(),
        };
        let mut mappings = take("/template/mappings");
        if product.engine == Engine::Elasticsearch {
            replace_flat_objects(&mut mappings, product);
        }
        Self { settings, mappings, priority: take("/priority"), meta: take("/_meta") }
    }

    fn with(mut self, name: &str, value: Value) -> Self {
        self.settings.insert(name.to_owned(), value);
        self
    }

    /// The settings that both kinds of indices get.
    fn with_settings(
        mut self,
        settings: &Settings,
        codec: &str,
        lifecycle: LifecycleSetting,
        policy: &str,
    ) -> Self {
        self.settings.insert("codec".into(), codec.into());
        match settings.replicas {
            Replicas::Auto => self.settings.insert("auto_expand_replicas".into(), "0-1".into()),
            Replicas::Number(number) => {
                self.settings.remove("auto_expand_replicas");
                self.settings.insert("number_of_replicas".into(), number.into())
            }
        };
        if lifecycle == LifecycleSetting::Named {
            self.settings.insert("lifecycle.name".into(), policy.into());
        }
        self
    }

    fn legacy(self, name: &str) -> Template {
        Template {
            what: format!("legacy index template {name}"),
            path: format!("_template/{name}"),
            body: json!({
                "index_patterns": [format!("{name}-*")], "order": LEGACY_ORDER, "settings": self.settings,
                "mappings": {"_doc": self.mappings},
            }),
            kind: Kind::Legacy,
        }
    }
}

/// What OpenSearch calls `flat_object` is `flattened` in Elasticsearch from 7.3 on; before that it is only stored.
fn replace_flat_objects(value: &mut Value, product: Product) {
    match value {
        Value::Object(members) => {
            if members.get("type").and_then(Value::as_str) == Some("flat_object") {
                if product.is_elasticsearch_from(7, 3) {
                    members.insert("type".into(), "flattened".into());
                } else {
                    members.insert("type".into(), "object".into());
                    members.insert("enabled".into(), false.into());
                }
            }
            members.values_mut().for_each(|value| replace_flat_objects(value, product));
        }
        Value::Array(elements) => {
            elements.iter_mut().for_each(|element| replace_flat_objects(element, product));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use search_client::engine::Version;

    use super::*;

    fn product(engine: Engine, version: &str) -> Product {
        Product { engine, version: Version::parse(version) }
    }

    fn made(product: Product, pairs: &[(&str, &str)], lifecycle: LifecycleSetting) -> Vec<Template> {
        let settings = Settings::of_command_line(&|name| {
            pairs.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned())
        })
        .unwrap();
        templates(product, &settings, codec(product, &settings), lifecycle).unwrap()
    }

    #[test]
    fn opensearch_gets_components_and_the_users_own_last() {
        let opensearch = product(Engine::OpenSearch, "3.4.0");
        let pairs =
            [("INDEX_PREFIX", "shop"), ("SHARDS", "3"), ("REPLICAS", "2"), ("REFRESH_INTERVAL", "30s")];
        let templates = made(opensearch, &pairs, LifecycleSetting::Absent);
        let paths: Vec<_> = templates.iter().map(|template| template.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "_component_template/shop-settings",
                "_component_template/shop-mappings",
                "_component_template/shop-custom",
                "_index_template/shop",
                "_index_template/dead-letters-shop"
            ]
        );
        let settings = &templates[0].body["template"]["settings"];
        assert_eq!(settings["number_of_shards"], 3);
        assert_eq!(settings["number_of_replicas"], 2);
        assert_eq!(settings["auto_expand_replicas"], Value::Null);
        assert_eq!(settings["refresh_interval"], "30s");
        assert_eq!(settings["codec"], "zstd_no_dict");
        assert_eq!(settings["mapping.total_fields.ignore_dynamic_beyond_limit"], Value::Null);
        assert!(templates[1].body.to_string().contains("flat_object"));
        assert_eq!(templates[3].body["index_patterns"], json!(["shop-*"]));
        assert_eq!(
            templates[3].body["composed_of"],
            json!(["shop-settings", "shop-mappings", "shop-custom"])
        );
        assert_eq!(templates[3].body.get("template"), None);
        let dead = &templates[4].body;
        assert_eq!(dead["index_patterns"], json!(["dead-letters-shop-*"]));
        assert_eq!(dead["template"]["settings"]["number_of_replicas"], 2);
        assert_eq!(dead["template"]["settings"]["number_of_shards"], 1);
    }

    #[test]
    fn elasticsearch_gets_its_own_words() {
        let current = made(product(Engine::Elasticsearch, "8.19.21"), &[], LifecycleSetting::Named);
        let settings = &current[0].body["template"]["settings"];
        assert_eq!(settings["codec"], "best_compression");
        assert_eq!(settings["lifecycle.name"], "microservices");
        assert_eq!(settings["mapping.total_fields.ignore_dynamic_beyond_limit"], true);
        assert_eq!(current[4].body["template"]["settings"]["lifecycle.name"], "dead-letters-microservices");
        let mappings = current[1].body.to_string();
        assert!(mappings.contains("flattened") && !mappings.contains("flat_object"));
        let before = made(product(Engine::Elasticsearch, "8.13.4"), &[], LifecycleSetting::Absent);
        let settings = &before[0].body["template"]["settings"];
        assert_eq!(settings.get("mapping.total_fields.ignore_dynamic_beyond_limit"), None);
        assert_eq!(settings.get("lifecycle.name"), None);
    }

    #[test]
    fn an_old_elasticsearch_gets_legacy_templates() {
        let templates = made(product(Engine::Elasticsearch, "6.8.23"), &[], LifecycleSetting::Named);
        let paths: Vec<_> = templates.iter().map(|template| template.path.as_str()).collect();
        assert_eq!(paths, ["_template/microservices", "_template/dead-letters-microservices"]);
        let body = &templates[0].body;
        assert_eq!(body["order"], 200);
        assert_eq!(
            body["mappings"]["_doc"]["properties"]["original"],
            json!({"type": "object", "enabled": false})
        );
    }

    #[test]
    fn a_template_is_the_same_as_the_cluster_gives_it_back() {
        let ours =
            json!({"template": {"settings": {"number_of_shards": 1, "mapping.ignore_malformed": true}}});
        let theirs = json!({"template": {"settings": {"index": {"number_of_shards": "1",
            "mapping": {"ignore_malformed": "true"}}}}});
        assert!(is_same(&theirs, &ours));
        let legacy =
            json!({"order": 200, "settings": {"number_of_shards": 1}, "mappings": {"_doc": {"a": 1}}});
        let theirs = json!({"order": 200, "settings": {"index": {"number_of_shards": "1"}}, "aliases": {},
            "mappings": {"a": 1}});
        assert!(is_same(&theirs, &legacy));
        assert!(!is_same(&json!({"template": {"settings": {"index": {"number_of_shards": "2"}}}}), &ours));
    }
}
