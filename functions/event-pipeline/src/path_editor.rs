//! Edits the values that paths name in a JSON text, by copying the text around them.

use thiserror::Error;

use crate::bit_stack::BitStack;
use crate::field_path::FieldPath;
use crate::json::{JsonError, Scanner};

/// Walks JSON texts and edits values, keeping its buffers from one text to the next. No recursion and no tree: what it keeps
/// grows with the paths and, by two bits a level, with the depth.
#[derive(Debug, Default)]
pub(crate) struct PathEditor {
    /// The paths that go on in the values around the place, those of the innermost from `first` on.
    open: Vec<OpenPath>,
    first: usize,
    /// Where those of the values around it begin.
    outer: Vec<usize>,
    /// Whether each level is an object.
    levels: BitStack,
    /// Whether each level has paths of its own in `open`.
    owns: BitStack,
    replacement: Vec<u8>,
}

/// A path that goes on below a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OpenPath {
    /// Number of the path.
    path: usize,
    /// Where the rest of it begins.
    rest: usize,
}

/// A value that a path names.
#[derive(Debug)]
pub(crate) struct Named<'a> {
    /// Number of the path.
    pub(crate) path: usize,
    /// JSON text of the value.
    pub(crate) value: &'a [u8],
    /// Paths that go on below it.
    pub(crate) deeper: &'a [OpenPath],
}

/// What becomes of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edit {
    /// It stays.
    Keep,
    /// What was appended takes its place.
    Replace,
    /// Its member is removed.
    Remove,
    /// It stays, and no other value is looked for.
    Stop,
}

/// Why a text can't be edited.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EditError {
    /// It is not JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// It gets too long.
    #[error("the payload gets longer than {0} bytes")]
    TooLong(usize),
}

/// Whether a text was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// `out` has the new text.
    Changed,
    /// `out` has nothing.
    Unchanged,
}

/// What comes next in the text.
#[derive(Clone, Copy)]
enum Next {
    Value {
        owns: bool,
    },
    Member,
    /// What follows a value.
    End,
}

