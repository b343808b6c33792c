//! Parses the reason with which a cluster rejected a document, to group equal conflicts: the reason without the document's
//! own values.

/// Stands for a value of the document.
const VALUE: &str = "…";

/// The reason without what only one document has, so that equal conflicts have equal texts: its id, its values, and the
/// positions in it. Whether the value is an object can still be seen.
pub(crate) fn kind_of(reason: &str) -> String {
    let mut text = without_position(reason).to_owned();
    if let Some((before, rest)) = text.split_once(" in document with id '") {
        let behind = rest.split_once('\'').map(|(_, behind)| behind).unwrap_or_default();
        text = format!("{before}{behind}");
    }
    if let Some((before, preview)) = text.split_once("Preview of field's value: '") {
        let shape = match preview {
            _ if preview.starts_with('{') => "{…}",
            _ if preview.starts_with("null'") => "null",
            _ => VALUE,
        };
        // A value can hold quotes too: it ends before the cause, or was cut.
        let cause = preview.rfind("': ").and_then(|end| preview.get(end + 1..)).unwrap_or_default();
        text = format!("{before}Preview of field's value: '{shape}'{cause}");
    }
    for (opening, closing) in [
        ("For input string: \"", "\""),
        ("date field [", "] with format"),
        ("Value [", "] is out of range"),
        ("Numeric value (", ")"),
        ("The prefix of the first immense term is: '", "'"),
        ("[Source: ", "]"),
        ("Text '", "'"),
    ] {
        text = without_value(&text, opening, closing);
    }
    without_numbers(&text)
}

/// The type that the field has already, where the reason names it.
pub(crate) fn existing_type(reason: &str) -> Option<&str> {
    if reason.contains("tried to parse field") && reason.contains("as object") {
        return Some("object");
    }
    ["but found [", "from type [", "of type ["].into_iter().find_map(|opening| {
        let (_, rest) = reason.split_once(opening)?;
        rest.split_once(']').map(|(kind, _)| kind)
    })
}

/// The number behind `Limit of total fields [`.
pub(crate) fn field_limit(reason: &str) -> Option<u64> {
    let (_, rest) = reason.split_once("Limit of total fields [")?;
    rest.split_once(']')?.0.parse().ok()
}

/// Elasticsearch begins with the place in the document: `[1:27] failed to parse …`.
fn without_position(reason: &str) -> &str {
    let position = reason.strip_prefix('[').and_then(|rest| rest.split_once("] "));
    match position {
        Some((place, rest)) if place.bytes().all(|byte| byte.is_ascii_digit() || byte == b':') => rest,
        _ => reason,
    }
}

/// Replaces what stands between `opening` and the last `closing` behind it; to the end of a reason that was cut in between.
fn without_value(text: &str, opening: &str, closing: &str) -> String {
    let Some((before, rest)) = text.split_once(opening) else { return text.to_owned() };
    let behind = rest.rsplit_once(closing).map(|(_, behind)| behind).unwrap_or_default();
    format!("{before}{opening}{VALUE}{closing}{behind}")
}

/// Replaces the numbers outside of brackets, which are positions and lengths. Those in brackets are parts of names.
fn without_numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut depth, mut in_word) = (0_u32, false);
    for c in text.chars() {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        let is_number = depth == 0 && c.is_ascii_digit() && !in_word;
        if !is_number {
            out.push(c);
        } else if !out.ends_with('N') {
            out.push('N');
        }
        in_word = !is_number && (c.is_alphanumeric() || c == '_');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_conflicts_have_equal_texts() {
        for (reason, kind) in [
            (
                "failed to parse field [a.b1] of type [double] in document with id 't-0-1-5'. Preview of field's value: 'it's 12': \
                 number_format_exception: For input string: \"it's 12\"",
                "failed to parse field [a.b1] of type [double]. Preview of field's value: '…': \
                 number_format_exception: For input string: \"…\"",
            ),
            (
                "[1:27] failed to parse field [a] of type [double] in document with id 'x'. Preview of field's value: '{b=1}': \
                 illegal_argument_exception: Can't get text on a START_OBJECT at 1:16",
                "failed to parse field [a] of type [double]. Preview of field's value: '{…}': \
                 illegal_argument_exception: Can't get text on a START_OBJECT at N:N",
            ),
            (
                "failed to parse field [a] of type [date]. Preview of field's value: 'x': illegal_argument_exception: failed \
                 to parse date field [x] with format [strict]",
                "failed to parse field [a] of type [date]. Preview of field's value: '…': illegal_argument_exception: failed \
                 to parse date field […] with format [strict]",
            ),
            (
                "failed to parse field [a]. Preview of field's value: 'was cut",
                "failed to parse field [a]. Preview of field's value: '…'",
            ),
            (
                "Document contains at least one immense term in field=\"a\" (whose UTF8 encoding is longer than the max length \
                 32766), all of which were skipped. The prefix of the first immense term is: '[120, 119]...', original \
                 message: bytes can be at most 32766 in length; got 40000",
                "Document contains at least one immense term in field=\"a\" (whose UTF8 encoding is longer than the max length \
                 N), all of which were skipped. The prefix of the first immense term is: '…', original \
                 message: bytes can be at most N in length; got N",
            ),
            (
                "Limit of total fields [1000] has been exceeded",
                "Limit of total fields [1000] has been exceeded",
            ),
        ] {
            assert_eq!(kind_of(reason), kind);
            assert_eq!(kind_of(&kind_of(reason)), kind, "a kind is its own kind");
        }
    }

    #[test]
    fn the_type_that_a_field_has_is_named_in_several_ways() {
        for (reason, kind) in [
            ("failed to parse field [a] of type [double] in document", Some("double")),
            ("mapper [a] cannot be changed from type [keyword] to [double]", Some("keyword")),
            ("Existing mapping for [a] must be of type object but found [text].", Some("text")),
            (
                "object mapping for [a] tried to parse field [a] as object, but found a concrete value",
                Some("object"),
            ),
            ("Limit of total fields [1000] has been exceeded", None),
        ] {
            assert_eq!(existing_type(reason), kind, "{reason}");
        }
    }

    #[test]
    fn any_text_is_read() {
        for text in ["", "[", "[1:2", "Preview of field's value: '", "Numeric value (", "…'…"] {
            let kind = kind_of(text);
            assert_eq!(kind_of(&kind), kind);
        }
    }
}
