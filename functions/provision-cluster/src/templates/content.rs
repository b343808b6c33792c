//! The templates of each product and version. Elasticsearch before 7.8 has legacy templates only.

use search_client::engine::Engine;
use serde_json::{Map, Value, json};

use crate::files::{DEAD_LETTER_TEMPLATE, FileError, INDEX_TEMPLATE};
use crate::mapping_dialect;
use crate::product::Product;
use crate::settings::Settings;
use crate::values::{Codec, Replicas};

/// Codec of `auto` on OpenSearch: faster than `best_compression` and about as small. It needs the plugin
/// opensearch-custom-codecs, which the full distribution and Amazon OpenSearch Service have.
const BEST_OPENSEARCH_CODEC: &str = "zstd_no_dict";
/// Codec that every cluster has.
pub(super) const COMMON_CODEC: &str = "best_compression";
/// Order of the legacy templates. The same number as the priority in the files.
const LEGACY_ORDER: u32 = 200;

/// Note on the users' own component template.
pub(super) const CUSTOM_NOTE: &str =
    "yours to fill; it wins over the project's settings and mappings, and is never overwritten";

/// A template as it should be in the cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    /// Such as `index template microservices`.
    pub what: String,
    /// Path of its API.
    pub path: String,
    /// Its content.
    pub body: Value,
    pub(super) kind: TemplateKind,
}

impl Template {
    /// Whether it is composed of component templates.
    pub(super) fn is_composed(&self) -> bool {
        self.body.get("composed_of").is_some()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TemplateKind {
    Component,
    /// The users' own component template: created if it is missing, never changed.
    Custom,
    Index,
    Legacy,
}

/// Whether indices name their lifecycle policy in a setting, which only a cluster with ILM accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LifecycleSetting {
    /// `index.lifecycle.name`
    Named,
    /// The setting is left out.
    Absent,
}

/// Returns the codec to try first.
pub fn codec(product: Product, settings: &Settings) -> &str {
    match &settings.codec {
        Codec::Named(name) => name,
        Codec::Auto if product.engine == Engine::OpenSearch => BEST_OPENSEARCH_CODEC,
        Codec::Auto => COMMON_CODEC,
    }
}

/// Returns the templates in the order in which they are put.
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
    let dead_letters = &settings.dead_letter_prefix;
    let daily = TemplateParts::read(INDEX_TEMPLATE.json(settings)?, product);
    let daily = daily.with_settings(settings, codec, lifecycle, prefix);
    let daily = daily.with("number_of_shards", settings.shards.into());
    let daily = daily.with("refresh_interval", settings.refresh_interval.as_str().into());
    // Otherwise a refresh waits up to 10 s for merges of small segments, by default since 2.2, and documents are found so much later.
    // https://github.com/opensearch-project/OpenSearch/pull/3561
    let daily = if product.is_opensearch_from(2, 2) {
        daily.with("merge_on_flush.enabled", false.into())
    } else {
        daily
    };
    let dead = TemplateParts::read(DEAD_LETTER_TEMPLATE.json(settings)?, product);
    let dead = dead.with_settings(settings, codec, lifecycle, dead_letters);
    if product.engine == Engine::Elasticsearch && !product.is_elasticsearch_from(7, 8) {
        let of_dead_letters = vec![format!("{dead_letters}-*")];
        return Ok(vec![
            daily.legacy(prefix, settings.event_patterns()),
            dead.legacy(dead_letters, of_dead_letters),
        ]);
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
        kind: TemplateKind::Index,
    };
    let names = ["settings", "mappings", "custom"].map(|part| format!("{prefix}-{part}"));
    let [settings_name, mappings_name, custom_name] = &names;
    Ok(vec![
        component(settings_name, json!({"template": {"settings": daily.settings}}), TemplateKind::Component),
        component(mappings_name, json!({"template": {"mappings": daily.mappings}}), TemplateKind::Component),
        component(
            custom_name,
            json!({"template": {}, "_meta": {"description": CUSTOM_NOTE}}),
            TemplateKind::Custom,
        ),
        index(
            prefix,
            json!({
                "index_patterns": settings.event_patterns(), "priority": daily.priority, "composed_of": names,
                "_meta": daily.meta,
            }),
        ),
        index(
            dead_letters,
            json!({
                "index_patterns": [format!("{dead_letters}-*")], "priority": dead.priority, "_meta": dead.meta,
                "template": {"settings": dead.settings, "mappings": dead.mappings},
            }),
        ),
    ])
}

