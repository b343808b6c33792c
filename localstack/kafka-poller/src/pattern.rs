//! EventBridge patterns, which match JSON documents.
//!
//! The operators are those of Lambda's event filtering:
//! <https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html#filtering-syntax>.

use serde_json::{Map, Value};

/// A pattern for an object: each field must match, and one of each `$or`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pattern {
    fields: Vec<(String, Node)>,
    alternatives: Vec<Vec<Pattern>>,
}

/// A pattern for a field.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// The field is an object that matches, or a list with an object that does.
    Nested(Pattern),
    /// The field's value, or one in its list, satisfies one of these.
    AnyOf(Vec<Test>),
}

/// A test of a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// The value is this one.
    Equals(Value),
    /// The text is this one, ignoring case.
    EqualsIgnoreCase(String),
    /// The text starts with this.
    Prefix(String),
    /// The text ends with this.
    Suffix(String),
    /// The value satisfies none of these.
    AnythingBut(Vec<Test>),
    /// The number satisfies all of these.
    Numeric(Vec<(Comparison, f64)>),
    /// Whether the field exists.
    Exists(bool),
}

/// How a number is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// Why a pattern can't be used.
#[derive(Debug, thiserror::Error)]
pub enum PatternError {
    /// It is not JSON.
    #[error("filter pattern is not JSON")]
    Json(#[from] serde_json::Error),
    /// It is not in the documented form.
    #[error("filter pattern: {at} must be {expected}")]
    Form {
        /// The field or operator.
        at: String,
        /// What it must be.
        expected: &'static str,
    },
    /// It has an operator that Lambda's filtering does not have.
    #[error("filter pattern: Lambda's event filtering has no operator `{operator}`")]
    Operator {
        /// As it is written.
        operator: String,
    },
}

impl Pattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// When it is not a pattern.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        match serde_json::from_str(text)? {
            Value::Object(fields) => Self::of(&fields),
            _ => Err(form("the pattern", "an object")),
        }
    }

    fn of(fields: &Map<String, Value>) -> Result<Self, PatternError> {
        let mut pattern = Self::default();
        for (name, value) in fields {
            match value {
                Value::Array(alternatives) if name == "$or" => {
                    let parse = |it: &Value| match it {
                        Value::Object(fields) => Self::of(fields),
                        _ => Err(form("$or", "a list of objects")),
                    };
                    pattern.alternatives.push(alternatives.iter().map(parse).collect::<Result<_, _>>()?);
                }
                Value::Array(tests) => {
                    let tests = tests.iter().map(Test::parse).collect::<Result<_, _>>()?;
                    pattern.fields.push((name.clone(), Node::AnyOf(tests)));
                }
                Value::Object(nested) => pattern.fields.push((name.clone(), Node::Nested(Self::of(nested)?))),
                _ => return Err(form(name, "an object or a list")),
            }
        }
        Ok(pattern)
    }

    /// Names of the fields that the pattern is about, also in its alternatives.
    pub(crate) fn names(&self) -> Vec<&str> {
        let own = self.fields.iter().map(|(name, _)| name.as_str());
        own.chain(self.alternatives.iter().flatten().flat_map(Self::names)).collect()
    }

    /// Whether an object matches.
    #[must_use]
    pub fn matches(&self, object: &Map<String, Value>) -> bool {
        self.matches_with(&mut |name, node| node.matches(object.get(name)))
    }

    /// Whether all fields match by `field`.
    pub(crate) fn matches_with(&self, field: &mut impl FnMut(&str, &Node) -> bool) -> bool {
        self.fields.iter().all(|(name, node)| field(name, node))
            && self
                .alternatives
                .iter()
                .all(|patterns| patterns.iter().any(|pattern| pattern.matches_with(field)))
    }
}

impl Node {
    /// Whether a field's value matches; `None` is a field that does not exist.
    #[must_use]
    pub fn matches(&self, value: Option<&Value>) -> bool {
        match self {
            Self::Nested(pattern) => match value {
                Some(Value::Object(object)) => pattern.matches(object),
                Some(Value::Array(items)) => {
                    items.iter().any(|item| item.as_object().is_some_and(|object| pattern.matches(object)))
                }
                // Below a value without fields, none exists.
                _ => pattern.matches(&Map::new()),
            },
            Self::AnyOf(tests) => tests.iter().any(|test| test.matches_field(value)),
        }
    }
}

