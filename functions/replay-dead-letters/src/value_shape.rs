//! What the values of a field are made of: objects, strings, numbers.

use serde_json::Value;

/// What a value is made of, arrays aside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Objects.
    pub(crate) has_object: bool,
    /// Strings.
    pub(crate) has_string: bool,
    /// Numbers.
    pub(crate) has_number: bool,
    /// `true` and `false`.
    pub(crate) has_boolean: bool,
}

impl Shape {
    /// What the values are made of that `value` has under the dotted name `path`.
    pub(crate) fn at(value: &Value, path: &str) -> Self {
        let mut shape = Self::default();
        shape.add(value, Some(path));
        shape
    }

    /// Adds a value: itself, or what it has under a dotted name. No deeper than `serde_json` reads.
    fn add(&mut self, value: &Value, path: Option<&str>) {
        match (value, path) {
            (Value::Array(elements), _) => elements.iter().for_each(|element| self.add(element, path)),
            (Value::Object(members), Some(path)) => {
                for (name, value) in members {
                    match path.strip_prefix(name.as_str()) {
                        Some("") => self.add(value, None),
                        Some(rest) if rest.starts_with('.') => self.add(value, rest.get(1..)),
                        _ => {}
                    }
                }
            }
            (Value::Object(_), None) => self.has_object = true,
            (Value::String(_), None) => self.has_string = true,
            (Value::Number(_), None) => self.has_number = true,
            (Value::Bool(_), None) => self.has_boolean = true,
            _ => {}
        }
    }
}

/// How many names an object has, at every depth.
pub(crate) fn n_names(value: &Value) -> usize {
    match value {
        Value::Object(members) => members.values().map(|value| 1 + n_names(value)).sum(),
        Value::Array(elements) => elements.iter().map(n_names).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_found_under_dotted_names_and_in_arrays() {
        let value = json!({"a": {"b": [1, {"c": "x"}], "b.c": true}, "a.b": {"c": [[2]]}});
        let shape = |path| Shape::at(&value, path);
        let all = Shape { has_object: false, has_string: true, has_number: true, has_boolean: true };
        assert_eq!(shape("a.b.c"), all);
        assert_eq!(shape("a.b"), Shape { has_object: true, has_number: true, ..Shape::default() });
        assert_eq!(shape("b"), Shape::default());
    }

    #[test]
    fn names_are_counted_at_every_depth() {
        assert_eq!(n_names(&json!({"a": {"b": [1, {"c": "x"}]}, "d": 1})), 4);
    }
}