/// An index template in its parts.
struct TemplateParts {
    settings: Map<String, Value>,
    mappings: Value,
    priority: Value,
    meta: Value,
}

impl TemplateParts {
    fn read(mut template: Value, product: Product) -> Self {
        let mut take = |pointer: &str| template.pointer_mut(pointer).map(Value::take).unwrap_or_default();
        let settings = match take("/template/settings") {
            Value::Object(settings) => settings,
            _ => Map::new(),
        };
        let mut mappings = take("/template/mappings");
        mapping_dialect::translate(&mut mappings, product);
        Self { settings, mappings, priority: take("/priority"), meta: take("/_meta") }
    }

    fn with(mut self, name: &str, value: Value) -> Self {
        self.settings.insert(name.to_owned(), value);
        self
    }

    /// Adds the settings that both kinds of indices have.
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

    fn legacy(self, name: &str, patterns: Vec<String>) -> Template {
        Template {
            what: format!("legacy index template {name}"),
            path: format!("_template/{name}"),
            body: json!({
                "index_patterns": patterns, "order": LEGACY_ORDER, "settings": self.settings,
                "mappings": {"_doc": self.mappings},
            }),
            kind: TemplateKind::Legacy,
        }
    }
}

#[cfg(test)]
mod tests {
    use search_client::engine::Version;
    use testing::environment::lookup;

    use super::*;

    fn product(engine: Engine, version: &str) -> Product {
        Product { engine, version: Version::parse(version) }
    }

    fn templates_of(product: Product, pairs: &[(&str, &str)], lifecycle: LifecycleSetting) -> Vec<Template> {
        let settings = Settings::of_command_line(&lookup(pairs.iter().copied())).unwrap();
        templates(product, &settings, codec(product, &settings), lifecycle).unwrap()
    }

    #[test]
    fn opensearch_gets_component_templates_and_the_users_own_is_the_last() {
        let opensearch = product(Engine::OpenSearch, "3.4.0");
        let pairs =
            [("INDEX_PREFIX", "shop"), ("SHARDS", "3"), ("REPLICAS", "2"), ("REFRESH_INTERVAL", "30s")];
        let templates = templates_of(opensearch, &pairs, LifecycleSetting::Absent);
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
        assert_eq!(settings["merge_on_flush.enabled"], false);
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
    fn an_opensearch_without_merges_in_refreshes_is_not_told_to_leave_them_out() {
        for (version, expected) in [("1.3.20", None), ("2.1.0", None), ("2.2.0", Some(&json!(false)))] {
            let templates = templates_of(product(Engine::OpenSearch, version), &[], LifecycleSetting::Absent);
            let settings = &templates[0].body["template"]["settings"];
            assert_eq!(settings.get("merge_on_flush.enabled"), expected, "{version}");
        }
    }

    #[test]
    fn elasticsearch_gets_its_own_types_and_settings() {
        let current = templates_of(product(Engine::Elasticsearch, "8.19.21"), &[], LifecycleSetting::Named);
        let settings = &current[0].body["template"]["settings"];
        assert_eq!(settings["codec"], "best_compression");
        assert_eq!(settings["lifecycle.name"], "microservices");
        assert_eq!(settings.get("merge_on_flush.enabled"), None);
        assert_eq!(current[4].body["template"]["settings"]["lifecycle.name"], "dead-letters-microservices");
        let mappings = current[1].body.to_string();
        assert!(mappings.contains("flattened") && !mappings.contains("flat_object"));
        let before = templates_of(product(Engine::Elasticsearch, "8.13.4"), &[], LifecycleSetting::Absent);
        let settings = &before[0].body["template"]["settings"];
        assert_eq!(settings.get("lifecycle.name"), None);
    }

    #[test]
    fn an_old_elasticsearch_gets_legacy_templates() {
        let templates = templates_of(product(Engine::Elasticsearch, "6.8.23"), &[], LifecycleSetting::Named);
        let paths: Vec<_> = templates.iter().map(|template| template.path.as_str()).collect();
        assert_eq!(paths, ["_template/microservices", "_template/dead-letters-microservices"]);
        let body = &templates[0].body;
        assert_eq!(body["order"], 200);
        assert_eq!(
            body["mappings"]["_doc"]["properties"]["conflict"],
            json!({"type": "object", "enabled": false})
        );
    }
}
