//! A stack of bits: 6 MB of JSON can be nested six million levels deep.

/// A stack with one bit an element.
#[derive(Debug, Default)]
pub(crate) struct BitStack {
    words: Vec<u64>,
    len: usize,
}

impl BitStack {
    /// Puts `bit` on top.
    pub(crate) fn push(&mut self, bit: bool) {
        let (word, place) = (self.len / 64, self.len % 64);
        if self.words.len() == word {
            self.words.push(0);
        }
        if let Some(word) = self.words.get_mut(word) {
            *word = *word & !(1 << place) | u64::from(bit) << place;
        }
        self.len += 1;
    }

    /// The bit on top.
    pub(crate) fn top(&self) -> Option<bool> {
        let place = self.len.checked_sub(1)?;
        Some(self.words.get(place / 64)? >> (place % 64) & 1 == 1)
    }

    /// Removes the bit on top.
    pub(crate) fn pop(&mut self) {
        self.len = self.len.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_does_what_a_vector_does(steps in proptest::collection::vec(proptest::option::weighted(0.6, any::<bool>()), 0..500)) {
            let (mut bits, mut vector) = (BitStack::default(), Vec::new());
            for step in steps {
                match step {
                    Some(bit) => {
                        bits.push(bit);
                        vector.push(bit);
                    }
                    None => {
                        bits.pop();
                        vector.pop();
                    }
                }
                prop_assert_eq!(bits.top(), vector.last().copied());
            }
        }
    }
}
