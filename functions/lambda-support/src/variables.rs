//! Environment variables, read so that every bad one is reported at once.

use std::fmt::Display;

use thiserror::Error;

/// All problems of a configuration.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("the configuration is not valid:{}", .0.iter().map(|problem| format!("\n- {problem}")).collect::<String>())]
pub struct ConfigError(pub Vec<String>);

/// Returns the text of an environment variable.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Looks variables up and collects their problems.
pub struct Variables<'l> {
    lookup: &'l dyn Fn(&str) -> Option<String>,
    problems: Vec<String>,
}

impl<'l> Variables<'l> {
    /// Reads by `lookup`, which is [`variable`] in a function and a table in a test.
    pub fn new(lookup: &'l dyn Fn(&str) -> Option<String>) -> Self {
        Self { lookup, problems: Vec::new() }
    }

    /// Returns the variable's text; `None` if it is unset or blank. Templates leave a variable out by a blank value.
    pub fn text(&self, name: &str) -> Option<String> {
        (self.lookup)(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// Returns the variable as `parse` reads it; `default` if it is not set, or is bad, which is recorded as a problem.
    pub fn parse_or<T, E: Display>(
        &mut self,
        name: &str,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> T {
        let Some(text) = self.text(name) else { return default };
        match parse(&text) {
            Ok(value) => value,
            Err(error) => {
                self.problem(name, error);
                default
            }
        }
    }

    /// Returns the value that stands for the variable's text in `words`.
    pub fn one_of_or<T: Clone>(&mut self, name: &str, default: T, words: &[(&str, T)]) -> T {
        self.parse_or(name, default, |text| {
            let known = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
            known.map(|(_, value)| value.clone()).ok_or_else(|| {
                let words: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
                format!("`{text}` is not one of {}", words.join(", "))
            })
        })
    }

    /// Returns the variable as a comma-separated list.
    pub fn list_or(&self, name: &str, default: Vec<String>) -> Vec<String> {
        let Some(text) = self.text(name) else { return default };
        text.split(',').map(str::trim).filter(|element| !element.is_empty()).map(str::to_owned).collect()
    }

    /// Records a problem of a variable.
    pub fn problem(&mut self, name: &str, what: impl Display) {
        self.problems.push(format!("{name}: {what}"));
    }

    /// Returns `config` if no problem was recorded.
    ///
    /// # Errors
    /// [`ConfigError`] with every problem.
    pub fn finish<T>(self, config: Option<T>) -> Result<T, ConfigError> {
        match config {
            Some(config) if self.problems.is_empty() => Ok(config),
            _ => Err(ConfigError(self.problems)),
        }
    }
}
