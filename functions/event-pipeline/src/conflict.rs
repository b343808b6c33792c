//! Finds the member of a payload that the cluster blames when it rejects a document.

use std::borrow::Cow;

use crate::json::{JsonError, Scanner};
use crate::json_string::RawString;
use crate::members::is_reserved;

/// The top-level member of the object `payload` that is to blame for a rejection with the cluster's `reason`; `None` where
/// it can't be determined.
///
/// The cluster names the field in brackets (`failed to parse field [a.b]`) or after `field="`. Where it names none, the
/// member with the shape that the reason complains about is meant: a name that can't be a field's, the deepest nesting, or
/// an object whose beginning the reason quotes.
pub fn blamed_member(reason: &str, payload: &[u8]) -> Option<String> {
    named_member(reason, payload)
        .or_else(|| shaped_member(reason, payload))
        .map(|name| text(name).into_owned())
}

/// The dotted name of the field in the cluster's `reason` whose mapping does not take the top-level member `member`; `None`
/// where it names none. With `*` for a whole payload, it is the first field that is named.
///
/// Members that clash with fields of ours are below `original`, and so are the names of their fields.
pub fn blamed_field<'r>(reason: &'r str, member: &str) -> Option<&'r str> {
    let names = named_fields(reason).filter(|field| !field.is_cut).map(|field| field.name);
    names.map(|name| without_text_subfield(reason, name)).find(|name| {
        let inner = name.strip_prefix("original.").filter(|_| member != "original").unwrap_or(name);
        let is_it = is_at_or_below(inner, member) || is_at_or_below(member, inner);
        // Elasticsearch begins with the place in the document, `[1:27]`, and both quote empty values as `null`.
        let is_field = !name.bytes().all(|byte| byte.is_ascii_digit() || byte == b':') && *name != "null";
        is_it || member == "*" && is_field
    })
}

/// The field whose words `<name>.text` has, where `reason` blames that: a number field takes any value, but its subfield no
/// object, and is asked for text at the object's end.
fn without_text_subfield<'r>(reason: &str, name: &'r str) -> &'r str {
    let is_at_end =
        ["END_OBJECT", "Preview of field's value: 'null'"].iter().any(|words| reason.contains(words));
    let is_text = ["match_only_text", "text"]
        .iter()
        .any(|kind| reason.contains(&format!("failed to parse field [{name}] of type [{kind}]")));
    name.strip_suffix(".text").filter(|_| is_at_end && is_text).unwrap_or(name)
}

/// The name of the field that a payload's member becomes in a document: one with the name of a field that is always ours is
/// below `original`.
pub fn field_of_member(member: &str) -> Cow<'_, str> {
    if is_reserved(member) { Cow::Owned(format!("original.{member}")) } else { Cow::Borrowed(member) }
}

/// Whether the field with this dotted name is always ours, or below such a field. `original` is not: it has the payload's
/// members.
pub fn is_our_field(field: &str) -> bool {
    let first = field.split('.').next().unwrap_or_default();
    is_reserved(first) && first != "original"
}

/// Objects and arrays around the deepest value of the object `payload`, counted in its members for which `is_counted`.
pub(crate) fn depth(payload: &[u8], is_counted: impl Fn(&str) -> bool) -> usize {
    let mut deepest = 0;
    let walked = for_each_member(payload, |name, value| {
        if is_counted(&text(name)) {
            deepest = deepest.max(Shape::of(name, value, None).depth);
        }
    });
    walked.map_or(0, |()| deepest)
}

/// Calls `visit` with the name and the value of each member of the object `payload`. Keeps none: there can be a million.
fn for_each_member<'p>(
    payload: &'p [u8],
    mut visit: impl FnMut(RawString<'p>, &'p [u8]),
) -> Result<(), JsonError> {
    Scanner::new(payload).object(|scanner, name| {
        let value = scanner.value()?;
        visit(name, scanner.slice(value));
        Ok(())
    })
}

fn text(name: RawString<'_>) -> Cow<'_, str> {
    match name.unescape() {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => String::from_utf8_lossy(&bytes).into_owned().into(),
    }
}

/// The last member for which a size is largest.
#[derive(Debug, Clone, Copy, Default)]
struct Largest<'p> {
    size: usize,
    name: Option<RawString<'p>>,
}

impl<'p> Largest<'p> {
    fn consider(&mut self, size: usize, name: RawString<'p>) {
        if size >= self.size {
            *self = Self { size, name: Some(name) };
        }
    }
}

