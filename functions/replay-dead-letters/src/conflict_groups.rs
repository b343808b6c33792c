//! Groups documents with a conflict by topic, field and kind of reason, in bounded memory.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::conflict_reason::kind_of;
use crate::response::{NONE, shortened};
use crate::search::Hit;

/// Most groups.
const MAX_GROUPS: usize = 200;
/// Most groups of one topic and field. More means that the reasons hold values that [`kind_of`] does not know.
const MAX_OF_FIELD: usize = 20;
/// Most indices that a group names.
const MAX_INDICES: usize = 10;
/// Most indices that a group counts.
const MAX_COUNTED: usize = 1000;

/// Fields of a source that grouping needs.
pub(crate) const FIELDS: [&str; 3] = ["kafka_topic", "conflict_field", "conflict_reason"];

/// The key of a group. The last rejection's reason is that of the field that was moved last: those of the fields before it
/// are not kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// The topic.
    pub(crate) topic: String,
    /// The member that was moved; `*` for the whole payload.
    pub(crate) field: String,
    /// The kind of the reason; `None` if the reason is not kept.
    pub(crate) kind: Option<String>,
}

/// A group of documents.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Group {
    /// How many.
    pub(crate) documents: usize,
    /// The reason of the first.
    pub(crate) reason: Option<String>,
    /// Index and id of the first.
    pub(crate) example: (String, String),
    indices: BTreeSet<String>,
}

/// Groups, and what does not fit into them.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    groups: BTreeMap<Key, Group>,
    /// Documents that were added.
    pub(crate) documents: usize,
    /// Documents, once for each field, whose group does not fit.
    pub(crate) not_shown: usize,
}

/// The fields of [`FIELDS`]. A document that was changed since can have others.
#[derive(Deserialize)]
struct Source {
    #[serde(default)]
    kafka_topic: Option<String>,
    #[serde(default)]
    conflict_field: Vec<String>,
    #[serde(default)]
    conflict_reason: Option<String>,
}

impl Groups {
    /// Adds a document.
    pub(crate) fn add(&mut self, hit: &Hit) {
        self.documents += 1;
        let none = || Source { kafka_topic: None, conflict_field: Vec::new(), conflict_reason: None };
        let source = Source::deserialize(&hit.source).unwrap_or_else(|_| none());
        let topic = source.kafka_topic.unwrap_or_else(|| NONE.to_owned());
        let mut fields = source.conflict_field;
        if fields.is_empty() {
            fields.push(NONE.to_owned());
        }
        let last = fields.len() - 1;
        for (position, field) in fields.into_iter().enumerate() {
            let reason = source.conflict_reason.as_deref().filter(|_| position == last);
            let key = Key { topic: topic.clone(), field, kind: reason.map(kind_of) };
            self.add_to(key, reason, hit);
        }
    }

    fn add_to(&mut self, key: Key, reason: Option<&str>, hit: &Hit) {
        if !self.groups.contains_key(&key) && !self.has_room_for(&key) {
            self.not_shown += 1;
            return;
        }
        let group = self.groups.entry(key).or_default();
        if group.documents == 0 {
            group.example = (hit.index.clone(), hit.id.clone());
            group.reason = reason.map(str::to_owned);
        }
        group.documents += 1;
        if group.indices.len() < MAX_COUNTED {
            group.indices.insert(hit.index.clone());
        }
    }

    fn has_room_for(&self, key: &Key) -> bool {
        let of_field =
            self.groups.keys().filter(|known| (&known.topic, &known.field) == (&key.topic, &key.field));
        self.groups.len() < MAX_GROUPS && of_field.count() < MAX_OF_FIELD
    }

    /// The groups, those with the most documents first.
    pub(crate) fn largest_first(self) -> Vec<(Key, Group)> {
        let mut groups: Vec<_> = self.groups.into_iter().collect();
        groups.sort_by_key(|(_, group)| std::cmp::Reverse(group.documents));
        groups
    }
}

impl Key {
    /// The words that a list shows for the reason.
    pub(crate) fn shown_reason(&self) -> String {
        match &self.kind {
            Some(kind) => shortened(kind),
            None => "not kept: another field of the document was rejected after this one".to_owned(),
        }
    }
}

impl Group {
    /// The first indices, and how many more there are.
    pub(crate) fn indices(&self) -> (Vec<String>, usize) {
        let first: Vec<_> = self.indices.iter().take(MAX_INDICES).cloned().collect();
        let n_more = self.indices.len() - first.len();
        (first, n_more)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn hit(n: usize, source: Value) -> Hit {
        Hit { index: format!("m-{n}"), id: n.to_string(), sort: Vec::new(), source }
    }

    fn conflict(fields: &[&str], reason: &str) -> Value {
        json!({"kafka_topic": "t", "conflict_field": fields, "conflict_reason": reason})
    }

    #[test]
    fn equal_conflicts_are_one_group_for_each_moved_field() {
        let mut groups = Groups::default();
        for n in 0..12 {
            let reason = format!("failed to parse field [b] of type [double] in document with id '{n}'.");
            groups.add(&hit(n, conflict(&["a", "b"], &reason)));
        }
        groups.add(&hit(12, conflict(&["b"], "failed to parse field [b] of type [double].")));
        groups.add(&hit(13, json!({"conflict_field": "by hand"})));
        assert_eq!((groups.documents, groups.not_shown), (14, 0));
        let groups = groups.largest_first();
        let counts: Vec<_> = groups
            .iter()
            .map(|(key, group)| (key.field.as_str(), key.kind.is_some(), group.documents))
            .collect();
        assert_eq!(counts, [("b", true, 13), ("a", false, 12), (NONE, false, 1)]);
        let (indices, n_more) = groups[0].1.indices();
        assert_eq!((indices.len(), n_more), (10, 3));
        assert_eq!(groups[0].1.example, ("m-0".to_owned(), "0".to_owned()));
        assert!(groups[1].0.shown_reason().starts_with("not kept"));
    }

    #[test]
    fn groups_take_bounded_memory_and_the_rest_is_counted() {
        let mut groups = Groups::default();
        for n in 0..1000 {
            groups.add(&hit(n, conflict(&["a"], &format!("unknown words with [{n}]"))));
            groups.add(&hit(n, conflict(&[&format!("field{n}")], "words")));
        }
        assert_eq!(groups.not_shown, 2000 - MAX_GROUPS);
        assert_eq!(groups.documents, 2000);
        let of_a = groups.largest_first().into_iter().filter(|(key, _)| key.field == "a").count();
        assert_eq!(of_a, MAX_OF_FIELD);
    }
}
