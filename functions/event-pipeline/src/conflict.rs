//! Finds the member of a payload that the cluster blames when it rejects a document.

use crate::json::{JsonError, Scanner};

/// The top-level member of the object `payload` that is to blame for a rejection with the cluster's `reason`; `None` where
/// it can't be determined.
///
/// The cluster names the field in brackets (`failed to parse field [a.b]`) or after `field="`. Where it names none, the
/// member with the shape that the reason complains about is meant: a name that can't be a field's, the deepest nesting, or
/// an object whose beginning the reason quotes.
pub fn blamed_member(reason: &str, payload: &[u8]) -> Option<String> {
    let members = members(payload).ok()?;
    named_member(reason, &members).or_else(|| shaped_member(reason, &members))
}

/// Objects and arrays around the deepest value of the object `payload`, counted in its members for which `is_counted`.
pub(crate) fn depth(payload: &[u8], is_counted: impl Fn(&str) -> bool) -> usize {
    let members = members(payload).unwrap_or_default();
    let depths = members.iter().filter(|member| is_counted(&member.name)).map(|member| member.depth);
    depths.max().unwrap_or_default()
}

/// A top-level member, and what of its shape clusters reject.
#[derive(Debug)]
struct Member {
    name: String,
    /// Whether a name in it is empty, blank, or has an empty part between its dots.
    has_bad_name: bool,
    /// Objects and arrays around its deepest value.
    depth: usize,
    /// Length of its longest name.
    longest_name: usize,
    /// Length of its longest number.
    longest_number: usize,
    /// First names of the objects in it, as Java prints an object: `{name=`.
    openings: Vec<String>,
}

fn named_member(reason: &str, members: &[Member]) -> Option<String> {
    // `Could not dynamically add mapping for field [b.c]. Existing mapping for [a.b] …`: the first name is relative.
    let existing = reason.find("Existing mapping for [").and_then(|start| reason.get(start..));
    let fields = existing.into_iter().flat_map(fields_in).chain(fields_in(reason));
    fields.into_iter().find_map(|field| {
        // Members that clash with fields of ours are under `original`.
        let moved = field.name.strip_prefix("original.").map(|name| Field { name, ..field });
        moved.into_iter().chain([field]).find_map(|field| field.member(members))
    })
}

/// A name in a reason.
#[derive(Debug, Clone, Copy)]
struct Field<'r> {
    name: &'r str,
    /// Whether the reason was cut within it.
    is_cut: bool,
}

impl Field<'_> {
    /// The member that the field is at, in, or around.
    fn member(self, members: &[Member]) -> Option<String> {
        let is_it = |member: &&Member| {
            is_at_or_below(self.name, &member.name)
                || is_at_or_below(&member.name, self.name)
                || self.is_cut && member.name.starts_with(self.name)
        };
        // `a.b.c` is below the member `a.b` rather than below `a`, where both are there.
        let longest = members.iter().filter(|member| !member.name.is_empty()).filter(is_it);
        longest.max_by_key(|member| member.name.len()).map(|member| member.name.clone())
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

fn shaped_member(reason: &str, members: &[Member]) -> Option<String> {
    let complains_of = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    let largest = |size: fn(&Member) -> usize| members.iter().max_by_key(|member| size(member));
    let found = if let Some((_, quoted)) = reason.split_once("Preview of field's value: '")
        && quoted.starts_with('{')
    {
        members
            .iter()
            .find(|member| member.openings.iter().any(|opening| quoted.starts_with(opening.as_str())))
    } else if complains_of(&[
        "empty string",
        "whitespace",
        "only the character [.]",
        "starting or ending with a [.]",
    ]) {
        members.iter().find(|member| member.has_bad_name)
    } else if complains_of(&["depth", "Depth"]) {
        largest(|member| member.depth)
    } else if complains_of(&["Number value length", "Number length"]) {
        largest(|member| member.longest_number)
    } else if complains_of(&["Name length", "Name value length", "field name"]) {
        largest(|member| member.longest_name)
    } else {
        None
    };
    found.map(|member| member.name.clone())
}

fn members(payload: &[u8]) -> Result<Vec<Member>, JsonError> {
    let mut members = Vec::new();
    Scanner::new(payload).object(|scanner, key| {
        let name = String::from_utf8_lossy(&key.unescape()).into_owned();
        let mut member = Member {
            has_bad_name: is_bad_name(&name),
            longest_name: name.len(),
            name,
            depth: 0,
            longest_number: 0,
            openings: Vec::new(),
        };
        let value = scanner.value()?;
        inspect(scanner.slice(value), &mut member)?;
        members.push(member);
        Ok::<_, JsonError>(())
    })?;
    Ok(members)
}

/// Walks a value that was validated. No recursion: a payload can be deeper than the stack.
fn inspect(value: &[u8], member: &mut Member) -> Result<(), JsonError> {
    let mut scanner = Scanner::new(value);
    let mut depth = 0_usize;
    let mut opens_object = false;
    while let Ok(byte) = scanner.peek() {
        match byte {
            b'{' | b'[' => {
                scanner.take(byte)?;
                depth += 1;
                member.depth = member.depth.max(depth);
                opens_object = byte == b'{';
                continue;
            }
            b'}' | b']' => {
                scanner.take(byte)?;
                depth = depth.saturating_sub(1);
            }
            b',' | b':' => {
                scanner.take(byte)?;
            }
            b'"' => {
                let text = scanner.string()?;
                if scanner.peek() == Ok(b':') {
                    let name = String::from_utf8_lossy(&text.unescape()).into_owned();
                    member.has_bad_name |= is_bad_name(&name);
                    member.longest_name = member.longest_name.max(name.len());
                    if opens_object {
                        member.openings.push(format!("{{{name}="));
                    }
                }
            }
            _ => {
                let range = scanner.value()?;
                if byte == b'-' || byte.is_ascii_digit() {
                    member.longest_number = member.longest_number.max(range.len());
                }
            }
        }
        opens_object = false;
    }
    Ok(())
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