/// The names in a reason, those that say most about the mapping first.
fn named_fields(reason: &str) -> impl Iterator<Item = Field<'_>> {
    // `Could not dynamically add mapping for field [b.c]. Existing mapping for [a.b] …`: the first name is relative.
    let existing = reason.find("Existing mapping for [").and_then(|start| reason.get(start..));
    existing.into_iter().flat_map(fields_in).chain(fields_in(reason))
}

fn named_member<'p>(reason: &str, payload: &'p [u8]) -> Option<RawString<'p>> {
    // Members that clash with fields of ours are under `original`.
    let fields: Vec<Field<'_>> = named_fields(reason)
        .flat_map(|field| {
            let moved = field.name.strip_prefix("original.").map(|name| Field { name, ..field });
            moved.into_iter().chain([field])
        })
        .collect();
    // `a.b.c` is below the member `a.b` rather than below `a`, where both are there.
    let mut longest = vec![Largest::default(); fields.len()];
    for_each_member(payload, |name, _| {
        let member = text(name);
        for (field, longest) in fields.iter().zip(&mut longest) {
            if field.is_of(&member) {
                longest.consider(member.len(), name);
            }
        }
    })
    .ok()?;
    longest.into_iter().find_map(|longest| longest.name)
}

/// A name in a reason.
#[derive(Debug, Clone, Copy)]
struct Field<'r> {
    name: &'r str,
    /// Whether the reason was cut within it.
    is_cut: bool,
}

impl Field<'_> {
    /// Whether the field is at, in, or around `member`.
    fn is_of(self, member: &str) -> bool {
        !member.is_empty()
            && (is_at_or_below(self.name, member)
                || is_at_or_below(member, self.name)
                || self.is_cut && member.starts_with(self.name))
    }
}

/// Whether the dotted name `inner` is `outer`, or of a field below it.
fn is_at_or_below(inner: &str, outer: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The names in `[…]` and `"…"` of a reason, in their order, without those of types.
fn fields_in(reason: &str) -> impl Iterator<Item = Field<'_>> {
    let is_type = |start| {
        let before = reason.get(..start).unwrap_or_default();
        before.ends_with("type ") || before.ends_with("] to ")
    };
    let bracketed = reason.match_indices('[').map(|(start, _)| (start, ']'));
    let quoted = reason.match_indices("field=\"").map(|(start, opening)| (start + opening.len() - 1, '"'));
    let mut starts: Vec<(usize, char)> = bracketed.chain(quoted).collect();
    starts.retain(|(start, _)| !is_type(*start));
    starts.sort_unstable();
    starts.into_iter().filter_map(|(start, end)| {
        let rest = reason.get(start + 1..)?;
        let (name, is_cut) = rest.split_once(end).map_or((rest, true), |(name, _)| (name, false));
        (!name.is_empty()).then_some(Field { name, is_cut })
    })
}

/// What a reason that names no field complains about.
enum Complaint<'r> {
    /// An object that begins as the reason quotes it.
    Object(&'r str),
    /// A name that can't be a field's.
    BadName,
    /// What is largest in the member that is meant.
    Size(fn(&Shape) -> usize),
}

impl<'r> Complaint<'r> {
    fn of(reason: &'r str) -> Option<Self> {
        let has = |words: &[&str]| words.iter().any(|word| reason.contains(word));
        if let Some((_, quoted)) = reason.split_once("Preview of field's value: '")
            && quoted.starts_with('{')
        {
            Some(Self::Object(quoted))
        } else if has(&[
            "empty string",
            "whitespace",
            "only the character [.]",
            "starting or ending with a [.]",
        ]) {
            Some(Self::BadName)
        } else if has(&["depth", "Depth"]) {
            Some(Self::Size(|shape| shape.depth))
        } else if has(&["Number value length", "Number length"]) {
            Some(Self::Size(|shape| shape.longest_number))
        } else if has(&["Name length", "Name value length", "field name"]) {
            Some(Self::Size(|shape| shape.longest_name))
        } else {
            None
        }
    }
}

