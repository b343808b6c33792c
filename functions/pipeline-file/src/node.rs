//! Reads YAML with the place of each value.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use crate::problem::Problem;

/// A place in the file: line and column, from 1 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) value: Value,
}

/// A value of YAML's core schema, <https://yaml.org/spec/1.2.2/#103-core-schema>.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Number(f64),
    Text {
        text: String,
        style: TextStyle,
    },
    List(Vec<Node>),
    /// Keys and values in the file's order. A key can come twice.
    Map(Vec<(Node, Node)>),
}

/// How a text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextStyle {
    Plain,
    Quoted,
    /// Behind a `|` or `>`: its first line is that line of the file, and each has this many spaces before it.
    Block {
        line: usize,
        indent: usize,
    },
}

/// Values that a file can have, those of aliases each time. More is no file of rules.
const MAX_NODES: usize = 100_000;
/// Levels of lists and maps. Rules have five.
const MAX_DEPTH: usize = 20;

/// Reads the one document of a file; null where it is empty.
///
/// # Errors
/// The [`Problem`] that the text is not YAML.
pub(crate) fn read(text: &str) -> Result<Node, Problem> {
    let mut reader = Reader { parser: Parser::new_from_str(text), text, anchors: HashMap::new(), n_nodes: 0 };
    let mut root = None;
    loop {
        let (event, span) = reader.next()?;
        match event {
            Event::StreamEnd => break,
            Event::DocumentStart(_) if root.is_some() => {
                return Err(problem(span, "the file has a second document", "keep one, and no other `---`"));
            }
            Event::DocumentStart(_) | Event::StreamStart | Event::DocumentEnd | Event::Nothing => {}
            event => root = Some(reader.node(event, span, 0)?),
        }
    }
    Ok(root.unwrap_or(Node { place: Place { line: 1, column: 1 }, value: Value::Null }))
}

struct Reader<'t> {
    parser: Parser<'t, saphyr_parser::StrInput<'t>>,
    text: &'t str,
    /// Values that aliases can name.
    anchors: HashMap<usize, Node>,
    n_nodes: usize,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<(Event<'t>, Span), Problem> {
        match self.parser.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => {
                let place = error.marker();
                Err(Problem {
                    line: place.line(),
                    column: place.col() + 1,
                    path: String::new(),
                    what: format!("the file is not YAML: {}", error.info()),
                    fix: "look at the indentation and the quotes here and in the line before".into(),
                })
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    /// Reads the value that begins with `event`.
    fn node(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Node, Problem> {
        self.n_nodes += 1;
        if self.n_nodes > MAX_NODES || depth > MAX_DEPTH {
            return Err(problem(span, "the file has too many values or levels", "write fewer rules"));
        }
        let place = place(span);
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let value = match style {
                    ScalarStyle::Plain if tag.is_none() => plain(&text),
                    ScalarStyle::Plain => Value::Text { text: text.into_owned(), style: TextStyle::Plain },
                    ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => {
                        Value::Text { text: text.into_owned(), style: TextStyle::Quoted }
                    }
                    ScalarStyle::Literal | ScalarStyle::Folded => {
                        // The place is that of the first line that is not empty.
                        let n_empty = text.len() - text.trim_start_matches('\n').len();
                        let line = place.line.saturating_sub(n_empty);
                        let style = TextStyle::Block { line, indent: self.indent_of(place.line) };
                        Value::Text { text: text.into_owned(), style }
                    }
                };
                (value, anchor)
            }
            Event::SequenceStart(anchor, _) => {
                let mut elements = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break,
                        (event, span) => elements.push(self.node(event, span, depth + 1)?),
                    }
                }
                (Value::List(elements), anchor)
            }
            Event::MappingStart(anchor, _) => {
                let mut members = Vec::new();
                loop {
                    let key = match self.next()? {
                        (Event::MappingEnd, _) => break,
                        (event, span) => self.node(event, span, depth + 1)?,
                    };
                    let (event, span) = self.next()?;
                    members.push((key, self.node(event, span, depth + 1)?));
                }
                (Value::Map(members), anchor)
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor) else {
                    return Err(problem(
                        span,
                        "the alias names no anchor before it",
                        "write the value itself",
                    ));
                };
                self.n_nodes += size(node);
                return Ok(Node { place, value: node.value.clone() });
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::SequenceEnd
            | Event::MappingEnd => (Value::Null, 0),
        };
        let node = Node { place, value };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    /// Spaces before the text of a line.
    fn indent_of(&self, line: usize) -> usize {
        let text = self.text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
        text.len() - text.trim_start_matches(' ').len()
    }
}

