//! The prefix of the index that a record's document goes to, made of the record.

use std::borrow::Cow;

use thiserror::Error;

use crate::field_path::{FieldPath, FieldPathError};
use crate::index::{IndexPrefix, MAX_PREFIX, has_bad_start, is_bad_character};

/// Tag of a document in the index that stands in for too many.
pub const OVERFLOW: &str = "_indexoverflow";

/// A prefix of daily indices with parts of the record in it: `payments-{payload.tenant|unknown}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexRoute {
    /// What the prefix of every record begins with.
    literal: String,
    /// The rest.
    parts: Vec<Part>,
}

/// A part of a route that a record gives, and the text behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    field: RouteField,
    /// What stands there where the record gives nothing.
    fallback: Option<String>,
    behind: String,
}

/// What gives a part of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteField {
    /// The topic.
    Topic,
    /// The topic without the configured suffix.
    Service,
    /// The header of this name; case does not matter, and the last of several counts.
    Header(String),
    /// The field of the payload.
    Payload(FieldPath),
}

/// Why a text is no route.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum IndexRouteError {
    /// It begins with no text of its own.
    #[error(
        "the index begins with no text of its own, which templates, roles and monitors need: begin with a name, such as \
         `events-{0}`"
    )]
    NoLiteral(String),
    /// What it begins with could begin the names of others too.
    #[error(
        "the index begins with `{0}` and a field, so that its pattern `{0}*` would match indices of others too, for which templates, \
         roles and retention are not meant: put a hyphen before the field, as in `{0}-{{…}}`"
    )]
    NoHyphen(String),
    /// A text in it can't be in the name of an index.
    #[error(
        "`{0}` can't be in the name of an index: use lower case, and none of spaces and , : \" * + / \\ | ? # > <"
    )]
    BadText(String),
    /// It can't be the beginning of an index's name.
    #[error("the name of an index must not begin with `{0}`: begin with a letter or a digit")]
    BadStart(char),
    /// A brace has no other one.
    #[error(
        "a brace is not closed: write `{{topic}}`, `{{service}}`, `{{header.NAME|fallback}}` or `{{payload.PATH|fallback}}`"
    )]
    Unclosed,
    /// A field is none that there is.
    #[error(
        "`{{{0}}}` is no field: there are `{{topic}}`, `{{service}}`, `{{header.NAME|fallback}}` and `{{payload.PATH|fallback}}`"
    )]
    UnknownField(String),
    /// The field is always there.
    #[error("`{{{0}}}` is always there: it has no fallback")]
    NoFallback(String),
    /// A path in it names no field.
    #[error(transparent)]
    Path(#[from] FieldPathError),
    /// Index names have at most 255 bytes, of which the day takes 11.
    #[error("the index is longer than {MAX_PREFIX} bytes even without what the record gives: shorten it")]
    TooLong,
}

impl IndexRoute {
    /// Reads a route. Without a `{…}` it is a prefix that all records have.
    ///
    /// # Errors
    /// [`IndexRouteError`]
    pub fn parse(text: &str) -> Result<Self, IndexRouteError> {
        let text = text.trim();
        let (literal, mut rest) = split_literal(text)?;
        if literal.is_empty() {
            return Err(IndexRouteError::NoLiteral(text.to_owned()));
        }
        if let Some(start) = has_bad_start(literal) {
            return Err(IndexRouteError::BadStart(start));
        }
        if !rest.is_empty() && !literal.ends_with('-') {
            return Err(IndexRouteError::NoHyphen(literal.to_owned()));
        }
        let mut route = Self { literal: literal.to_owned(), parts: Vec::new() };
        while let Some(inner) = rest.strip_prefix('{') {
            let (field, after) = inner.split_once('}').ok_or(IndexRouteError::Unclosed)?;
            let (behind, next) = split_literal(after)?;
            let (field, fallback) = parse_field(field)?;
            route.parts.push(Part { field, fallback, behind: behind.to_owned() });
            rest = next;
        }
        let fixed =
            route.parts.iter().map(|part| part.behind.len() + part.fallback.as_ref().map_or(0, String::len));
        if route.literal.len() + fixed.sum::<usize>() > MAX_PREFIX {
            return Err(IndexRouteError::TooLong);
        }
        Ok(route)
    }

