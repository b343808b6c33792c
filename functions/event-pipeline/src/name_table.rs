//! The table of names to search for among an object's keys.

use crate::object_key::hash_key;

/// Names to search for among an object's keys. Nearly all other keys are ruled out by their hash.
#[derive(Debug, Clone)]
pub struct NameTable {
    names: Vec<String>,
    /// Hash and number of each name, in the first free place from that of its hash on. Three of four places are free.
    places: Vec<Option<(u32, u32)>>,
}

impl Default for NameTable {
    fn default() -> Self {
        Self { names: Vec::new(), places: vec![None; 4] }
    }
}

impl NameTable {
    /// Makes a table. Numbers the names in their order, leaving out repeated ones.
    pub fn new<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let mut numbered: Vec<String> = Vec::new();
        for name in names {
            if !numbered.iter().any(|known| known == name) {
                numbered.push(name.to_owned());
            }
        }
        let mut places = vec![None; (numbered.len() * 4).next_power_of_two().max(4)];
        for (number, name) in numbered.iter().enumerate() {
            let hash = hash_key(name.as_bytes());
            let free = (hash as usize..)
                .map(|place| place & (places.len() - 1))
                .find(|place| places.get(*place).is_some_and(Option::is_none));
            if let Some(place) = free.and_then(|free| places.get_mut(free)) {
                *place = Some((hash, number as u32));
            }
        }
        Self { names: numbered, places }
    }

    /// How many names there are.
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    /// Number of `key`, if it is in the table.
    pub fn find(&self, key: &[u8]) -> Option<usize> {
        self.find_hashed(hash_key(key), key)
    }

    /// Number of `key`, whose [`hash_key`] is `hash`, if it is in the table.
    #[inline(always)]
    pub(crate) fn find_hashed(&self, hash: u32, key: &[u8]) -> Option<usize> {
        let mut place = hash as usize;
        loop {
            let (known, number) = (*self.places.get(place & (self.places.len() - 1))?)?;
            if known == hash && self.names.get(number as usize).is_some_and(|name| name.as_bytes() == key) {
                return Some(number as usize);
            }
            place += 1;
        }
    }
}
