//! How two documents differ, field by field.

use std::collections::BTreeMap;

use serde::Deserialize as _;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A field that is not the same in two documents. Arrays have no path of their own: `items.id` is the `id` of each element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldChange {
    /// Dotted name of the field.
    pub path: String,
    /// What it was; `None` if it was not there.
    pub before: Option<String>,
    /// What it is; `None` if it is not there.
    pub after: Option<String>,
}

/// What happened to a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It has another value.
    Changed,
}

impl FieldChange {
    /// What happened to the field.
    pub fn kind(&self) -> ChangeKind {
        match (&self.before, &self.after) {
            (None, _) => ChangeKind::Added,
            (Some(_), None) => ChangeKind::Removed,
            (Some(_), Some(_)) => ChangeKind::Changed,
        }
    }
}

/// The fields of a document: path, and JSON of its values in their order, numbers as they are written.
pub type Fields = BTreeMap<String, Vec<String>>;

/// Reads the fields of a document.
///
/// # Errors
/// When it is not JSON.
pub fn fields(json: &str) -> Result<Fields, serde_json::Error> {
    let mut fields = Fields::new();
    collect(serde_json::from_str(json)?, &mut String::new(), &mut fields)?;
    Ok(fields)
}

/// The fields that differ, by their paths.
pub fn diff(before: &Fields, after: &Fields) -> Vec<FieldChange> {
    let joined = |values: &Vec<String>| values.join(", ");
    let removed_or_changed = before.iter().filter(|(path, values)| after.get(*path) != Some(values));
    let added = after.iter().filter(|(path, _)| !before.contains_key(*path));
    let mut changes: Vec<_> = removed_or_changed
        .chain(added)
        .map(|(path, _)| FieldChange {
            path: path.clone(),
            before: before.get(path).map(joined),
            after: after.get(path).map(joined),
        })
        .collect();
    changes.sort_by(|one, other| one.path.cmp(&other.path));
    changes
}

/// An object's members as they stand. Of a name that is there twice both are kept.
struct Members<'r>(Vec<(String, &'r RawValue)>);

struct MembersVisitor;

impl<'r> Visitor<'r> for MembersVisitor {
    type Value = Members<'r>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'r>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}

fn collect(value: &RawValue, path: &mut String, fields: &mut Fields) -> Result<(), serde_json::Error> {
    let text = value.get();
    match text.as_bytes().first() {
        Some(b'{') => {
            let Members(members) =
                serde_json::Deserializer::from_str(text).deserialize_map(MembersVisitor)?;
            if members.is_empty() {
                add(path, "{}", fields);
            }
            for (name, value) in members {
                let len = path.len();
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(&name);
                collect(value, path, fields)?;
                path.truncate(len);
            }
        }
        Some(b'[') => {
            let elements = Vec::<&RawValue>::deserialize(&mut serde_json::Deserializer::from_str(text))?;
            if elements.is_empty() {
                add(path, "[]", fields);
            }
            for element in elements {
                collect(element, path, fields)?;
            }
        }
        // The same text can be written with and without escapes.
        Some(b'"') => add(path, &serde_json::from_str::<serde_json::Value>(text)?.to_string(), fields),
        _ => add(path, text, fields),
    }
    Ok(())
}

fn add(path: &str, value: &str, fields: &mut Fields) {
    match fields.get_mut(path) {
        Some(values) => values.push(value.to_owned()),
        None => drop(fields.insert(path.to_owned(), vec![value.to_owned()])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(before: &str, after: &str) -> Vec<(String, Option<String>, Option<String>)> {
        let changes = diff(&fields(before).unwrap(), &fields(after).unwrap());
        changes.into_iter().map(|change| (change.path, change.before, change.after)).collect()
    }

    fn change(
        path: &str,
        before: Option<&str>,
        after: Option<&str>,
    ) -> (String, Option<String>, Option<String>) {
        (path.into(), before.map(Into::into), after.map(Into::into))
    }

    #[test]
    fn fields_are_compared_by_their_paths_through_arrays() {
        let before = r#"{"a":{"b":1,"c":"x"},"items":[{"id":1,"s":2},{"id":3}],"e":{},"z":null}"#;
        let after = r#"{"z":null,"items":[{"id":1},{"id":4}],"a":{"b":1},"e":[],"n":"\u00e9"}"#;
        let expected = [
            change("a.c", Some("\"x\""), None),
            change("e", Some("{}"), Some("[]")),
            change("items.id", Some("1, 3"), Some("1, 4")),
            change("items.s", Some("2"), None),
            change("n", None, Some("\"é\"")),
        ];
        assert_eq!(changes(before, after), expected);
        assert_eq!(changes(before, before), []);
    }

    #[test]
    fn a_number_that_lost_digits_has_changed_and_an_escape_has_not() {
        let number = change("n", Some("12345678901234567890123"), Some("1.2345678901234568e22"));
        assert_eq!(changes(r#"{"n":12345678901234567890123}"#, r#"{"n":1.2345678901234568e22}"#), [number]);
        assert_eq!(changes(r#"{"t":"\u0061\/"}"#, r#"{"t":"a/"}"#), []);
    }

    #[test]
    fn a_document_as_deep_as_any_is_compared() {
        let deep = format!("{}1{}", r#"{"a":"#.repeat(250), "}".repeat(250));
        assert_eq!(fields(&deep).unwrap().len(), 1);
    }
}
