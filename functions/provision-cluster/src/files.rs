//! The files of `infra/search`, compiled in, with their placeholders replaced.

use search_client::engine::Engine;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::role::Role;
use crate::settings::Settings;

macro_rules! file {
    ($path:literal) => {
        File { path: $path, text: include_str!(concat!("../../../infra/search/", $path)) }
    };
}

/// A file of `infra/search`.
#[derive(Debug, Clone, Copy)]
pub struct File {
    /// Its path below `infra/search`.
    pub path: &'static str,
    text: &'static str,
}

/// Why a file can't be used.
#[derive(Debug, Error)]
pub enum FileError {
    /// A placeholder has no value.
    #[error(
        "infra/search/{path} has the placeholder `${{{name}}}`, which has no value; those with one are {known}"
    )]
    Placeholder {
        /// The file.
        path: &'static str,
        /// The placeholder.
        name: String,
        /// The placeholders with values.
        known: String,
    },
    /// The file is not JSON.
    #[error("infra/search/{path}, line {line}, is not JSON: {source}")]
    Json {
        /// The file.
        path: &'static str,
        /// Line in the file.
        line: usize,
        /// The parser's error.
        source: serde_json::Error,
    },
}

/// Index template of the daily indices.
pub const INDEX_TEMPLATE: File = file!("index-template.json");
/// Index template of the dead letters.
pub const DEAD_LETTER_TEMPLATE: File = file!("dead-letter-template.json");

/// Lifecycle policies of the daily indices and of the dead letters.
pub fn lifecycle(engine: Engine) -> [File; 2] {
    match engine {
        Engine::OpenSearch => {
            [file!("lifecycle/opensearch-daily.json"), file!("lifecycle/opensearch-dead-letters.json")]
        }
        Engine::Elasticsearch => {
            [file!("lifecycle/elasticsearch-daily.json"), file!("lifecycle/elasticsearch-dead-letters.json")]
        }
    }
}

/// Permissions of a role.
pub fn role(engine: Engine, role: Role) -> File {
    match (engine, role) {
        (Engine::OpenSearch, Role::Writer) => file!("roles/opensearch-writer.json"),
        (Engine::OpenSearch, Role::Replayer) => file!("roles/opensearch-replayer.json"),
        (Engine::OpenSearch, Role::Reader) => file!("roles/opensearch-reader.json"),
        (Engine::Elasticsearch, Role::Writer) => file!("roles/elasticsearch-writer.json"),
        (Engine::Elasticsearch, Role::Replayer) => file!("roles/elasticsearch-replayer.json"),
        (Engine::Elasticsearch, Role::Reader) => file!("roles/elasticsearch-reader.json"),
    }
}

