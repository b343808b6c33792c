//! Caps the indices that the records of a batch are routed to, so that a bad field can't make a thousand of them.
//!
//! Of each of the rules, the first distinct index prefixes in the batch's order are taken; records of others go to the
//! fallback. What a record's prefix is may be known only after others are sent, as it waits for its schema. So a record is sent at
//! once if its prefix is taken whatever those turn out to be, and is held back otherwise. Held-back records are written when every
//! other has its outcome and none has failed: a batch that is delivered again is decided alike.

use std::collections::{HashMap, HashSet};

use event_pipeline::encoding::Routing;

/// The routed records of a batch, by their rules.
#[derive(Debug)]
pub struct IndexCap {
    max_indices: usize,
    rules: HashMap<usize, Prefixes>,
    /// Positions of the records that are held back, each with its rules and prefix.
    held: Vec<(usize, usize, String)>,
}

/// The index prefixes of the records of the same rules.
#[derive(Debug, Default)]
struct Prefixes {
    /// Position of the first record of each.
    first: HashMap<String, usize>,
    /// Those that are taken whatever the waiting records turn out to be.
    taken: HashSet<String>,
    /// Position of the last record that was admitted or held back.
    last: usize,
    /// Positions of records whose prefix is not known.
    waiting: HashSet<usize>,
}

/// Whether a record can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It can.
    Sent,
    /// It is held back.
    Held,
}

impl IndexCap {
    /// Makes a cap of so many distinct prefixes of the same rules.
    pub fn new(max_indices: usize) -> Self {
        Self { max_indices, rules: HashMap::new(), held: Vec::new() }
    }

    /// Notes that the record at `position` has rules that route it, and no prefix yet.
    pub fn wait(&mut self, position: usize, rule: usize) {
        self.rules.entry(rule).or_default().waiting.insert(position);
    }

    /// Notes that the record at `position` goes to `prefix`. Records come in the batch's order, but for those that waited.
    pub fn admit(&mut self, position: usize, rule: usize, prefix: &str) -> Admission {
        let prefixes = self.rules.entry(rule).or_default();
        prefixes.waiting.remove(&position);
        if prefixes.taken.contains(prefix) {
            return Admission::Sent;
        }
        let is_in_order = position >= prefixes.last;
        prefixes.last = prefixes.last.max(position);
        let first = prefixes.first.entry(prefix.to_owned()).or_insert(position);
        *first = position.min(*first);
        if is_in_order && prefixes.first.len() + prefixes.waiting.len() <= self.max_indices {
            prefixes.taken.insert(prefix.to_owned());
            return Admission::Sent;
        }
        self.held.push((position, rule, prefix.to_owned()));
        Admission::Held
    }

    /// The records that are held back, in the batch's order, and where each goes now that every prefix is known.
    pub fn take_held(&mut self) -> Vec<(usize, Routing)> {
        let mut taken: HashMap<usize, HashSet<String>> = HashMap::new();
        for (rule, prefixes) in &self.rules {
            let mut by_place: Vec<_> = prefixes.first.iter().map(|(prefix, place)| (place, prefix)).collect();
            by_place.sort();
            let first = by_place.into_iter().take(self.max_indices).map(|(_, prefix)| prefix.clone());
            taken.insert(*rule, first.collect());
        }
        let mut held = std::mem::take(&mut self.held);
        held.sort_by_key(|(position, ..)| *position);
        let route = |(position, rule, prefix): (usize, usize, String)| {
            let is_taken = taken.get(&rule).is_some_and(|taken| taken.contains(&prefix));
            (position, if is_taken { Routing::Own } else { Routing::Fallback })
        };
        held.into_iter().map(route).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_prefixes_of_each_of_the_rules_are_taken() {
        let mut cap = IndexCap::new(2);
        let admitted =
            [(0, 0, "a"), (1, 0, "b"), (2, 0, "c"), (3, 1, "c"), (4, 0, "a"), (5, 0, "c"), (6, 0, "d")]
                .map(|(position, rule, prefix)| cap.admit(position, rule, prefix) == Admission::Sent);
        assert_eq!(admitted, [true, true, false, true, true, false, false]);
        assert_eq!(cap.take_held(), [2, 5, 6].map(|position| (position, Routing::Fallback)));
        assert_eq!(cap.take_held(), []);
    }

    #[test]
    fn a_record_that_waits_is_decided_by_its_place_in_the_batch() {
        // In the batch's order: a ? b c, where ? is b, d, or a.
        for (waited, expected) in [
            ("b", vec![(1, Routing::Own), (2, Routing::Own), (3, Routing::Fallback)]),
            ("d", vec![(1, Routing::Own), (2, Routing::Fallback), (3, Routing::Fallback)]),
            ("a", vec![(2, Routing::Own), (3, Routing::Fallback)]),
        ] {
            let mut cap = IndexCap::new(2);
            assert_eq!(cap.admit(0, 0, "a"), Admission::Sent);
            cap.wait(1, 0);
            assert_eq!(cap.admit(2, 0, "b"), Admission::Held);
            assert_eq!(cap.admit(3, 0, "c"), Admission::Held);
            cap.admit(1, 0, waited);
            assert_eq!(cap.take_held(), expected, "{waited}");
        }
    }

    #[test]
    fn a_record_that_is_asked_about_again_is_admitted_again() {
        let mut cap = IndexCap::new(1);
        assert_eq!([cap.admit(0, 0, "a"), cap.admit(0, 0, "a")], [Admission::Sent; 2]);
    }
}
