//! The same events as each format's serializers write them: Confluent's for Python, in an environment of the local stack.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tokio::process::Command;

/// The formats. The first is JSON in no frame, which needs no registry.
pub const FORMATS: [&str; 4] = ["json", "json-schema", "avro", "protobuf"];

/// The values of `n` events in each format, by the registry at `url`, where their schemas are registered. The n-th of each are the
/// same event.
///
/// # Errors
/// When the serializers fail.
pub async fn events(url: &str, n: usize) -> Result<BTreeMap<String, Vec<Vec<u8>>>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/live/serialize.py");
    let script = script.to_str().context("a path in UTF-8")?;
    let output = stack_py(&["run", "serializers", "--", "python", script, url, &n.to_string()]).await?;
    let base64: BTreeMap<String, Vec<String>> = serde_json::from_slice(&output)?;
    let decoded = base64.into_iter().map(|(format, values)| {
        let values = values.iter().map(|value| BASE64_STANDARD.decode(value)).collect::<Result<_, _>>()?;
        Ok((format, values))
    });
    decoded.collect()
}

/// Runs a command of `stack.py`; returns what it printed.
///
/// # Errors
/// When it fails.
pub async fn stack_py(arguments: &[&str]) -> Result<Vec<u8>> {
    let servers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../localstack/servers");
    let output = Command::new(servers.join("python.sh"))
        .arg(servers.join("stack.py"))
        .args(arguments)
        .output()
        .await?;
    ensure!(
        output.status.success(),
        "`stack.py {}`: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output.stdout)
}
