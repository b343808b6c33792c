//! Reads values of the types that a key takes, and collects what is wrong with them.

use std::fmt::Display;

use crate::node::{Node, Place, Value};
use crate::problem::Problem;

/// Collects the problems of a file.
#[derive(Debug, Default)]
pub(crate) struct Problems(pub(crate) Vec<Problem>);

/// A value and the path to it: `topics[1].sample`.
#[derive(Debug, Clone)]
pub(crate) struct At<'n> {
    pub(crate) node: &'n Node,
    pub(crate) path: String,
}

impl<'n> At<'n> {
    fn below(&self, node: &'n Node, step: &str) -> Self {
        let dot = if self.path.is_empty() || step.starts_with('[') { "" } else { "." };
        Self { node, path: format!("{}{dot}{step}", self.path) }
    }
}

impl Problems {
    /// Notes a problem of the value at `at`.
    pub(crate) fn add(&mut self, at: &At<'_>, what: impl Display, fix: impl Display) {
        self.add_at(at.node.place, &at.path, what, fix);
    }

    /// Notes a problem at `place`.
    pub(crate) fn add_at(&mut self, place: Place, path: &str, what: impl Display, fix: impl Display) {
        let Place { line, column } = place;
        let problem =
            Problem { line, column, path: path.to_owned(), what: what.to_string(), fix: fix.to_string() };
        self.0.push(problem);
    }

    /// Notes a problem whose text says what is wrong, and behind its first colon what to do.
    pub(crate) fn add_text(&mut self, at: &At<'_>, text: impl Display, fix: &str) {
        let text = text.to_string();
        match text.split_once(": ") {
            Some((what, fix)) => self.add(at, what, fix),
            None => self.add(at, text, fix),
        }
    }

    /// The values of a map by their keys, of which there are `known` ones. Others are problems.
    pub(crate) fn map<'n, const N: usize>(&mut self, at: &At<'n>, known: [&str; N]) -> [Option<At<'n>>; N] {
        let mut found = [const { None }; N];
        let Value::Map(members) = &at.node.value else {
            let known = known.map(|key| format!("`{key}`")).join(", ");
            self.add(
                at,
                format!("this is {}", at.node.value.kind()),
                format!("write a map with keys of {known}"),
            );
            return found;
        };
        for (key, value) in members {
            let Value::Text { text, .. } = &key.value else {
                let what = format!("this key is {}", key.value.kind());
                self.add_at(key.place, &at.path, what, "write the name of a key");
                continue;
            };
            let value = at.below(value, text);
            match known.iter().position(|known| known == text).and_then(|place| found.get_mut(place)) {
                Some(slot @ None) => *slot = Some(value),
                Some(Some(_)) => {
                    self.add_at(key.place, &value.path, "this key comes a second time", "keep one of them");
                }
                None => {
                    self.add_at(
                        key.place,
                        &value.path,
                        format!("there is no key `{text}`"),
                        suggestion(text, &known),
                    );
                }
            }
        }
        found
    }

    /// The keys and values of a map with any keys.
    pub(crate) fn entries<'n>(&mut self, at: &At<'n>, example: &str) -> Vec<(&'n Node, String, At<'n>)> {
        let Value::Map(members) = &at.node.value else {
            self.wrong_type(at, &format!("write a map, such as `{example}`"));
            return Vec::new();
        };
        let mut entries: Vec<(&Node, String, At<'_>)> = Vec::new();
        for (key, value) in members {
            let Value::Text { text, .. } = &key.value else {
                let what = format!("this key is {}", key.value.kind());
                self.add_at(key.place, &at.path, what, "write it in quotes");
                continue;
            };
            if entries.iter().any(|(_, known, _)| known == text) {
                let path = at.below(value, text).path;
                self.add_at(key.place, &path, "this key comes a second time", "keep one of them");
                continue;
            }
            entries.push((key, text.clone(), at.below(value, text)));
        }
        entries
    }

    /// The elements of a list.
    pub(crate) fn list<'n>(&mut self, at: &At<'n>, example: &str) -> Vec<At<'n>> {
        let Value::List(elements) = &at.node.value else {
            self.wrong_type(at, &format!("write a list, such as `{example}`"));
            return Vec::new();
        };
        elements
            .iter()
            .enumerate()
            .map(|(number, element)| at.below(element, &format!("[{number}]")))
            .collect()
    }

    /// A text that is not empty.
    pub(crate) fn text<'n>(&mut self, at: &At<'n>) -> Option<&'n str> {
        match &at.node.value {
            Value::Text { text, .. } if text.trim().is_empty() => {
                self.add(at, "this is empty", "write a text");
                None
            }
            Value::Text { text, .. } => Some(text),
            Value::Bool(_) | Value::Number(_) => {
                self.wrong_type(at, "write it in quotes");
                None
            }
            Value::Null | Value::List(_) | Value::Map(_) => {
                self.wrong_type(at, "write a text");
                None
            }
        }
    }

    /// A list of texts.
    pub(crate) fn texts(&mut self, at: &At<'_>, example: &str) -> Vec<String> {
        let elements = self.list(at, example);
        elements.iter().filter_map(|element| self.text(element).map(str::to_owned)).collect()
    }

    pub(crate) fn number(&mut self, at: &At<'_>, example: &str) -> Option<f64> {
        match at.node.value {
            Value::Number(number) => Some(number),
            _ => {
                self.wrong_type(at, &format!("write a number, such as {example}"));
                None
            }
        }
    }

    pub(crate) fn bool(&mut self, at: &At<'_>) -> Option<bool> {
        match at.node.value {
            Value::Bool(value) => Some(value),
            _ => {
                self.wrong_type(at, "write `true` or `false`");
                None
            }
        }
    }

    /// One of the words that a key has.
    pub(crate) fn word<T: Copy>(&mut self, at: &At<'_>, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(at)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            self.add(at, format!("`{text}` is no value of this key"), suggestion(text, &known));
        }
        found
    }

    fn wrong_type(&mut self, at: &At<'_>, fix: &str) {
        self.add(at, format!("this is {}", at.node.value.kind()), fix);
    }
}

/// The known word that is most like `text`; all where none is.
fn suggestion(text: &str, known: &[&str]) -> String {
    let near = known.iter().map(|word| (strsim::damerau_levenshtein(&text.to_lowercase(), word), word));
    match near.min_by_key(|(distance, _)| *distance) {
        Some((distance, word)) if distance <= 1 + word.len() / 4 => format!("write `{word}`"),
        _ => {
            let known: Vec<_> = known.iter().map(|word| format!("`{word}`")).collect();
            format!("there are {}", known.join(", "))
        }
    }
}
