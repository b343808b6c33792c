//! Takes the row out of a change event of Debezium,
//! <https://debezium.io/documentation/reference/stable/connectors/postgresql.html#postgresql-events>.

use std::ops::Range;

use crate::append::append_name;
use crate::json::{JsonError, Scanner};

/// A change event, by the places of its parts in its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// The row: after the change, or before it if it was deleted.
    pub(crate) row: Range<usize>,
    op: Range<usize>,
    /// The table, or MongoDB's collection.
    table: Option<Range<usize>>,
    /// When Debezium read the change.
    pub(crate) ts_ms: Option<Range<usize>>,
}

impl Change {
    /// Finds the change in `text`, a JSON object; `None` if it is no change event, or one without a row. The converter's
    /// `schema` and `payload` may be around it.
    pub(crate) fn find(text: &[u8]) -> Option<Self> {
        let [payload, schema] = members(text, 0, ["payload", "schema"]).ok()?;
        match (payload, schema) {
            (Some(payload), Some(_)) if starts_with(text, &payload, b'{') => Self::find_in(text, payload),
            _ => Self::find_in(text, 0..text.len()),
        }
    }

    fn find_in(text: &[u8], change: Range<usize>) -> Option<Self> {
        let names = ["before", "after", "source", "op", "ts_ms"];
        let [before, after, source, op, ts_ms] =
            members(text.get(change.clone())?, change.start, names).ok()?;
        let (source, op) = (source?, op?);
        if !starts_with(text, &source, b'{') || !starts_with(text, &op, b'"') {
            return None;
        }
        let row = if text.get(op.clone()) == Some(br#""d""#) { before } else { after };
        let row = row.filter(|row| starts_with(text, row, b'{'))?;
        let [table, collection] =
            members(text.get(source.clone())?, source.start, ["table", "collection"]).ok()?;
        Some(Self { row, op, table: table.or(collection), ts_ms })
    }

    /// Appends what is kept of the change besides its row: `{"op":"u","source":{"table":"orders"},"ts_ms":17}`.
    pub(crate) fn append(&self, text: &[u8], out: &mut Vec<u8>) {
        let part = |range: &Range<usize>| text.get(range.clone()).unwrap_or_default();
        out.extend_from_slice(br#"{"op":"#);
        out.extend_from_slice(part(&self.op));
        if let Some(table) = &self.table {
            out.extend_from_slice(br#","source":{"table":"#);
            out.extend_from_slice(part(table));
            out.push(b'}');
        }
        if let Some(ts_ms) = &self.ts_ms {
            append_name(out, "ts_ms");
            out.extend_from_slice(part(ts_ms));
        }
        out.push(b'}');
    }
}

fn starts_with(text: &[u8], range: &Range<usize>, first: u8) -> bool {
    text.get(range.start) == Some(&first)
}

/// The values of the members `names` of the object `text`, which begins at `offset` of the whole.
fn members<const N: usize>(
    text: &[u8],
    offset: usize,
    names: [&str; N],
) -> Result<[Option<Range<usize>>; N], JsonError> {
    let mut found = [const { None }; N];
    let mut scanner = Scanner::new(text);
    scanner.object(|scanner, name| {
        let name = name.unescape();
        scanner.peek()?;
        let value = scanner.value()?;
        if let Some(slot) =
            names.iter().position(|known| known.as_bytes() == &*name).and_then(|place| found.get_mut(place))
        {
            *slot = Some(value.start + offset..value.end + offset);
        }
        Ok::<_, JsonError>(())
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unwrapped(text: &str) -> Option<(String, String)> {
        let change = Change::find(text.as_bytes())?;
        let mut kept = Vec::new();
        change.append(text.as_bytes(), &mut kept);
        Some((text.get(change.row).unwrap().to_owned(), String::from_utf8(kept).unwrap()))
    }

    #[test]
    fn the_row_is_that_after_the_change_or_the_deleted_one() {
        let event =
            r#"{"before": {"id":1}, "after": {"id":2} ,"source":{"db":"x","table":"t"},"op":"u","ts_ms":17}"#;
        let kept = r#"{"op":"u","source":{"table":"t"},"ts_ms":17}"#;
        assert_eq!(unwrapped(event), Some((r#"{"id":2}"#.into(), kept.into())));
        let deleted = event.replace(r#"{"id":2} "#, "null").replace(r#""u""#, r#""d""#);
        assert_eq!(unwrapped(&deleted), Some((r#"{"id":1}"#.into(), kept.replace(r#""u""#, r#""d""#))));
    }

    #[test]
    fn the_converters_schema_around_it_is_left_out() {
        let change = r#"{"after":{"id":2},"source":{"collection":"c"},"op":"r"}"#;
        let expected = Some((r#"{"id":2}"#.into(), r#"{"op":"r","source":{"table":"c"}}"#.into()));
        assert_eq!(unwrapped(change), expected);
        assert_eq!(unwrapped(&format!(r#"{{"schema":{{"type":"struct"}},"payload": {change}}}"#)), expected);
    }

    #[test]
    fn what_is_no_change_or_has_no_row_stays() {
        for event in [
            "{}",
            r#"{"after":{"id":1}}"#,
            r#"{"after":null,"before":null,"source":{},"op":"d"}"#,
            r#"{"source":{},"op":"t","ts_ms":1}"#,
            r#"{"after":{"id":1},"source":"x","op":"c"}"#,
            r#"{"after":{"id":1},"source":{},"op":3}"#,
            r#"{"schema":{},"payload":null}"#,
        ] {
            assert_eq!(unwrapped(event), None, "{event}");
        }
    }
}
