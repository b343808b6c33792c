//! The monitors, as the files of `infra/search/monitors` define them.

use search_client::engine::Engine;
use serde_json::Value;

use crate::files::{self, FileError};
use crate::product::Product;
use crate::settings::Settings;

/// A monitor.
#[derive(Debug, Clone, PartialEq)]
pub struct Monitor {
    /// Its name on OpenSearch, its id on Elasticsearch. It is found by this.
    pub name: String,
    /// Its content.
    pub body: Value,
}

/// Returns the monitors.
///
/// # Errors
/// [`FileError`] when a file of `infra/search` can't be used.
pub fn monitors(product: Product, settings: &Settings) -> Result<Vec<Monitor>, FileError> {
    let monitors = files::monitors(product.engine).into_iter().map(|(short, file)| {
        let body = file.json(settings)?;
        let id = format!("{}-{short}", settings.index_prefix);
        let name = match product.engine {
            Engine::OpenSearch => body.get("name").and_then(Value::as_str).map_or(id, str::to_owned),
            Engine::Elasticsearch => id,
        };
        Ok(Monitor { name, body })
    });
    monitors.collect()
}
