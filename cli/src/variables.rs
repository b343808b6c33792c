//! The function's variables from a file: lines `NAME=value`, or the JSON that `aws lambda get-function-configuration` prints.

use std::collections::BTreeMap;

use serde::Deserialize;
use thiserror::Error;

/// Names and texts of variables.
pub type VariableTexts = BTreeMap<String, String>;

/// Whether a variable of the function says how to connect to the cluster, the registry or AWS. Whoever else reads its variables may
/// connect otherwise.
pub fn is_of_connections(name: &str) -> bool {
    ["SEARCH_", "SCHEMA_REGISTRY_", "AWS_"].iter().any(|start| name.starts_with(start))
}

/// Why a text holds no variables.
#[derive(Debug, Error)]
pub enum VariablesError {
    /// A line is none of the form.
    #[error("line {0} is not `NAME=value`")]
    Line(usize),
    /// The JSON has another shape.
    #[error(
        "the JSON is not an object of texts, or a function's configuration with `Environment.Variables`: {0}"
    )]
    Json(#[source] serde_json::Error),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Json {
    Configuration {
        #[serde(rename = "Environment")]
        environment: Environment,
    },
    Environment(Environment),
    Texts(VariableTexts),
}

#[derive(Deserialize)]
struct Environment {
    #[serde(rename = "Variables")]
    variables: VariableTexts,
}

/// Reads variables. In lines, `#` begins a comment line, `export` may come first, and quotes around a value are left out.
///
/// # Errors
/// [`VariablesError`]
pub fn parse(text: &str) -> Result<VariableTexts, VariablesError> {
    if text.trim_start().starts_with('{') {
        return Ok(match serde_json::from_str(text).map_err(VariablesError::Json)? {
            Json::Configuration { environment } | Json::Environment(environment) => environment.variables,
            Json::Texts(variables) => variables,
        });
    }
    let mut variables = VariableTexts::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) = line.split_once('=').ok_or(VariablesError::Line(number))?;
        let name = name.trim();
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(VariablesError::Line(number));
        }
        variables.insert(name.to_owned(), unquoted(value.trim()).to_owned());
    }
    Ok(variables)
}

fn unquoted(value: &str) -> &str {
    ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote)).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(pairs: &[(&str, &str)]) -> VariableTexts {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn lines_are_names_and_values() {
        let text = "# ours\n\nINDEX_PREFIX=events\nexport PLATFORM = \"shop = one\"\nTOPIC_SUFFIX=''\n";
        let expected = texts(&[("INDEX_PREFIX", "events"), ("PLATFORM", "shop = one"), ("TOPIC_SUFFIX", "")]);
        assert_eq!(parse(text).unwrap(), expected);
    }

    #[test]
    fn the_configuration_of_a_deployed_function_is_read() {
        let expected = texts(&[("A", "1")]);
        for text in [
            r#"{"A":"1"}"#,
            r#" {"Variables":{"A":"1"}}"#,
            r#"{"FunctionName":"f","Environment":{"Variables":{"A":"1"}}}"#,
        ] {
            assert_eq!(parse(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_neither_names_its_line() {
        assert_eq!(parse("A=1\nB").unwrap_err().to_string(), "line 2 is not `NAME=value`");
        assert_eq!(parse("a b=1").unwrap_err().to_string(), "line 1 is not `NAME=value`");
        assert!(parse(r#"{"A":1}"#).unwrap_err().to_string().starts_with("the JSON is not"));
    }
}