/// Monitors with their short names.
pub fn monitors(engine: Engine) -> [(&'static str, File); 4] {
    match engine {
        Engine::OpenSearch => [
            ("silent-service", file!("monitors/opensearch/silent-service.json")),
            ("error-ratio", file!("monitors/opensearch/error-ratio.json")),
            ("dead-letters", file!("monitors/opensearch/dead-letters.json")),
            ("ingestion-delay", file!("monitors/opensearch/ingestion-delay.json")),
        ],
        Engine::Elasticsearch => [
            ("silent-service", file!("monitors/elasticsearch/silent-service.json")),
            ("error-ratio", file!("monitors/elasticsearch/error-ratio.json")),
            ("dead-letters", file!("monitors/elasticsearch/dead-letters.json")),
            ("ingestion-delay", file!("monitors/elasticsearch/ingestion-delay.json")),
        ],
    }
}

/// Saved objects of Dashboards or Kibana.
pub fn dashboards(engine: Engine) -> File {
    match engine {
        Engine::OpenSearch => file!("dashboards/opensearch.ndjson"),
        Engine::Elasticsearch => file!("dashboards/kibana.ndjson"),
    }
}

impl File {
    /// Parses the file as JSON and replaces its placeholders.
    ///
    /// # Errors
    /// [`FileError`]
    pub fn json(&self, settings: &Settings) -> Result<Value, FileError> {
        self.parse(self.text, 1, settings)
    }

    /// Parses each line as JSON and replaces its placeholders.
    ///
    /// # Errors
    /// [`FileError`]
    pub fn lines(&self, settings: &Settings) -> Result<Vec<Value>, FileError> {
        let lines = self.text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        lines.map(|(n, line)| self.parse(line, n + 1, settings)).collect()
    }

    fn parse(&self, text: &str, line: usize, settings: &Settings) -> Result<Value, FileError> {
        let value = serde_json::from_str(text).map_err(|error| FileError::Json {
            path: self.path,
            line: line + error.line() - 1,
            source: error,
        })?;
        let values = values(settings);
        replace_all(value, &values).map_err(|UnknownPlaceholder(name)| FileError::Placeholder {
            path: self.path,
            name,
            known: values.map(|(name, _)| name).join(", "),
        })
    }
}

/// Value of a placeholder.
enum PlaceholderValue {
    Text(String),
    Number(u32),
    /// As an element of an array, as many elements as it has; elsewhere, its elements with commas.
    List(Vec<String>),
}

/// A placeholder without a value.
struct UnknownPlaceholder(String);

fn values(settings: &Settings) -> [(&'static str, PlaceholderValue); 7] {
    [
        ("INDEX_PREFIX", PlaceholderValue::Text(settings.index_prefix.clone())),
        ("EVENT_INDICES", PlaceholderValue::List(settings.event_patterns())),
        ("DEAD_LETTER_PREFIX", PlaceholderValue::Text(settings.dead_letter_prefix.clone())),
        ("RETENTION_DAYS", PlaceholderValue::Number(settings.retention_days)),
        ("DEAD_LETTER_RETENTION_DAYS", PlaceholderValue::Number(settings.dead_letter_retention_days)),
        ("FORCE_MERGE_AFTER_DAYS", PlaceholderValue::Number(settings.force_merge_after_days)),
        ("SILENCE_MINUTES", PlaceholderValue::Number(settings.silence_minutes)),
    ]
}

/// Replaces the placeholders in all names and texts. A text that is nothing but a number's placeholder becomes a number.
fn replace_all(value: Value, values: &[(&str, PlaceholderValue)]) -> Result<Value, UnknownPlaceholder> {
    Ok(match value {
        Value::String(text) => replace_in_text(&text, values)?,
        Value::Array(elements) => {
            let mut filled = Vec::with_capacity(elements.len());
            for element in elements {
                match list_of(&element, values) {
                    Some(list) => filled.extend(list.iter().map(|text| Value::from(text.as_str()))),
                    None => filled.push(replace_all(element, values)?),
                }
            }
            Value::Array(filled)
        }
        Value::Object(members) => {
            let mut filled = Map::new();
            for (name, value) in members {
                let name = match replace_in_text(&name, values)? {
                    Value::String(name) => name,
                    number => number.to_string(),
                };
                filled.insert(name, replace_all(value, values)?);
            }
            Value::Object(filled)
        }
        plain => plain,
    })
}

/// Returns the list that an element of an array stands for.
fn list_of<'v>(element: &Value, values: &'v [(&str, PlaceholderValue)]) -> Option<&'v [String]> {
    let name = element.as_str()?.strip_prefix("${")?.strip_suffix('}')?;
    values.iter().find_map(|(known, value)| match value {
        PlaceholderValue::List(list) if *known == name => Some(list.as_slice()),
        _ => None,
    })
}