impl Test {
    fn parse(value: &Value) -> Result<Self, PatternError> {
        let Value::Object(operator) = value else {
            return match value {
                Value::Array(_) => Err(form("a list of values", "without lists in it")),
                literal => Ok(Self::Equals(literal.clone())),
            };
        };
        let mut operators = operator.iter();
        let (Some((name, operand)), None) = (operators.next(), operators.next()) else {
            return Err(form("an operator", "the only one in its object"));
        };
        match (name.as_str(), operand) {
            ("prefix", operand) => Ok(Self::Prefix(text(name, operand)?)),
            ("suffix", operand) => Ok(Self::Suffix(text(name, operand)?)),
            ("equals-ignore-case", operand) => {
                Ok(Self::EqualsIgnoreCase(text(name, operand)?.to_lowercase()))
            }
            ("exists", Value::Bool(exists)) => Ok(Self::Exists(*exists)),
            ("exists", _) => Err(form(name, "true or false")),
            ("numeric", Value::Array(parts)) => Ok(Self::Numeric(comparisons(parts)?)),
            ("numeric", _) => Err(form(name, NUMERIC_FORM)),
            ("anything-but", Value::Array(items)) => {
                Ok(Self::AnythingBut(items.iter().map(Self::parse).collect::<Result<_, _>>()?))
            }
            ("anything-but", Value::Object(operator)) => Ok(Self::AnythingBut(excluded(operator)?)),
            ("anything-but", literal) => Ok(Self::AnythingBut(vec![Self::Equals(literal.clone())])),
            _ => Err(PatternError::Operator { operator: name.clone() }),
        }
    }

    fn matches_field(&self, value: Option<&Value>) -> bool {
        // Only leaves exist. A list stands for its elements.
        let leaves: &[Value] = match value {
            None | Some(Value::Object(_)) => &[],
            Some(Value::Array(items)) => items,
            Some(leaf) => std::slice::from_ref(leaf),
        };
        match self {
            Self::Exists(exists) => leaves.is_empty() != *exists,
            test => leaves.iter().any(|leaf| test.matches_leaf(leaf)),
        }
    }

    fn matches_leaf(&self, leaf: &Value) -> bool {
        let text = leaf.as_str();
        match self {
            Self::Equals(Value::Number(expected)) => expected.as_f64() == leaf.as_f64() && leaf.is_number(),
            Self::Equals(expected) => leaf == expected,
            Self::EqualsIgnoreCase(expected) => text.is_some_and(|text| text.to_lowercase() == *expected),
            Self::Prefix(prefix) => text.is_some_and(|text| text.starts_with(prefix)),
            Self::Suffix(suffix) => text.is_some_and(|text| text.ends_with(suffix)),
            Self::AnythingBut(excluded) => !excluded.iter().any(|test| test.matches_leaf(leaf)),
            Self::Numeric(comparisons) => {
                leaf.as_f64().is_some_and(|number| comparisons.iter().all(|(how, to)| how.holds(number, *to)))
            }
            Self::Exists(exists) => *exists,
        }
    }
}

impl Comparison {
    fn parse(sign: &str) -> Option<Self> {
        match sign {
            "=" => Some(Self::Equal),
            "<" => Some(Self::Less),
            "<=" => Some(Self::LessOrEqual),
            ">" => Some(Self::Greater),
            ">=" => Some(Self::GreaterOrEqual),
            _ => None,
        }
    }

    #[expect(clippy::float_cmp, reason = "`=` means the same number")]
    fn holds(self, number: f64, to: f64) -> bool {
        match self {
            Self::Equal => number == to,
            Self::Less => number < to,
            Self::LessOrEqual => number <= to,
            Self::Greater => number > to,
            Self::GreaterOrEqual => number >= to,
        }
    }
}

const NUMERIC_FORM: &str = "a list such as [\">\", 0, \"<=\", 5]";

fn comparisons(parts: &[Value]) -> Result<Vec<(Comparison, f64)>, PatternError> {
    let comparison = |pair: &[Value]| match pair {
        [Value::String(sign), Value::Number(number)] => Some((Comparison::parse(sign)?, number.as_f64()?)),
        _ => None,
    };
    let comparisons: Option<Vec<_>> = parts.chunks(2).map(comparison).collect();
    comparisons.filter(|it| !it.is_empty()).ok_or_else(|| form("numeric", NUMERIC_FORM))
}

/// Parses `{"prefix": "a"}` or `{"prefix": ["a", "b"]}` in `anything-but`.
fn excluded(operator: &Map<String, Value>) -> Result<Vec<Test>, PatternError> {
    let mut tests = Vec::new();
    for (name, operand) in operator {
        if !matches!(name.as_str(), "prefix" | "suffix" | "equals-ignore-case") {
            return Err(PatternError::Operator { operator: format!("anything-but {name}") });
        }
        let operands = match operand {
            Value::Array(operands) => operands.as_slice(),
            single => std::slice::from_ref(single),
        };
        for operand in operands {
            let single: Map<String, Value> = [(name.clone(), operand.clone())].into_iter().collect();
            tests.push(Test::parse(&Value::Object(single))?);
        }
    }
    Ok(tests)
}

fn text(operator: &str, operand: &Value) -> Result<String, PatternError> {
    operand.as_str().map(str::to_owned).ok_or_else(|| form(operator, "a string"))
}