    /// The pattern that all indices of the route match: `payments-*`.
    pub fn index_pattern(&self) -> String {
        if self.parts.is_empty() { format!("{}-*", self.literal) } else { format!("{}*", self.literal) }
    }

    /// Whether an index of this route can be one of those that begin with `prefix`.
    pub fn can_be_of(&self, prefix: &IndexPrefix) -> bool {
        let prefix = prefix.as_str();
        if self.parts.is_empty() {
            return is_of(&self.literal, prefix);
        }
        prefix.starts_with(&self.literal) || is_of(&self.literal, prefix)
    }

    /// Whether headers or the payload give a part of the prefix, so that there can be any number of prefixes.
    pub(crate) fn is_open(&self) -> bool {
        self.parts.iter().any(|part| matches!(part.field, RouteField::Header(_) | RouteField::Payload(_)))
    }

    /// The prefix of a record, of which `value` gives the fields. What it gives is made legal. `None` where there is neither a value
    /// nor a fallback, or where the prefix would be one of `reserved`'s.
    pub(crate) fn prefix<'v>(
        &self,
        reserved: &IndexPrefix,
        mut value: impl FnMut(&RouteField) -> Option<Cow<'v, str>>,
    ) -> Option<IndexPrefix> {
        let mut prefix = self.literal.clone();
        for Part { field, fallback, behind } in &self.parts {
            let start = prefix.len();
            if let Some(value) = value(field) {
                append_legal(&mut prefix, value.trim());
            }
            if prefix.len() == start {
                prefix.push_str(fallback.as_deref()?);
            }
            prefix.push_str(behind);
        }
        let mut end = prefix.len().min(MAX_PREFIX);
        while !prefix.is_char_boundary(end) {
            end -= 1;
        }
        prefix.truncate(end);
        if is_of(&prefix, reserved.as_str()) {
            return None;
        }
        // It is legal by now, whatever the record gave.
        IndexPrefix::parse(&prefix).ok()
    }
}