fn size(node: &Node) -> usize {
    1 + match &node.value {
        Value::List(elements) => elements.iter().map(size).sum(),
        Value::Map(members) => members.iter().map(|(key, value)| size(key) + size(value)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text { .. } => 0,
    }
}

fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let is_number = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'))
        && text.contains(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E'));
    match text.parse() {
        Ok(number) if is_number => Value::Number(number),
        _ => Value::Text { text: text.to_owned(), style: TextStyle::Plain },
    }
}

fn place(span: Span) -> Place {
    Place { line: span.start.line(), column: span.start.col() + 1 }
}

fn problem(span: Span, what: &str, fix: &str) -> Problem {
    let Place { line, column } = place(span);
    Problem { line, column, path: String::new(), what: what.to_owned(), fix: fix.to_owned() }
}

impl Value {
    /// What the value is, with its article.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "true or false",
            Self::Number(_) => "a number",
            Self::Text { .. } => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_has_its_place() {
        let node = read("a: 1\nb:\n  - x\n  - c: 'y'\n").unwrap();
        let Value::Map(members) = node.value else { panic!("a map") };
        let (key, value) = &members[1];
        assert_eq!((key.place.line, key.place.column), (2, 1));
        let Value::List(elements) = &value.value else { panic!("a list") };
        assert_eq!((elements[1].place.line, elements[1].place.column), (4, 5));
    }

    #[test]
    fn the_lines_of_a_block_have_their_places() {
        let node = read("a: |\n\n    x\n    y\n").unwrap();
        let Value::Map(members) = node.value else { panic!("a map") };
        let text = Value::Text { text: "\nx\ny\n".into(), style: TextStyle::Block { line: 2, indent: 4 } };
        assert_eq!(members[0].1.value, text);
    }

    #[test]
    fn what_is_not_yaml_is_a_problem_and_not_a_panic() {
        for text in [
            "a: [",
            "a: b: c",
            "\"",
            "a: *x",
            "- &a [*a, *a]",
            "a\n---\nb",
            &"[".repeat(10_000),
            "\t\ta: 1\n b",
        ] {
            assert!(read(text).is_err(), "{text:.20}");
        }
        let bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\n".to_owned()
            + &(0..9)
                .map(|n| {
                    let name = |n: u8| char::from(b'a' + n);
                    let aliases = vec![format!("*{}", name(n)); 10].join(",");
                    format!("{}: &{} [{aliases}]\n", name(n + 1), name(n + 1))
                })
                .collect::<String>();
        assert!(read(&bomb).unwrap_err().what.contains("too many"));
        assert_eq!(read("# nothing\n").unwrap().value, Value::Null);
    }

    #[test]
    fn plain_values_have_the_types_of_the_core_schema() {
        for (text, kind) in [
            ("true", "true or false"),
            ("yes", "a text"),
            ("1", "a number"),
            ("-1.5e3", "a number"),
            (".5", "a number"),
            ("1.2.3", "a text"),
            ("'1'", "a text"),
            ("~", "nothing"),
            ("inf", "a text"),
            ("-", "a list"),
            ("!!str 1", "a text"),
            ("e1", "a text"),
            ("+", "a text"),
        ] {
            assert_eq!(read(text).unwrap().value.kind(), kind, "{text}");
        }
    }
}
