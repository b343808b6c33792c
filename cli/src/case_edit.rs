//! Writes what is expected into the text of a file with test cases, and leaves everything else as it is.

use std::iter::repeat_n;
use std::ops::RangeInclusive;

use saphyr_parser::{Event, Parser, ScanError, Span, StrInput};
use serde_yaml_ng::{Mapping, Value as Yaml};
use thiserror::Error;

/// Why the text can't be edited.
#[derive(Debug, Error)]
pub enum EditError {
    /// It is not YAML.
    #[error("{0}")]
    Scan(#[from] ScanError),
    /// What is expected can't be written as YAML.
    #[error(transparent)]
    Yaml(#[from] serde_yaml_ng::Error),
    /// The case is written in a form that is not edited.
    #[error("case {0}: its `expect` does not begin its own line, so write by hand what is expected")]
    Form(usize),
}

/// Spaces for each level.
const INDENTATION: usize = 2;

/// Where a case and its expectation stand. Lines count from 0.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Place {
    /// Column of the case's members.
    column: usize,
    /// Last line of the case that has something.
    last_line: usize,
    /// The lines of `expect`, and the column that it begins in.
    expect: Option<(RangeInclusive<usize>, usize)>,
}

/// Returns `text` with new expectations for the cases at these positions, which count from 0.
///
/// # Errors
/// [`EditError`]
pub fn with_expectations(text: &str, new: &[(usize, Yaml)]) -> Result<String, EditError> {
    let places = places(text)?;
    let mut lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
    let mut new: Vec<_> = new.iter().collect();
    // From the end on, so that places before stay where they are.
    new.sort_by_key(|(position, _)| std::cmp::Reverse(*position));
    for (position, expected) in new {
        let form = || EditError::Form(position + 1);
        let place = places.get(*position).ok_or_else(form)?;
        let (range, column, prefix) = match &place.expect {
            Some((range, column)) => {
                let line = lines.get(*range.start()).ok_or_else(form)?;
                let prefix: String = line.chars().take(*column).collect();
                if !prefix.chars().all(|character| matches!(character, ' ' | '-')) {
                    return Err(form());
                }
                // Of a block of text, the scanner counts the empty lines and comments behind it too.
                let is_empty = |line: &&String| matches!(line.trim_start().chars().next(), None | Some('#'));
                let behind = lines.iter().take(range.end() + 1).skip(range.start() + 1).rev();
                let n_empty = behind.take_while(is_empty).count();
                (*range.start()..range.end() + 1 - n_empty, *column, prefix)
            }
            None => {
                let line = place.last_line + 1;
                (line..line, place.column, " ".repeat(place.column))
            }
        };
        let mut member = Mapping::new();
        member.insert("expect".into(), expected.clone());
        let written = to_yaml(&Yaml::Mapping(member))?;
        let written = written.lines().enumerate().map(|(number, line)| match (number, line) {
            (0, line) => format!("{prefix}{line}"),
            (_, "") => String::new(),
            (_, line) => format!("{}{line}", " ".repeat(column)),
        });
        if range.end > lines.len() {
            return Err(form());
        }
        lines.splice(range, written);
    }
    Ok(lines.join("\n") + "\n")
}

/// Writes YAML with lists indented below their names, as yamllint wants them.
fn to_yaml(value: &Yaml) -> Result<String, serde_yaml_ng::Error> {
    let mut out = String::new();
    append(&mut out, value, 0)?;
    Ok(out)
}

/// Appends a value whose lines are indented by `column`. Collections begin on the line where the text ends.
fn append(out: &mut String, value: &Yaml, column: usize) -> Result<(), serde_yaml_ng::Error> {
    let next_line = |out: &mut String, is_first: bool| {
        if !is_first {
            out.extend(repeat_n(' ', column));
        }
    };
    match value {
        Yaml::Mapping(members) if !members.is_empty() => {
            for (position, (name, value)) in members.iter().enumerate() {
                next_line(out, position == 0);
                out.push_str(serde_yaml_ng::to_string(name)?.trim_end());
                out.push(':');
                let is_nested = match value {
                    Yaml::Mapping(inner) => !inner.is_empty(),
                    Yaml::Sequence(inner) => !inner.is_empty(),
                    _ => false,
                };
                if is_nested {
                    out.push('\n');
                    out.extend(repeat_n(' ', column + INDENTATION));
                } else {
                    out.push(' ');
                }
                append(out, value, column + INDENTATION)?;
            }
        }
        Yaml::Sequence(elements) if !elements.is_empty() => {
            for (position, element) in elements.iter().enumerate() {
                next_line(out, position == 0);
                out.push_str("- ");
                append(out, element, column + INDENTATION)?;
            }
        }
        // A text of several lines is a block, whose lines are indented already by as much as a member's value is.
        scalar => {
            for (number, line) in serde_yaml_ng::to_string(scalar)?.lines().enumerate() {
                if number > 0 && !line.is_empty() {
                    out.extend(repeat_n(' ', column.saturating_sub(INDENTATION)));
                }
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    Ok(())
}

/// A node of a file and where it stands. Lines count from 0.
#[derive(Debug)]
struct Node {
    last_line: usize,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Mapping(Vec<(Key, Node)>),
    Sequence(Vec<Node>),
    Other,
}

#[derive(Debug)]
struct Key {
    name: String,
    line: usize,
    column: usize,
}

/// Finds the cases: the elements of the top-level member `cases`.
fn places(text: &str) -> Result<Vec<Place>, ScanError> {
    let mut parser = Parser::new_from_str(text);
    let Some(Node { kind: Kind::Mapping(members), .. }) = read_root(&mut parser)? else {
        return Ok(Vec::new());
    };
    let cases = members.into_iter().find(|(key, _)| key.name == "cases");
    let Some((_, Node { kind: Kind::Sequence(cases), .. })) = cases else { return Ok(Vec::new()) };
    let of_case = |case: &Node| {
        let Kind::Mapping(members) = &case.kind else { return Place::default() };
        let expect = members.iter().find(|(key, _)| key.name == "expect");
        Place {
            column: members.first().map_or(0, |(key, _)| key.column),
            last_line: case.last_line,
            expect: expect.map(|(key, node)| (key.line..=node.last_line.max(key.line), key.column)),
        }
    };
    Ok(cases.iter().map(of_case).collect())
}

type Events<'t> = Parser<'t, StrInput<'t>>;

fn read_root(parser: &mut Events<'_>) -> Result<Option<Node>, ScanError> {
    while let Some(event) = parser.next_event() {
        let (event, span) = event?;
        if !matches!(event, Event::StreamStart | Event::DocumentStart(_) | Event::Nothing) {
            return read_node(parser, &event, span);
        }
    }
    Ok(None)
}

/// Reads the node that `event` begins; `None` where it ends a collection.
fn read_node(parser: &mut Events<'_>, event: &Event<'_>, span: Span) -> Result<Option<Node>, ScanError> {
    let mut node = Node { last_line: last_line(span), kind: Kind::Other };
    match event {
        Event::Scalar(..) | Event::Alias(_) => {}
        Event::SequenceStart(..) => {
            let mut elements = Vec::new();
            while let Some(element) = next_node(parser, &mut node)? {
                elements.push(element);
            }
            node.kind = Kind::Sequence(elements);
        }
        Event::MappingStart(..) => {
            let mut members = Vec::new();
            while let Some((event, span)) = next_in(parser, &mut node)? {
                let name = match &event {
                    Event::Scalar(text, ..) => text.to_string(),
                    _ => String::new(),
                };
                let key = Key { name, line: span.start.line().saturating_sub(1), column: span.start.col() };
                read_node(parser, &event, span)?;
                let Some(value) = next_node(parser, &mut node)? else { break };
                members.push((key, value));
            }
            node.kind = Kind::Mapping(members);
        }
        _ => return Ok(None),
    }
    Ok(Some(node))
}

fn next_node(parser: &mut Events<'_>, parent: &mut Node) -> Result<Option<Node>, ScanError> {
    let Some((event, span)) = next_in(parser, parent)? else { return Ok(None) };
    let node = read_node(parser, &event, span)?;
    if let Some(node) = &node {
        parent.last_line = parent.last_line.max(node.last_line);
    }
    Ok(node)
}

/// The next event in the collection `parent`; `None` at its end.
fn next_in<'t>(parser: &mut Events<'t>, parent: &mut Node) -> Result<Option<(Event<'t>, Span)>, ScanError> {
    let Some(event) = parser.next_event() else { return Ok(None) };
    let (event, span) = event?;
    if matches!(event, Event::SequenceEnd | Event::MappingEnd) {
        // The end of a collection without brackets is where the next thing begins.
        if !span.is_empty() {
            parent.last_line = parent.last_line.max(last_line(span));
        }
        return Ok(None);
    }
    Ok(Some((event, span)))
}

fn last_line(span: Span) -> usize {
    let is_before_line = span.end.col() == 0 && span.end.line() > span.start.line();
    span.end.line().saturating_sub(if is_before_line { 2 } else { 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn yaml(text: &str) -> Yaml {
        serde_yaml_ng::from_str(text).unwrap()
    }

    const FILE: &str = "\
# Of payments.
pipeline: ../pipeline.yaml

cases:
  # The first.
  - name: one
    record: {topic: t}  # a topic
    expect:
      index: old
      # lost with it
      text: |
        a
        b

  # The second.
  - expect: {index: old,
      id: x}
    name: two
    record: {topic: t}
  - name: three
    record:
      topic: t

  # The end.
";

    #[test]
    fn only_the_expectations_change() {
        let new = [
            (0, yaml("{index: a, list: [1, {b: 2, c: []}], text: \"x\\ny\\n\"}")),
            (1, yaml("dropped: sample")),
            (2, yaml("[{dropped: drop}, {index: b}]")),
        ];
        let expected = "\
# Of payments.
pipeline: ../pipeline.yaml

cases:
  # The first.
  - name: one
    record: {topic: t}  # a topic
    expect:
      index: a
      list:
        - 1
        - b: 2
          c: []
      text: |
        x
        y

  # The second.
  - expect:
      dropped: sample
    name: two
    record: {topic: t}
  - name: three
    record:
      topic: t
    expect:
      - dropped: drop
      - index: b

  # The end.
";
        let edited = with_expectations(FILE, &new).unwrap();
        assert_eq!(edited, expected);
        assert_eq!(with_expectations(&edited, &new).unwrap(), expected);
        let read: Yaml = yaml(&edited);
        for (position, outcome) in new {
            assert_eq!(read["cases"][position]["expect"], outcome);
        }
    }

    #[test]
    fn a_case_on_one_line_is_left_to_be_written_by_hand() {
        let text = "cases: [{name: a, record: {topic: t}, expect: {index: a}}]\n";
        let error = with_expectations(text, &[(0, yaml("dropped: drop"))]).unwrap_err();
        assert!(matches!(error, EditError::Form(1)), "{error}");
    }
}