/// Whether indices of the prefix `name` match the patterns of `prefix`.
fn is_of(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// Splits off the text before the next field.
fn split_literal(text: &str) -> Result<(&str, &str), IndexRouteError> {
    let (literal, rest) = text.split_at(text.find('{').unwrap_or(text.len()));
    if literal.contains('}') {
        return Err(IndexRouteError::Unclosed);
    }
    if is_legal(literal) { Ok((literal, rest)) } else { Err(IndexRouteError::BadText(literal.to_owned())) }
}

fn parse_field(text: &str) -> Result<(RouteField, Option<String>), IndexRouteError> {
    let (name, fallback) = match text.split_once('|') {
        Some((name, fallback)) => (name.trim(), Some(fallback.trim())),
        None => (text.trim(), None),
    };
    let field = match name.split_once('.') {
        Some(("header", header)) if !header.is_empty() => RouteField::Header(header.to_owned()),
        Some(("payload", path)) => RouteField::Payload(FieldPath::parse(path)?),
        None if name == "topic" => RouteField::Topic,
        None if name == "service" => RouteField::Service,
        _ => return Err(IndexRouteError::UnknownField(text.to_owned())),
    };
    match fallback {
        Some(_) if matches!(field, RouteField::Topic | RouteField::Service) => {
            Err(IndexRouteError::NoFallback(name.to_owned()))
        }
        Some(fallback) if fallback.is_empty() || !is_legal(fallback) || fallback.contains('{') => {
            Err(IndexRouteError::BadText(fallback.to_owned()))
        }
        fallback => Ok((field, fallback.map(str::to_owned))),
    }
}

fn is_legal(text: &str) -> bool {
    !text.contains(|c: char| is_bad_character(c) || c.is_uppercase())
}

/// Appends a value in lower case, with `-` for each character that an index's name can't have.
fn append_legal(prefix: &mut String, value: &str) {
    // Longer than any name: a value can have megabytes.
    for character in value.chars().take(MAX_PREFIX) {
        for lower in character.to_lowercase() {
            prefix.push(if is_bad_character(lower) || lower.is_uppercase() { '-' } else { lower });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prefix(route: &str, payload: Option<&str>) -> Option<String> {
        let dead_letters = IndexPrefix::parse("dead-letters").unwrap();
        let value = |field: &RouteField| match field {
            RouteField::Topic => Some("Order.events".into()),
            RouteField::Service => Some("Order".into()),
            RouteField::Header(name) => (name == "tenant").then(|| "ACME".into()),
            RouteField::Payload(_) => payload.map(Cow::from),
        };
        Some(IndexRoute::parse(route).unwrap().prefix(&dead_letters, value)?.as_str().to_owned())
    }

    #[test]
    fn a_prefix_is_made_of_the_fields_of_the_record() {
        for (route, expected) in [
            ("payments", "payments"),
            ("a-{topic}", "a-order.events"),
            ("a-{service}-{header.tenant|x}.b", "a-order-acme.b"),
            ("a-{header.other|x}{payload.p|y}", "a-xEUR"),
        ] {
            assert_eq!(prefix(route, Some("Eur")), Some(expected.replace("EUR", "eur")), "{route}");
        }
    }

    #[test]
    fn what_a_field_gives_is_made_legal() {
        let route = "p-{payload.a|unknown}";
        for (value, expected) in [
            ("A b/c", "p-a-b-c"),
            (r#"a,:"*+/\|?#><b"#, "p-a------------b"),
            ("  ", "p-unknown"),
            ("", "p-unknown"),
            ("../x", "p-..-x"),
            ("É\u{1d400}\u{0}", "p-é--"),
            ("_x", "p-_x"),
        ] {
            assert_eq!(prefix(route, Some(value)).as_deref(), Some(expected), "{value}");
        }
        assert_eq!(prefix(route, None).as_deref(), Some("p-unknown"));
        assert_eq!(prefix(route, Some(&"é".repeat(1000))).unwrap().len(), 244);
    }

    #[test]
    fn there_is_no_prefix_without_a_value_and_a_fallback() {
        assert_eq!(prefix("p-{payload.a}", None), None);
        assert_eq!(prefix("p-{payload.a}", Some("x")).as_deref(), Some("p-x"));
    }

    #[test]
    fn no_value_makes_an_index_of_dead_letters() {
        for (value, expected) in
            [("letters", None), ("letters-x", None), ("lettersx", Some("dead-lettersx")), ("Letters", None)]
        {
            assert_eq!(prefix("dead-{payload.a|x}", Some(value)).as_deref(), expected, "{value}");
        }
        let dead_letters = IndexPrefix::parse("dead-letters").unwrap();
        for (route, expected) in [
            ("dead-{topic}", true),
            ("dead-letters", true),
            ("dead-letters-x", true),
            ("dead", false),
            ("deaf-{topic}", false),
        ] {
            assert_eq!(IndexRoute::parse(route).unwrap().can_be_of(&dead_letters), expected, "{route}");
        }
    }

    #[test]
    fn the_pattern_is_that_of_the_text_before_the_first_field() {
        for (route, pattern) in [("p", "p-*"), ("p-{topic}", "p-*"), ("p-a-{topic}-b", "p-a-*")] {
            assert_eq!(IndexRoute::parse(route).unwrap().index_pattern(), pattern);
        }
    }

    #[test]
    fn what_is_no_route_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "begins with no text"),
            ("{topic}", "begin with a name, such as `events-{topic}`"),
            ("p{topic}", "put a hyphen before the field, as in `p-{…}`"),
            ("team-pay{topic}", "pattern `team-pay*` would match indices of others"),
            ("_p", "must not begin with `_`"),
            ("P", "`P` can't be in the name"),
            ("p {topic}", "`p ` can't be in the name"),
            ("p-{topic", "not closed"),
            ("p-topic}", "not closed"),
            ("p-{tenant}", "`{tenant}` is no field"),
            ("p-{header.}", "`{header.}` is no field"),
            ("p-{payload.a..b|x}", "empty part"),
            ("p-{payload.a|X}", "`X` can't be"),
            ("p-{payload.a|}", "`` can't be"),
            ("p-{topic|x}", "always there"),
            (&"p".repeat(245), "longer than 244"),
        ] {
            let error = IndexRoute::parse(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_value_gives_a_legal_prefix(value in any::<String>(), end in "[a-z|]{0,3}") {
            let route = format!("p-{{payload.a|x}}{}", end.replace('|', ""));
            let made = prefix(&route, Some(&value)).unwrap();
            prop_assert!(made.starts_with("p-"));
            prop_assert_eq!(IndexPrefix::parse(&made).map(|prefix| prefix.as_str().to_owned()), Ok(made));
        }
    }
}
