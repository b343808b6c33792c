//! Counts of names, the most frequent of any number of them, in bounded memory.

use std::collections::HashMap;

/// How often names occur, each with the first example.
///
/// It holds at most `capacity` names. When there are more, the rarer half is forgotten, and so a name that is among the most
/// frequent may have lost as many as the most frequent of those: [`Top::n_forgotten`].
#[derive(Debug, Clone)]
pub struct Top<E> {
    counts: HashMap<String, (u64, E)>,
    capacity: usize,
    n_forgotten: u64,
}

/// A name, how often it occurred, and its example.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted<'t, E> {
    /// The name.
    pub name: &'t str,
    /// How often it occurred.
    pub n: u64,
    /// The first example.
    pub example: &'t E,
}

impl<E> Top<E> {
    /// Makes one for at most `capacity` names.
    pub fn new(capacity: usize) -> Self {
        Self { counts: HashMap::new(), capacity: capacity.max(2), n_forgotten: 0 }
    }

    /// Counts `name`. `example` makes its example, the first time.
    pub fn add(&mut self, name: &str, example: impl FnOnce() -> E) {
        if let Some((n, _)) = self.counts.get_mut(name) {
            *n += 1;
            return;
        }
        if self.counts.len() == self.capacity {
            self.forget();
        }
        self.counts.insert(name.to_owned(), (1, example()));
    }

    /// The most that a count may be too low by; 0 if all counts are exact.
    pub fn n_forgotten(&self) -> u64 {
        self.n_forgotten
    }

    /// How many names are held.
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// The `n` most frequent names, the most frequent first.
    pub fn most(&self, n: usize) -> Vec<Counted<'_, E>> {
        let mut all: Vec<_> =
            self.counts.iter().map(|(name, (n, example))| Counted { name, n: *n, example }).collect();
        all.sort_by(|one, other| other.n.cmp(&one.n).then_with(|| one.name.cmp(other.name)));
        all.truncate(n);
        all
    }

    /// Forgets the rarer half.
    fn forget(&mut self) {
        let mut counts: Vec<u64> = self.counts.values().map(|(n, _)| *n).collect();
        let middle = counts.len() / 2;
        let (_, bound, _) = counts.select_nth_unstable(middle);
        let bound = *bound;
        let mut n_too_many = self.counts.len() - self.capacity / 2;
        let mut n_forgotten = 0;
        self.counts.retain(|_, (n, _)| {
            let is_rare = *n <= bound && n_too_many > 0;
            if is_rare {
                n_too_many -= 1;
                n_forgotten = n_forgotten.max(*n);
            }
            !is_rare
        });
        self.n_forgotten += n_forgotten;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_come_first_with_their_first_example() {
        let mut top = Top::new(10);
        for (example, name) in ["a", "b", "b", "c", "b", "a"].iter().enumerate() {
            top.add(name, || example);
        }
        let most = top.most(2);
        assert_eq!(
            most,
            [Counted { name: "b", n: 3, example: &1 }, Counted { name: "a", n: 2, example: &0 },]
        );
        assert_eq!(top.n_forgotten(), 0);
    }

    #[test]
    fn among_any_number_of_rare_names_the_frequent_ones_are_kept() {
        let mut top = Top::new(64);
        for number in 0..100_000 {
            top.add(&format!("rare{number}"), || ());
            if number % 5 == 0 {
                top.add("frequent", || ());
            }
        }
        assert!(top.len() <= 64, "{}", top.len());
        let most = top.most(1);
        assert_eq!(most[0].name, "frequent");
        assert!(most[0].n <= 20_000 && most[0].n + top.n_forgotten() >= 20_000, "{most:?}");
    }
}
