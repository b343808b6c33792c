//! Remembers which fields of a message have come.

/// The slots whose fields have come.
#[derive(Default)]
pub(crate) struct Slots {
    low: u64,
    high: Vec<u64>,
}

impl Slots {
    /// Adds a slot; returns whether it was there.
    #[inline]
    pub(crate) fn insert(&mut self, slot: u16) -> bool {
        let word = if slot < 64 {
            &mut self.low
        } else {
            let index = usize::from(slot / 64) - 1;
            if self.high.len() <= index {
                self.high.resize(index + 1, 0);
            }
            let Some(word) = self.high.get_mut(index) else { return false };
            word
        };
        let bit = 1 << (slot % 64);
        let was_there = *word & bit != 0;
        *word |= bit;
        was_there
    }
}