impl PathEditor {
    /// Calls `edit` with each value that one of `paths` names in `text`, the first of them where several do, and with a buffer for
    /// what takes its place. Appends the edited text, of at most `max_bytes`, to `out`, which is empty.
    ///
    /// # Errors
    /// [`EditError`]; what `out` holds is of no use then.
    pub(crate) fn edit(
        &mut self,
        paths: &[FieldPath],
        text: &[u8],
        max_bytes: usize,
        out: &mut Vec<u8>,
        edit: impl FnMut(Named<'_>, &mut Vec<u8>) -> Edit,
    ) -> Result<Change, EditError> {
        let all = (0..paths.len()).map(|path| OpenPath { path, rest: 0 });
        self.edit_below(paths, all, text, max_bytes, out, edit)
    }

    /// Edits as [`PathEditor::edit`] does a value that is below others: `open` are the paths that go on in it.
    pub(crate) fn edit_below(
        &mut self,
        paths: &[FieldPath],
        open: impl Iterator<Item = OpenPath>,
        text: &[u8],
        max_bytes: usize,
        out: &mut Vec<u8>,
        mut edit: impl FnMut(Named<'_>, &mut Vec<u8>) -> Edit,
    ) -> Result<Change, EditError> {
        self.open.clear();
        self.open.extend(open);
        self.outer.clear();
        self.first = 0;
        (self.levels, self.owns) = (BitStack::default(), BitStack::default());
        let mut scanner = Scanner::new(text);
        // What was copied or left out.
        let mut done = 0;
        let mut next = Next::Value { owns: false };
        loop {
            next = match next {
                Next::Value { owns } => self.value(&mut scanner, owns)?,
                Next::End => match self.levels.top() {
                    None => break,
                    Some(true) if scanner.take(b',')? => Next::Member,
                    Some(false) if scanner.take(b',')? => Next::Value { owns: false },
                    Some(is_object) => {
                        scanner.expect(if is_object { b'}' } else { b']' })?;
                        self.levels.pop();
                        if self.owns.top() == Some(true) {
                            self.leave();
                        }
                        self.owns.pop();
                        Next::End
                    }
                },
                Next::Member => {
                    scanner.peek()?;
                    let start = scanner.position();
                    let named = self.enter(paths, &scanner.string()?.unescape());
                    scanner.expect(b':')?;
                    let Some(path) = named else {
                        if self.open.len() > self.first {
                            next = Next::Value { owns: true };
                            continue;
                        }
                        self.leave();
                        scanner.value()?;
                        next = Next::End;
                        continue;
                    };
                    let value = scanner.value()?;
                    self.replacement.clear();
                    let deeper = self.open.get(self.first..).unwrap_or_default();
                    let named = Named { path, value: scanner.slice(value.clone()), deeper };
                    let becomes = edit(named, &mut self.replacement);
                    self.leave();
                    match becomes {
                        Edit::Keep => Next::End,
                        Edit::Stop => return Ok(Change::Unchanged),
                        Edit::Replace => {
                            out.extend_from_slice(scanner.slice(done..value.start));
                            out.extend_from_slice(&self.replacement);
                            done = value.end;
                            if out.len() > max_bytes {
                                return Err(EditError::TooLong(max_bytes));
                            }
                            Next::End
                        }
                        Edit::Remove => {
                            out.extend_from_slice(scanner.slice(done..start));
                            if scanner.take(b',')? {
                                done = scanner.position();
                                Next::Member
                            } else {
                                // The comma before it goes too; there is none where it is the only member that is left.
                                done = value.end;
                                while out.last().is_some_and(u8::is_ascii_whitespace) {
                                    out.pop();
                                }
                                out.pop_if(|last| *last == b',');
                                Next::End
                            }
                        }
                    }
                }
            };
        }
        scanner.end()?;
        if done == 0 {
            return Ok(Change::Unchanged);
        }
        out.extend_from_slice(text.get(done..).unwrap_or_default());
        if out.len() > max_bytes {
            return Err(EditError::TooLong(max_bytes));
        }
        Ok(Change::Changed)
    }

    /// Reads a value, or the beginning of one.
    fn value(&mut self, scanner: &mut Scanner<'_>, owns: bool) -> Result<Next, JsonError> {
        let first = scanner.peek()?;
        if !matches!(first, b'{' | b'[') {
            scanner.value()?;
        } else {
            let is_object = scanner.take(b'{')?;
            if !is_object {
                scanner.expect(b'[')?;
            }
            if !scanner.take(if is_object { b'}' } else { b']' })? {
                self.levels.push(is_object);
                self.owns.push(owns);
                return Ok(if is_object { Next::Member } else { Next::Value { owns: false } });
            }
        }
        if owns {
            self.leave();
        }
        Ok(Next::End)
    }

    /// Opens the paths that go on below a member of this name, and returns the path that names it.
    fn enter(&mut self, paths: &[FieldPath], name: &[u8]) -> Option<usize> {
        let end = self.open.len();
        let mut named: Option<usize> = None;
        for place in self.first..end {
            let Some(OpenPath { path, rest }) = self.open.get(place).copied() else { continue };
            let text =
                paths.get(path).and_then(|path| path.as_str().as_bytes().get(rest..)).unwrap_or_default();
            match text.strip_prefix(name) {
                Some([]) => named = Some(named.map_or(path, |first| first.min(path))),
                Some([b'.', ..]) => self.open.push(OpenPath { path, rest: rest + name.len() + 1 }),
                _ => {}
            }
        }
        self.outer.push(self.first);
        self.first = end;
        named
    }

    fn leave(&mut self) {
        self.open.truncate(self.first);
        self.first = self.outer.pop().unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn paths(texts: &[&str]) -> Vec<FieldPath> {
        texts.iter().map(|text| FieldPath::parse(text).unwrap()).collect()
    }

    fn edited(names: &[&str], text: &str, becomes: Edit) -> String {
        let mut out = Vec::new();
        let edit = |_: Named<'_>, out: &mut Vec<u8>| {
            out.extend_from_slice(b"9");
            becomes
        };
        let change =
            PathEditor::default().edit(&paths(names), text.as_bytes(), usize::MAX, &mut out, edit).unwrap();
        if change == Change::Unchanged { text.to_owned() } else { String::from_utf8(out).unwrap() }
    }

    #[test]
    fn a_path_names_a_member_at_each_place_where_an_index_has_that_field() {
        for (path, text, removed, replaced) in [
            ("a", r#"{"a":1}"#, "{}", r#"{"a":9}"#),
            ("a", r#"{ "a" : 1 , "b":2}"#, r#"{  "b":2}"#, r#"{ "a" : 9 , "b":2}"#),
            ("b", r#"{"a":1, "b":2 }"#, r#"{"a":1 }"#, r#"{"a":1, "b":9 }"#),
            ("a.b", r#"{"a":{"b":1},"a.b":{"c":2}}"#, r#"{"a":{}}"#, r#"{"a":{"b":9},"a.b":9}"#),
            (
                "a.b.c",
                r#"{"a.b":{"c":1},"a":{"b.c":[1]}}"#,
                r#"{"a.b":{},"a":{}}"#,
                r#"{"a.b":{"c":9},"a":{"b.c":9}}"#,
            ),
            (
                "a.b",
                r#"{"a":[{"b":1},[{"b":2,"c":3}]]}"#,
                r#"{"a":[{},[{"c":3}]]}"#,
                r#"{"a":[{"b":9},[{"b":9,"c":3}]]}"#,
            ),
            ("a", r#"{"\u0061":1,"b":{"a":1}}"#, r#"{"b":{"a":1}}"#, r#"{"\u0061":9,"b":{"a":1}}"#),
            ("a", r#"[{"a":1},{"A":2}]"#, r#"[{},{"A":2}]"#, r#"[{"a":9},{"A":2}]"#),
            ("a", r#"{"a":1,"a":2,"b":3,"a":4}"#, r#"{"b":3}"#, r#"{"a":9,"a":9,"b":3,"a":9}"#),
            ("a.b", r#"{"a":1}"#, r#"{"a":1}"#, r#"{"a":1}"#),
            ("a", "3", "3", "3"),
        ] {
            assert_eq!(edited(&[path], text, Edit::Remove), removed, "{path} {text}");
            assert_eq!(edited(&[path], text, Edit::Replace), replaced, "{path} {text}");
            assert_eq!(edited(&[path], text, Edit::Keep), text);
        }
        let all = r#"{"x":{"y":1,"z":2},"a":1,"b":[{"c":1}],"d":0}"#;
        assert_eq!(edited(&["d", "b.c", "x.z", "x.y", "a"], all, Edit::Remove), r#"{"x":{},"b":[{}]}"#);
    }

    #[test]
    fn the_paths_below_a_named_value_are_known_to_its_edit() {
        let paths = paths(&["a.b", "a", "a.b.c"]);
        let mut seen = Vec::new();
        let edit = |named: Named<'_>, _: &mut Vec<u8>| {
            seen.push((
                named.path,
                named.deeper.iter().map(|open| (open.path, open.rest)).collect::<Vec<_>>(),
            ));
            Edit::Keep
        };
        PathEditor::default().edit(&paths, br#"{"a":{"b":1}}"#, 100, &mut Vec::new(), edit).unwrap();
        assert_eq!(seen, [(1, vec![(0, 2), (2, 2)])]);
    }

    #[test]
    fn any_depth_is_walked() {
        let deep = format!(
            "{}{{\"a\":{}1{}}}{}",
            "[".repeat(200_000),
            "[".repeat(9),
            "]".repeat(9),
            "]".repeat(200_000)
        );
        let removed = edited(&["a"], &deep, Edit::Remove);
        assert_eq!(removed.len(), 400_002);
    }

    #[test]
    fn a_text_that_gets_too_long_is_refused() {
        let edit = |_: Named<'_>, out: &mut Vec<u8>| {
            out.extend_from_slice(&[b'1'; 50]);
            Edit::Replace
        };
        let refused =
            PathEditor::default().edit(&paths(&["a"]), br#"[{"a":1},{"a":1}]"#, 60, &mut Vec::new(), edit);
        assert_eq!(refused, Err(EditError::TooLong(60)));
    }

    /// Removes what `path` names from a tree.
    fn remove(value: &mut Value, path: &str) {
        match value {
            Value::Array(elements) => elements.iter_mut().for_each(|element| remove(element, path)),
            Value::Object(members) => {
                members.remove(path);
                for (name, value) in members {
                    if let Some(rest) =
                        path.strip_prefix(name.as_str()).and_then(|rest| rest.strip_prefix('.'))
                    {
                        remove(value, rest);
                    }
                }
            }
            _ => {}
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i32>().prop_map(Value::from),
            "[a\"\\\\,}]{0,3}".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 30, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("a|b|a\\.b|b\\.a|\"", inner, 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_removed_is_what_a_tree_without_it_lacks(
            json in json(),
            names in proptest::collection::vec("(a|b)(\\.(a|b)){0,2}", 1..4),
            is_pretty in any::<bool>(),
        ) {
            let text = if is_pretty { serde_json::to_string_pretty(&json) } else { serde_json::to_string(&json) }.unwrap();
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            let mut expected = json;
            names.iter().for_each(|name| remove(&mut expected, name));
            let removed: Value = serde_json::from_str(&edited(&names, &text, Edit::Remove)).unwrap();
            prop_assert_eq!(removed, expected);
        }

        #[test]
        fn no_text_makes_it_panic(text in "[\\[\\]{},:a\"1 ]{0,30}") {
            let edit = |_: Named<'_>, _: &mut Vec<u8>| Edit::Remove;
            let edited = PathEditor::default().edit(&paths(&["a", "a.a"]), text.as_bytes(), 1000, &mut Vec::new(), edit);
            prop_assert_eq!(edited.is_ok(), serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok(), "{}", text);
        }
    }
}