fn replace_in_text(text: &str, values: &[(&str, PlaceholderValue)]) -> Result<Value, UnknownPlaceholder> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("${") {
        let Some((name, after)) = behind.split_once('}') else { break };
        let known = values.iter().find(|(known, _)| *known == name);
        filled.push_str(before);
        match known {
            Some((_, PlaceholderValue::Number(number)))
                if before.is_empty() && after.is_empty() && filled.is_empty() =>
            {
                return Ok((*number).into());
            }
            Some((_, PlaceholderValue::Number(number))) => filled.push_str(&number.to_string()),
            Some((_, PlaceholderValue::Text(value))) => filled.push_str(value),
            Some((_, PlaceholderValue::List(list))) => filled.push_str(&list.join(",")),
            None => return Err(UnknownPlaceholder(name.to_owned())),
        }
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use testing::environment::lookup;

    use super::*;
    use crate::event_indices::IndexPattern;

    pub(crate) fn settings(pairs: &[(&str, &str)]) -> Settings {
        Settings::of_command_line(&lookup(pairs.iter().copied())).unwrap()
    }

    #[test]
    fn placeholders_are_replaced_and_a_whole_number_stays_a_number() {
        let settings =
            settings(&[("INDEX_PREFIX", "shop"), ("RETENTION_DAYS", "7"), ("SILENCE_MINUTES", "20")]);
        let file = File {
            path: "x.json",
            text: r#"{"${INDEX_PREFIX}-a": ["${RETENTION_DAYS}d", "${SILENCE_MINUTES}", "in ${INDEX_PREFIX}: ${SILENCE_MINUTES}", "$x {{a}} ${"]}"#,
        };
        assert_eq!(
            file.json(&settings).unwrap(),
            json!({"shop-a": ["7d", 20, "in shop: 20", "$x {{a}} ${"]})
        );
    }

    #[test]
    fn a_list_is_as_many_elements_of_an_array_and_one_text_with_commas_elsewhere() {
        let mut settings = settings(&[("INDEX_PREFIX", "shop")]);
        settings.routed_indices = vec![IndexPattern::routed("payments-*").unwrap()];
        let file = File {
            path: "x.json",
            text: r#"{"names": ["${EVENT_INDICES}", "${DEAD_LETTER_PREFIX}-*"], "title": "${EVENT_INDICES}"}"#,
        };
        assert_eq!(
            file.json(&settings).unwrap(),
            json!({"names": ["shop-*", "payments-*", "dead-letters-shop-*"], "title": "shop-*,payments-*"})
        );
    }

    #[test]
    fn an_error_names_the_file_and_the_placeholder_or_line() {
        let settings = settings(&[]);
        let error = File { path: "x.json", text: r#"{"a": "${RETENTION}"}"# }
            .json(&settings)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("infra/search/x.json has the placeholder `${RETENTION}`"), "{error}");
        assert!(error.contains("RETENTION_DAYS"), "{error}");
        let error = File { path: "x.ndjson", text: "{}\n\n{\n" }.lines(&settings).unwrap_err().to_string();
        assert!(error.starts_with("infra/search/x.ndjson, line 3, is not JSON"), "{error}");
    }

    #[test]
    fn every_file_is_json_with_known_placeholders_only() {
        let settings = settings(&[("INDEX_PREFIX", "shop")]);
        let mut files = vec![INDEX_TEMPLATE, DEAD_LETTER_TEMPLATE];
        for engine in [Engine::OpenSearch, Engine::Elasticsearch] {
            files.extend(lifecycle(engine));
            files.extend(Role::ALL.map(|each| role(engine, each)));
            files.extend(monitors(engine).map(|(_, file)| file));
            let objects = dashboards(engine).lines(&settings).unwrap();
            assert!(objects.len() > 5, "{engine}: too few saved objects");
        }
        for file in files {
            let text = file.json(&settings).unwrap().to_string();
            assert!(!text.contains("${"), "{}", file.path);
        }
    }

    #[test]
    fn the_name_of_every_monitor_starts_with_the_prefix() {
        let settings = settings(&[("INDEX_PREFIX", "shop")]);
        for (name, file) in monitors(Engine::OpenSearch) {
            let monitor = file.json(&settings).unwrap();
            let named = monitor["name"].as_str().unwrap();
            assert!(named.starts_with("shop: "), "{name}: {named}");
        }
    }
}
