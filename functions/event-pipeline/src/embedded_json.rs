//! Makes JSON of strings that are JSON.

use thiserror::Error;

use crate::field_path::FieldPath;
use crate::json::Scanner;
use crate::nearly_json::{DUPLICATE_KEY, NONFINITE, repair_value};
use crate::path_editor::{Change, Edit, EditError, Named, OpenPath, PathEditor};

/// Tag of a payload with a string that should be JSON and is not.
pub(crate) const NOT_PARSED: &str = "_parsejsonfailure";

/// Fields whose strings are JSON. Its buffers are kept from one payload to the next.
#[derive(Debug)]
pub(crate) struct EmbeddedJson {
    paths: Vec<FieldPath>,
    /// For each path, one below it that is redacted.
    redacted: Vec<Option<FieldPath>>,
    editor: PathEditor,
}

/// Why a text can't have the JSON of its strings.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub(crate) enum EmbeddedJsonError {
    /// It can't be edited.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// A string is not JSON, and something in it has to be redacted.
    #[error("`{path}` is a string that is not JSON, so that `{redacted}` can't be redacted")]
    Unredactable {
        /// The string.
        path: FieldPath,
        /// What is to be redacted.
        redacted: FieldPath,
    },
}

impl EmbeddedJson {
    /// Takes the fields, and those that are redacted afterwards.
    pub(crate) fn new(paths: &[FieldPath], redacted: &[FieldPath]) -> Self {
        let below = |path: &FieldPath| redacted.iter().find(|redacted| redacted.is_below(path)).cloned();
        Self {
            redacted: paths.iter().map(below).collect(),
            paths: paths.to_vec(),
            editor: PathEditor::default(),
        }
    }

    /// Whether there are no such fields.
    pub(crate) fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// Appends the JSON `text` with the JSON of its strings to `out`, which is empty. Appends to `tags` what was wrong with that.
    ///
    /// # Errors
    /// [`EmbeddedJsonError`]; what `out` holds is of no use then.
    pub(crate) fn apply(
        &mut self,
        text: &[u8],
        max_bytes: usize,
        out: &mut Vec<u8>,
        tags: &mut Vec<&'static str>,
    ) -> Result<Change, EmbeddedJsonError> {
        let Self { paths, redacted, editor } = self;
        let mut strings = Strings { paths, redacted, max_bytes, tags, error: None };
        let change = editor.edit(paths, text, max_bytes, out, |named, out| strings.parse(&named, out))?;
        strings.error.map_or(Ok(change), Err)
    }
}

/// Strings that are being made JSON of.
struct Strings<'s> {
    paths: &'s [FieldPath],
    redacted: &'s [Option<FieldPath>],
    max_bytes: usize,
    tags: &'s mut Vec<&'static str>,
    /// What was wrong first.
    error: Option<EmbeddedJsonError>,
}

