//! Reads environment variables, so that every bad one is reported at once.

use std::fmt::Display;

use thiserror::Error;

/// Every problem of a configuration.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("the configuration is not valid:{}", .0.iter().map(|problem| format!("\n- {problem}")).collect::<String>())]
pub struct ConfigError(pub Vec<String>);

/// Looks variables up and gathers what is wrong with them.
pub struct Variables<'l> {
    lookup: &'l dyn Fn(&str) -> Option<String>,
    problems: Vec<String>,
}

impl<'l> Variables<'l> {
    /// Reads by `lookup`, which is `std::env::var(name).ok()` in a function and a table in a test.
    pub fn new(lookup: &'l dyn Fn(&str) -> Option<String>) -> Self {
        Self { lookup, problems: Vec::new() }
    }

    /// The variable's text; `None` when it is not set, or set to white space, as templates do to leave it out.
    pub fn text(&self, name: &str) -> Option<String> {
        (self.lookup)(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// The variable read by `parse`; `default` when it is not set, and when it is bad, which is noted.
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

    /// The variable as one of several words.
    pub fn one_of_or<T: Clone>(&mut self, name: &str, default: T, words: &[(&str, T)]) -> T {
        self.parse_or(name, default, |text| {
            let known = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
            known.map(|(_, value)| value.clone()).ok_or_else(|| {
                let words: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
                format!("`{text}` is not one of {}", words.join(", "))
            })
        })
    }

    /// The variable as a list, its elements apart by commas.
    pub fn list_or(&self, name: &str, default: Vec<String>) -> Vec<String> {
        let Some(text) = self.text(name) else { return default };
        text.split(',').map(str::trim).filter(|element| !element.is_empty()).map(str::to_owned).collect()
    }

    /// Notes a problem with a variable.
    pub fn problem(&mut self, name: &str, what: impl Display) {
        self.problems.push(format!("{name}: {what}"));
    }

    /// Returns `config` if nothing was wrong.
    pub fn finish<T>(self, config: Option<T>) -> Result<T, ConfigError> {
        match config {
            Some(config) if self.problems.is_empty() => Ok(config),
            _ => Err(ConfigError(self.problems)),
        }
    }
}