fn form(at: &str, expected: &'static str) -> PatternError {
    PatternError::Form { at: at.to_owned(), expected }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(pattern: Value, matching: &[Value], others: &[Value]) {
        let parsed = Pattern::parse(&pattern.to_string()).unwrap();
        for value in matching {
            assert!(parsed.matches(value.as_object().unwrap()), "{pattern} should match {value}");
        }
        for value in others {
            assert!(!parsed.matches(value.as_object().unwrap()), "{pattern} should not match {value}");
        }
    }

    #[test]
    fn literals_are_compared_by_value_and_type() {
        check(
            json!({"a": ["x", 5, true, null]}),
            &[json!({"a": "x"}), json!({"a": 5.0}), json!({"a": true}), json!({"a": null})],
            &[json!({"a": "X"}), json!({"a": "5"}), json!({"a": false}), json!({})],
        );
        check(json!({"a": [""]}), &[json!({"a": ""})], &[json!({"a": null}), json!({})]);
    }

    #[test]
    fn all_fields_must_match_and_one_of_each_or() {
        check(
            json!({"a": [1], "b": {"c": [2]}}),
            &[json!({"a": 1, "b": {"c": 2, "d": 3}, "e": 0})],
            &[json!({"a": 1}), json!({"b": {"c": 2}}), json!({"a": 1, "b": 2})],
        );
        check(
            json!({"a": [1], "$or": [{"b": [2]}, {"c": {"d": [3]}}]}),
            &[json!({"a": 1, "b": 2}), json!({"a": 1, "c": {"d": 3}})],
            &[json!({"a": 1}), json!({"b": 2}), json!({"a": 2, "b": 2})],
        );
    }

    #[test]
    fn text_operators() {
        check(
            json!({"a": [{"prefix": "ord-"}]}),
            &[json!({"a": "ord-1"})],
            &[json!({"a": "Ord-1"}), json!({"a": 1})],
        );
        check(
            json!({"a": [{"suffix": ".png"}]}),
            &[json!({"a": "x.png"})],
            &[json!({"a": "png"}), json!({})],
        );
        check(
            json!({"a": [{"equals-ignore-case": "Alice"}]}),
            &[json!({"a": "aLICE"})],
            &[json!({"a": "Al"})],
        );
    }

    #[test]
    fn anything_but_matches_other_values_that_exist() {
        check(
            json!({"a": [{"anything-but": "x"}]}),
            &[json!({"a": "y"}), json!({"a": 1})],
            &[json!({"a": "x"}), json!({})],
        );
        check(
            json!({"a": [{"anything-but": ["x", 1]}]}),
            &[json!({"a": "y"}), json!({"a": 2})],
            &[json!({"a": "x"}), json!({"a": 1})],
        );
        check(
            json!({"a": [{"anything-but": {"prefix": ["x", "y"]}}]}),
            &[json!({"a": "z1"})],
            &[json!({"a": "x1"}), json!({"a": "y1"})],
        );
    }

    #[test]
    fn numeric_operators_hold_together() {
        check(
            json!({"a": [{"numeric": [">", 10, "<=", 20]}]}),
            &[json!({"a": 10.5}), json!({"a": 20})],
            &[json!({"a": 10}), json!({"a": 21}), json!({"a": "15"}), json!({})],
        );
        check(json!({"a": [{"numeric": ["=", 3]}]}), &[json!({"a": 3.0})], &[json!({"a": 4})]);
    }

    #[test]
    fn only_leaves_exist() {
        check(
            json!({"a": [{"exists": true}]}),
            &[json!({"a": null}), json!({"a": [1]})],
            &[json!({}), json!({"a": {"b": 1}}), json!({"a": []})],
        );
        check(
            json!({"a": {"b": [{"exists": false}]}}),
            &[json!({"a": {"c": 1}}), json!({}), json!({"a": 1})],
            &[json!({"a": {"b": 1}})],
        );
    }

    #[test]
    fn one_element_of_a_list_is_enough() {
        check(
            json!({"tags": ["a", {"prefix": "b"}]}),
            &[json!({"tags": ["x", "a"]}), json!({"tags": ["bc"]})],
            &[json!({"tags": ["x"]}), json!({"tags": []})],
        );
        check(
            json!({"items": {"sku": ["k"]}}),
            &[json!({"items": [{"sku": "j"}, {"sku": "k"}]})],
            &[json!({"items": [{"sku": "j"}]})],
        );
    }

    #[test]
    fn patterns_that_lambda_does_not_have_are_refused() {
        let error = |text: &str| Pattern::parse(text).unwrap_err().to_string();
        assert_eq!(error("x"), "filter pattern is not JSON");
        assert_eq!(error("[]"), "filter pattern: the pattern must be an object");
        assert_eq!(error(r#"{"a":1}"#), "filter pattern: a must be an object or a list");
        assert_eq!(
            error(r#"{"a":[{"numeric":["~",1]}]}"#),
            format!("filter pattern: numeric must be {NUMERIC_FORM}")
        );
        let operator = r#"{"a":[{"wildcard":"*"}]}"#;
        let expected = "filter pattern: Lambda's event filtering has no operator `wildcard`";
        assert_eq!(error(operator), expected);
    }
}