impl Strings<'_> {
    fn parse(&mut self, named: &Named<'_>, out: &mut Vec<u8>) -> Edit {
        let mut scanner = Scanner::new(named.value);
        let mut is_changed = false;
        // The value has been read before, so that brackets and commas are where they belong.
        while let Ok(first) = scanner.peek() {
            match first {
                b'[' | b']' | b',' => {
                    out.push(first);
                    scanner.seek(scanner.position() + 1);
                }
                _ => {
                    let Ok(range) = scanner.value() else { return Edit::Keep };
                    is_changed |= self.append_parsed(scanner.slice(range), named, out);
                }
            }
        }
        if is_changed { Edit::Replace } else { Edit::Keep }
    }

    /// Appends what becomes of a value that is no array, and returns whether that is another.
    fn append_parsed(&mut self, value: &[u8], named: &Named<'_>, out: &mut Vec<u8>) -> bool {
        let Ok(string) = Scanner::new(value).string() else {
            return self.append_below(value, named.deeper, out);
        };
        let text = string.unescape();
        let parsed = std::str::from_utf8(&text).ok().and_then(|text| repair_value(text.as_bytes()));
        if parsed.as_ref().is_none_or(|parsed| parsed.text.trim_ascii().starts_with(b"\"")) {
            self.refuse(named.path);
        }
        let Some(parsed) = parsed else {
            self.tag(NOT_PARSED);
            out.extend_from_slice(value);
            return false;
        };
        if parsed.had_duplicate_key {
            self.tag(DUPLICATE_KEY);
        }
        if parsed.had_nonfinite {
            self.tag(NONFINITE);
        }
        self.append_below(parsed.text.trim_ascii(), named.deeper, out);
        true
    }

    /// Appends a value in which other paths go on, and returns whether it has changed.
    fn append_below(&mut self, value: &[u8], deeper: &[OpenPath], out: &mut Vec<u8>) -> bool {
        let mut edited = Vec::new();
        let mut change = Ok(Change::Unchanged);
        // As deep as a path has parts.
        if !deeper.is_empty() {
            let (paths, max_bytes) = (self.paths, self.max_bytes);
            let parse = |named: Named<'_>, out: &mut Vec<u8>| self.parse(&named, out);
            let deeper = deeper.iter().copied();
            change = PathEditor::default().edit_below(paths, deeper, value, max_bytes, &mut edited, parse);
        }
        match change {
            Ok(Change::Changed) => out.extend_from_slice(&edited),
            Ok(Change::Unchanged) => out.extend_from_slice(value),
            Err(error) => {
                self.error.get_or_insert(error.into());
            }
        }
        change == Ok(Change::Changed)
    }

    /// Notes that the value of a path is a string, if something in it is to be redacted.
    fn refuse(&mut self, path: usize) {
        if let (Some(path), Some(Some(redacted))) = (self.paths.get(path), self.redacted.get(path)) {
            let error = EmbeddedJsonError::Unredactable { path: path.clone(), redacted: redacted.clone() };
            self.error.get_or_insert(error);
        }
    }

    fn tag(&mut self, tag: &'static str) {
        if !self.tags.contains(&tag) {
            self.tags.push(tag);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(paths: &[&str], text: &str) -> (String, Vec<&'static str>) {
        let paths: Vec<_> = paths.iter().map(|path| FieldPath::parse(path).unwrap()).collect();
        let (mut out, mut tags) = (Vec::new(), Vec::new());
        let change =
            EmbeddedJson::new(&paths, &[]).apply(text.as_bytes(), 1000, &mut out, &mut tags).unwrap();
        let text =
            if change == Change::Unchanged { text.to_owned() } else { String::from_utf8(out).unwrap() };
        (text, tags)
    }

    #[test]
    fn a_string_that_is_json_becomes_that_json() {
        for (text, expected, tags) in [
            (r#"{"a":"{\"b\": 1}"}"#, r#"{"a":{"b": 1}}"#, &[][..]),
            (r#"{"a":" [1,\"x\"] "}"#, r#"{"a":[1,"x"]}"#, &[]),
            (r#"{"a":"17"}"#, r#"{"a":17}"#, &[]),
            (r#"{"a":"\"{}\""}"#, r#"{"a":"{}"}"#, &[]),
            (r#"{"a":["{}",null,["1"],2]}"#, r#"{"a":[{},null,[1],2]}"#, &[]),
            (r#"{"a":{"b":"1"}}"#, r#"{"a":{"b":"1"}}"#, &[]),
            (r#"{"a":"word"}"#, r#"{"a":"word"}"#, &[NOT_PARSED]),
            (r#"{"a":["word","","1"]}"#, r#"{"a":["word","",1]}"#, &[NOT_PARSED]),
            (r#"{"a":"1,\"b\":2"}"#, r#"{"a":"1,\"b\":2"}"#, &[NOT_PARSED]),
            (r#"{"a":"{\"b\":1,\"b\":NaN}"}"#, r#"{"a":{"b":null}}"#, &[DUPLICATE_KEY, NONFINITE]),
            (r#"{"a":"\"\ud800\""}"#, r#"{"a":"\"\ud800\""}"#, &[NOT_PARSED]),
        ] {
            assert_eq!(parsed(&["a"], text), (expected.to_owned(), tags.to_vec()), "{text}");
        }
    }

    #[test]
    fn a_string_inside_of_one_is_found_by_its_path() {
        let text = r#"{"a":"{\"b\":\"{\\\"c\\\":1}\"}","x":{"a":"1"}}"#;
        assert_eq!(parsed(&["a"], text).0, r#"{"a":{"b":"{\"c\":1}"},"x":{"a":"1"}}"#);
        assert_eq!(parsed(&["a.b", "a"], text).0, r#"{"a":{"b":{"c":1}},"x":{"a":"1"}}"#);
        assert_eq!(parsed(&["a", "a.b"], r#"{"a":{"b":"1"}}"#).0, r#"{"a":{"b":1}}"#);
    }

    #[test]
    fn a_string_in_which_something_is_to_be_redacted_has_to_be_json() {
        let path = |text| FieldPath::parse(text).unwrap();
        let mut embedded = EmbeddedJson::new(&[path("a")], &[path("ab"), path("a.b")]);
        let mut apply = |text: &str| embedded.apply(text.as_bytes(), 1000, &mut Vec::new(), &mut Vec::new());
        let refused = EmbeddedJsonError::Unredactable { path: path("a"), redacted: path("a.b") };
        for text in [r#"{"a":"{\"b\":1"}"#, r#"{"a":"\"{}\""}"#, r#"{"a":["{}","x"]}"#] {
            assert_eq!(apply(text), Err(refused.clone()), "{text}");
        }
        assert_eq!(apply(r#"{"a":"{\"b\":1}"}"#), Ok(Change::Changed));
        assert_eq!(apply(r#"{"a":{"b":1}}"#), Ok(Change::Unchanged));
    }
}
