//! The table of names to search for among an object's keys.

/// Names to search for among an object's keys. Most other keys are ruled out by their first byte, last byte and length.
#[derive(Debug, Clone)]
pub struct NameTable {
    names: Vec<String>,
    /// Numbers of the names, by their [`NameTable::slot`].
    slots: Vec<Vec<usize>>,
}

impl Default for NameTable {
    fn default() -> Self {
        Self { names: Vec::new(), slots: vec![Vec::new(); 256] }
    }
}

impl NameTable {
    /// Makes a table. Numbers the names in their order, leaving out repeated ones.
    pub fn new<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let mut table = Self::default();
        for name in names {
            if table.find(name.as_bytes()).is_some() {
                continue;
            }
            if let Some(numbers) = table.slots.get_mut(Self::slot(name.as_bytes())) {
                numbers.push(table.names.len());
            }
            table.names.push(name.to_owned());
        }
        table
    }

    /// How many names there are.
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    /// Number of `key`, if it is in the table.
    #[inline(always)]
    pub fn find(&self, key: &[u8]) -> Option<usize> {
        let numbers = self.slots.get(Self::slot(key))?;
        let is_key = |number: &usize| self.names.get(*number).is_some_and(|name| name.as_bytes() == key);
        numbers.iter().copied().find(is_key)
    }

    #[inline(always)]
    fn slot(key: &[u8]) -> usize {
        let (Some(first), Some(last)) = (key.first(), key.last()) else { return 0 };
        (usize::from(*first) * 31 + usize::from(*last) * 7 + key.len()) & 255
    }
}
