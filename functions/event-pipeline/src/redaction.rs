//! Removes fields of payloads, and replaces the values of others by their hashes.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::field_path::FieldPath;
use crate::json::Scanner;
use crate::path_editor::{Change, Edit, EditError, PathEditor};
use crate::rules::SaltedRules;

/// Fields to remove and to hash. Its buffers are kept from one payload to the next.
#[derive(Debug)]
pub(crate) struct Redaction {
    /// The fields to remove, then those to hash.
    paths: Vec<FieldPath>,
    n_removed: usize,
    /// The salted hash of each field to hash.
    hashes: Vec<Hmac<Sha256>>,
    editor: PathEditor,
}

impl Redaction {
    pub(crate) fn new(salted: &SaltedRules) -> Self {
        let rules = &salted.rules;
        let hashed = rules.hash.iter().map(|field| field.path.clone());
        Self {
            paths: rules.remove.iter().cloned().chain(hashed).collect(),
            n_removed: rules.remove.len(),
            hashes: salted
                .salts
                .iter()
                .map(|salt| Hmac::new_from_slice(salt.bytes()).expect("HMAC takes a key of any length"))
                .collect(),
            editor: PathEditor::default(),
        }
    }

    /// Whether no field is removed or hashed.
    pub(crate) fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// Whether the field with this name is removed or hashed as a whole.
    pub(crate) fn names(&self, field: &str) -> bool {
        self.paths.iter().any(|path| path.as_str() == field)
    }

    /// Appends the JSON `text` without the removed fields and with the hashed ones to `out`, which is empty.
    ///
    /// # Errors
    /// [`EditError`]; what `out` holds is of no use then.
    pub(crate) fn apply(
        &mut self,
        text: &[u8],
        max_bytes: usize,
        out: &mut Vec<u8>,
    ) -> Result<Change, EditError> {
        let Self { paths, n_removed, hashes, editor } = self;
        editor.edit(paths, text, max_bytes, out, |named, out| {
            let Some(hash) = named.path.checked_sub(*n_removed).and_then(|number| hashes.get(number)) else {
                return Edit::Remove;
            };
            append_hashed(hash, named.value, max_bytes, out);
            Edit::Replace
        })
    }
}

/// Appends the hash of a value; of an array that of each element. Null stays null: there is nothing to hide. Stops behind
/// `max_bytes`, which is too long then.
fn append_hashed(hash: &Hmac<Sha256>, value: &[u8], max_bytes: usize, out: &mut Vec<u8>) {
    let mut scanner = Scanner::new(value);
    // The value has been read before, so that brackets and commas are where they belong.
    while let Ok(first) = scanner.peek() {
        match first {
            b'[' | b']' | b',' => {
                out.push(first);
                scanner.seek(scanner.position() + 1);
            }
            _ => {
                let Ok(range) = scanner.value() else { return };
                append_hash(hash, scanner.slice(range), out);
            }
        }
        if out.len() > max_bytes {
            return;
        }
    }
}

fn append_hash(hash: &Hmac<Sha256>, value: &[u8], out: &mut Vec<u8>) {
    let mut hash = hash.clone();
    match value.first() {
        Some(b'n') => {
            out.extend_from_slice(value);
            return;
        }
        Some(b'"') => {
            if let Ok(text) = Scanner::new(value).string() {
                hash.update(&text.unescape());
            }
        }
        Some(b'{') => update_compact(&mut hash, value),
        _ => hash.update(value),
    }
    out.push(b'"');
    for byte in hash.finalize().into_bytes() {
        let digit = |number: u8| char::from_digit(number.into(), 16).unwrap_or_default() as u8;
        out.extend([digit(byte >> 4), digit(byte & 0xf)]);
    }
    out.push(b'"');
}

/// Takes in an object without the white space between its tokens.
fn update_compact(hash: &mut Hmac<Sha256>, object: &[u8]) {
    let mut scanner = Scanner::new(object);
    while let Ok(first) = scanner.peek() {
        if first == b'"' {
            let start = scanner.position();
            if scanner.string().is_err() {
                return;
            }
            hash.update(scanner.slice(start..scanner.position()));
        } else {
            hash.update(&[first]);
            scanner.seek(scanner.position() + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{HashedField, TopicRules};
    use crate::salt::Salt;
    use crate::topic_pattern::TopicPattern;

    fn redaction(remove: &[&str], hash: &[&str]) -> Redaction {
        let path = |text: &&str| FieldPath::parse(text).unwrap();
        let rules = TopicRules {
            remove: remove.iter().map(path).collect(),
            hash: hash.iter().map(|text| HashedField { path: path(text), salt: "s".into() }).collect(),
            ..TopicRules::new(TopicPattern::parse("*").unwrap())
        };
        let salts = hash.iter().map(|_| Salt::parse("0123456789abcdef").unwrap()).collect();
        Redaction::new(&SaltedRules { rules, salts })
    }

    fn redacted(remove: &[&str], hash: &[&str], text: &str) -> String {
        let mut out = Vec::new();
        redaction(remove, hash).apply(text.as_bytes(), 10_000, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// `printf %s TEXT | openssl dgst -sha256 -hmac 0123456789abcdef`
    const HASHES: [(&str, &str); 3] = [
        ("a@b.c", "c8b9adc27ca0fc812e2cca09aab792e34c9d8d2fce3408abb47cb633bbb5e77f"),
        ("17", "9ab8a6f4a4b05f76aac6a8c8c7c66d9a03e6bc9eb2ef7c8d073d8be90e431743"),
        (r#"{"b":[1,"x y"]}"#, "0881fb88838c44ce4fa5b8057c9f1a3132c30308b3a4e714865eea11050cde80"),
    ];

    fn hash(text: &str) -> String {
        let found = HASHES.iter().find(|(known, _)| *known == text).unwrap();
        format!("\"{}\"", found.1)
    }

    #[test]
    fn the_hash_is_that_of_the_text_with_the_salt() {
        for (value, expected) in [
            (r#""a@b.c""#, hash("a@b.c")),
            (r#""\u0061@b.c""#, hash("a@b.c")),
            ("17", hash("17")),
            (r#""17""#, hash("17")),
            ("null", "null".to_owned()),
            ("[]", "[]".to_owned()),
            (r#"[ 17 , [null,"a@b.c"] ]"#, format!("[{},[null,{}]]", hash("17"), hash("a@b.c"))),
            (r#"{ "b" : [1, "x y"] }"#, hash(r#"{"b":[1,"x y"]}"#)),
        ] {
            let text = format!(r#"{{"a":{value},"b":"17"}}"#);
            assert_eq!(redacted(&[], &["a"], &text), format!(r#"{{"a":{expected},"b":"17"}}"#));
        }
    }

    #[test]
    fn what_is_removed_is_not_hashed() {
        assert_eq!(
            redacted(&["a.b"], &["a.b", "a.c"], r#"{"a":{"b":1,"c":17}}"#),
            format!(r#"{{"a":{{"c":{}}}}}"#, hash("17"))
        );
        assert_eq!(
            redacted(&["a.b"], &["a"], r#"{"a":{"b":[1,"x y"]}}"#),
            format!(r#"{{"a":{}}}"#, hash(r#"{"b":[1,"x y"]}"#))
        );
    }

    #[test]
    fn hashes_do_not_make_a_payload_of_any_length() {
        let text = format!(r#"{{"a":[{}1]}}"#, "1,".repeat(1000));
        let refused = redaction(&[], &["a"]).apply(text.as_bytes(), 5000, &mut Vec::new());
        assert_eq!(refused, Err(EditError::TooLong(5000)));
    }
}