fn shaped_member<'p>(reason: &str, payload: &'p [u8]) -> Option<RawString<'p>> {
    let complaint = Complaint::of(reason)?;
    let (mut first, mut largest) = (None, Largest::default());
    for_each_member(payload, |name, value| match complaint {
        Complaint::Object(quoted) if first.is_none() && Shape::of(name, value, Some(quoted)).is_quoted => {
            first = Some(name);
        }
        Complaint::BadName if first.is_none() && Shape::of(name, value, None).has_bad_name => {
            first = Some(name);
        }
        Complaint::Object(_) | Complaint::BadName => {}
        Complaint::Size(size) => largest.consider(size(&Shape::of(name, value, None)), name),
    })
    .ok()?;
    first.or(largest.name)
}

/// What of a top-level member's shape clusters reject.
#[derive(Debug, Default)]
struct Shape {
    /// Whether a name in it is empty, blank, or has an empty part between its dots.
    has_bad_name: bool,
    /// Objects and arrays around its deepest value.
    depth: usize,
    /// Length of its longest name.
    longest_name: usize,
    /// Length of its longest number.
    longest_number: usize,
    /// Whether an object in it begins, as Java prints it (`{name=`), as the reason quotes one.
    is_quoted: bool,
}

impl Shape {
    /// Walks a value that was validated. No recursion: a payload can be deeper than the stack.
    fn of(name: RawString<'_>, value: &[u8], quoted: Option<&str>) -> Self {
        let mut shape = Self::default();
        shape.add_name(&text(name));
        let mut scanner = Scanner::new(value);
        let mut depth = 0_usize;
        let mut opens_object = false;
        while let Ok(byte) = scanner.peek() {
            match byte {
                b'{' | b'[' => {
                    scanner.seek(scanner.position() + 1);
                    depth += 1;
                    shape.depth = shape.depth.max(depth);
                    opens_object = byte == b'{';
                    continue;
                }
                b'}' | b']' => {
                    scanner.seek(scanner.position() + 1);
                    depth = depth.saturating_sub(1);
                }
                b',' | b':' => scanner.seek(scanner.position() + 1),
                b'"' => {
                    let Ok(string) = scanner.string() else { break };
                    if scanner.peek() == Ok(b':') {
                        let name = text(string);
                        shape.add_name(&name);
                        shape.is_quoted |=
                            opens_object && quoted.is_some_and(|quoted| is_opening(quoted, &name));
                    }
                }
                _ => {
                    let Ok(range) = scanner.value() else { break };
                    if byte == b'-' || byte.is_ascii_digit() {
                        shape.longest_number = shape.longest_number.max(range.len());
                    }
                }
            }
            opens_object = false;
        }
        shape
    }

    fn add_name(&mut self, name: &str) {
        self.has_bad_name |= is_bad_name(name);
        self.longest_name = self.longest_name.max(name.len());
    }
}

/// Whether `quoted` begins with `{name=`.
fn is_opening(quoted: &str, name: &str) -> bool {
    let rest = quoted.strip_prefix('{').and_then(|rest| rest.strip_prefix(name));
    rest.is_some_and(|rest| rest.starts_with('='))
}

