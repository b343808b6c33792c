//! JSON as a tree whose leaves are text, so that numbers are compared exactly.

use std::collections::BTreeMap;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Tree {
    Object(BTreeMap<String, Tree>),
    Array(Vec<Tree>),
    Leaf(String),
}

impl Tree {
    pub(crate) fn leaf(value: impl serde::Serialize) -> Self {
        Self::Leaf(serde_json::to_string(&value).unwrap())
    }
}

/// Reads JSON, which must be valid and have no key twice.
pub(crate) fn read(json: &[u8]) -> Tree {
    let text = std::str::from_utf8(json).unwrap();
    let raw: &RawValue = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    tree(raw)
}

fn tree(raw: &RawValue) -> Tree {
    let text = raw.get();
    match text.as_bytes().first() {
        Some(b'{') => {
            let members = serde_json::Deserializer::from_str(text).deserialize_map(Members).unwrap();
            let mut object = BTreeMap::new();
            for (key, value) in members {
                assert!(object.insert(key, tree(&value)).is_none(), "a key comes twice: {text}");
            }
            Tree::Object(object)
        }
        Some(b'[') => Tree::Array(
            serde_json::from_str::<Vec<Box<RawValue>>>(text).unwrap().iter().map(|it| tree(it)).collect(),
        ),
        _ => Tree::Leaf(text.to_owned()),
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(String, Box<RawValue>)>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}
