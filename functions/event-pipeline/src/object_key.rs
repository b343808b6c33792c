//! Keys of an object, kept in little memory and compared by their text.

use std::borrow::Cow;

use crate::json::JsonError;
use crate::json_string::RawString;

/// A key of the object that is being read: 6 MB of JSON hold more than a million.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ObjectKey {
    pub(crate) hash: u32,
    /// Range of the key in the text, without its quotes.
    start: u32,
    end: u32,
}

impl ObjectKey {
    /// Fails for a text whose positions don't fit into a key. No event of Lambda is as long.
    pub(crate) fn check_len(text: &[u8]) -> Result<(), JsonError> {
        if u32::try_from(text.len()).is_ok() { Ok(()) } else { Err(JsonError::TooLong) }
    }

    /// The key at `start..end`, whose text has this hash.
    #[inline(always)]
    pub(crate) fn new(hash: u32, start: usize, end: usize) -> Self {
        Self { hash, start: start as u32, end: end as u32 }
    }

    /// Position behind its opening quote.
    pub(crate) fn start(&self) -> usize {
        self.start as usize
    }

    /// Whether both are the same name.
    #[inline(always)]
    pub(crate) fn is(&self, other: &Self, text: &[u8]) -> bool {
        self.hash == other.hash && self.has_name_of(other, text)
    }

    #[cold]
    fn has_name_of(&self, other: &Self, text: &[u8]) -> bool {
        self.name(text) == other.name(text)
    }

    /// Sorts equal keys to be neighbours, in the order of the text.
    pub(crate) fn cmp(&self, other: &Self, text: &[u8]) -> std::cmp::Ordering {
        self.hash
            .cmp(&other.hash)
            .then_with(|| self.name(text).cmp(&other.name(text)))
            .then_with(|| self.start.cmp(&other.start))
    }

    /// The text of the key, its escapes resolved.
    pub(crate) fn name<'t>(&self, text: &'t [u8]) -> Cow<'t, [u8]> {
        let raw = self.raw_name(text);
        RawString::new(raw, raw.contains(&b'\\')).unescape()
    }

    /// The key as it is written, without its quotes.
    #[inline(always)]
    pub(crate) fn raw_name<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        text.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// Mixes the length and the first and last eight bytes of a key's text. Keys with equal hashes are compared by their bytes.
#[inline(always)]
pub(crate) fn hash_key(name: &[u8]) -> u32 {
    const K: u64 = 0x9e37_79b9_7f4a_7c15;
    let (head, tail) = match (name.first_chunk::<8>(), name.last_chunk::<8>()) {
        (Some(head), Some(tail)) => (u64::from_le_bytes(*head), u64::from_le_bytes(*tail)),
        _ => match (name.first_chunk::<4>(), name.last_chunk::<4>()) {
            (Some(head), Some(tail)) => (u32::from_le_bytes(*head).into(), u32::from_le_bytes(*tail).into()),
            _ => (name.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)), 0),
        },
    };
    let mixed = (head ^ name.len() as u64).wrapping_mul(K) ^ tail.wrapping_mul(K.rotate_left(32));
    (mixed ^ mixed >> 32) as u32
}