/// Whether a name has an empty or blank part: `""`, `" "`, `a..b`, `.a`, `a.`.
fn is_bad_name(name: &str) -> bool {
    name.split('.').any(|part| part.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_member_is_found_in_the_words_of_opensearch_and_elasticsearch() {
        let payload = br#"{"id":1,"a":{"b":1},"x.y":2,"type":"t","original":3}"#;
        for (reason, expected) in [
            ("object mapping for [a] tried to parse field [a] as object, but found a concrete value", "a"),
            ("object mapping for [a] tried to parse field [null] as object, but found a concrete value", "a"),
            (
                "failed to parse field [a.b] of type [long] in document with id 'x'. Preview of field's value: 'id'",
                "a",
            ),
            ("[1:11] failed to parse field [x.y.z] of type [type]", "x.y"),
            ("mapper [a.b] cannot be changed from type [keyword] to [double]", "a"),
            ("can't merge a non object mapping [x.y] with an object mapping", "x.y"),
            (r#"Document contains at least one immense term in field="type" (whose UTF8"#, "type"),
            ("mapping set to strict, dynamic introduction of [id] within [_doc] is not allowed", "id"),
            (
                "Could not dynamically add mapping for field [a.b]. Existing mapping for [a] must be of type object",
                "a",
            ),
            (
                "Could not dynamically add mapping for field [id.c]. Existing mapping for [a.id] must be of type object",
                "a",
            ),
            ("failed to parse field [original.id] of type [double] in document", "id"),
            ("object mapping for [original.original.id] tried to parse field [null] as object", "original"),
        ] {
            assert_eq!(blamed_member(reason, payload).as_deref(), Some(expected), "{reason}");
        }
        assert_eq!(blamed_member("failed to parse field [unknown] of type [type]", payload), None);
        assert_eq!(
            blamed_member("mapper [unknown] cannot be changed from type [id] to [type]", payload),
            None
        );
        assert_eq!(blamed_member("Limit of total fields [1000] has been exceeded", payload), None);
    }

    #[test]
    fn the_field_is_the_one_whose_mapping_does_not_take_the_member() {
        for (reason, member, expected) in [
            ("failed to parse field [a.b] of type [long] in document with id 'x'", "a", Some("a.b")),
            ("[1:27] failed to parse field [a.b] of type [long]", "a", Some("a.b")),
            ("[1:27] failed to parse field [a.b] of type [long]", "*", Some("a.b")),
            ("failed to parse field [original.time] of type [double]", "time", Some("original.time")),
            ("failed to parse field [original.time] of type [double]", "*", Some("original.time")),
            (
                "Could not dynamically add mapping for field [b.c]. Existing mapping for [a.b] must be of type object",
                "a",
                Some("a.b"),
            ),
            (
                "Could not dynamically add mapping for field [a.b]. Existing mapping for [a] must be",
                "a.b",
                Some("a"),
            ),
            (
                "failed to parse field [a.text] of type [match_only_text] in document with id 'x'. Preview of field's value: \
                 'null': Can't get text on a END_OBJECT at 1:14",
                "a",
                Some("a"),
            ),
            (
                "failed to parse field [a.text] of type [match_only_text] in document with id 'x'. Preview of field's value: \
                 '{b=1}': Can't get text on a START_OBJECT at 1:14",
                "a",
                Some("a.text"),
            ),
            ("failed to parse field [ab] of type [long]", "a", None),
            ("Limit of total fields [1000] has been exceeded", "*", None),
        ] {
            assert_eq!(blamed_field(reason, member), expected, "{reason}");
        }
    }

    #[test]
    fn members_with_names_of_ours_are_below_original() {
        for (member, field, is_ours) in [
            ("service", "original.service", true),
            ("service.name", "service.name", true),
            ("original", "original.original", false),
            ("services", "services", false),
            ("trace.id", "trace.id", false),
        ] {
            assert_eq!((&*field_of_member(member), is_our_field(member)), (field, is_ours), "{member}");
        }
        assert!(!is_our_field("original.service"));
    }

    #[test]
    fn the_member_is_found_by_its_shape_where_the_cluster_names_none() {
        for (reason, payload, expected) in [
            ("failed to parse: field name cannot be an empty string", r#"{"a":1,"x":[{"":1}]}"#, "x"),
            ("Field name cannot contain only whitespace: [ ]", r#"{"a":1," ":1}"#, " "),
            (
                "object field starting or ending with a [.] makes object resolution ambiguous: [.x]",
                r#"{"a":1,".x":1}"#,
                ".x",
            ),
            ("field name cannot contain only the character [.]", r#"{"a":1,".":1}"#, "."),
            (
                "The depth of the field has exceeded the allowed limit of [20].",
                r#"{"a":{"b":1},"d":[[[1]]]}"#,
                "d",
            ),
            ("Number value length (1001) exceeds the maximum allowed (1000)", r#"{"a":12,"n":12345}"#, "n"),
            (
                "failed to parse field [event_text] of type [text] in document with id 'x'. Preview of field's value: '{v=1}'",
                r#"{"a":{"w":1},"total":{"v":1}}"#,
                "total",
            ),
        ] {
            assert_eq!(blamed_member(reason, payload.as_bytes()).as_deref(), Some(expected), "{reason}");
        }
    }

    #[test]
    fn a_name_that_the_reason_is_cut_in_is_found_by_its_beginning() {
        let payload = format!(r#"{{"id":1,"{}":2}}"#, "n".repeat(1000));
        let reason = format!("failed to parse field [{}", "n".repeat(300));
        assert_eq!(blamed_member(&reason, payload.as_bytes()), Some("n".repeat(1000)));
    }

    #[test]
    fn any_depth_is_walked() {
        let deep = format!("{{\"a\":{}1{},\"b\":1}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(
            blamed_member("Document nesting depth (1001) exceeds", deep.as_bytes()).as_deref(),
            Some("a")
        );
    }
}
