//! The values of a JSON text with their dotted names, however deep and with numbers as they are written.

use std::fmt;

use anyhow::{Result, bail};
use event_pipeline::json::Scanner;

/// A value that a search can find.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scalar {
    /// A string.
    Text(String),
    /// A number, as it is written.
    Number(String),
    /// `true`, `false` or `null`.
    Word(String),
}

/// A value and where it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Leaf {
    /// The names of the objects around it and its own, with dots between them. Arrays add nothing.
    pub(crate) path: String,
    pub(crate) value: Scalar,
}

/// The values in the object `json`, in their order.
pub(crate) fn leaves(json: &[u8]) -> Result<Vec<Leaf>> {
    let mut scanner = Scanner::new(json);
    let mut leaves = Vec::new();
    // The name of each open object's current member; `None` for an array.
    let mut levels: Vec<Option<String>> = Vec::new();
    loop {
        match scanner.peek()? {
            byte @ (b'{' | b'[') => {
                scanner.take(byte)?;
                levels.push((byte == b'{').then(String::new));
            }
            b'}' | b']' => {
                let byte = scanner.peek()?;
                scanner.take(byte)?;
                levels.pop();
                if levels.is_empty() {
                    return Ok(leaves);
                }
            }
            byte @ (b',' | b':') => {
                scanner.take(byte)?;
            }
            b'"' => {
                let text = String::from_utf8_lossy(&scanner.string()?.unescape()).into_owned();
                if scanner.peek()? == b':' {
                    let Some(Some(name)) = levels.last_mut() else { bail!("a name outside of an object") };
                    *name = text;
                } else {
                    leaves.push(Leaf { path: path(&levels), value: Scalar::Text(text) });
                }
            }
            first => {
                let range = scanner.value()?;
                let text = String::from_utf8_lossy(scanner.slice(range)).into_owned();
                let value =
                    if first.is_ascii_alphabetic() { Scalar::Word(text) } else { Scalar::Number(text) };
                leaves.push(Leaf { path: path(&levels), value });
            }
        }
    }
}

fn path(levels: &[Option<String>]) -> String {
    let names: Vec<&str> = levels.iter().filter_map(Option::as_deref).collect();
    names.join(".")
}

impl fmt::Display for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Scalar::Text(text) | Scalar::Number(text) | Scalar::Word(text)) = &self.value;
        let start = |text: &str| text.chars().take(60).collect::<String>();
        write!(f, "`{}`: `{}`", start(&self.path), start(text))
    }
}

#[test]
fn every_value_has_its_dotted_name() -> Result<()> {
    let found = leaves(br#"{"a":[1,{"b.c":"x\u0041"},[[-2.50]]],"":{"d":null},"e":{}}"#)?;
    let leaf = |path: &str, value| Leaf { path: path.to_owned(), value };
    let expected = [
        leaf("a", Scalar::Number("1".into())),
        leaf("a.b.c", Scalar::Text("xA".into())),
        leaf("a", Scalar::Number("-2.50".into())),
        leaf(".d", Scalar::Word("null".into())),
    ];
    assert_eq!(found, expected);
    Ok(())
}
