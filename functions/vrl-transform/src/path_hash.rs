//! The place of a value in a tree, and a hash of it.

/// A member or an element, and where its object or array is. Costs nothing until it is hashed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place<'a> {
    /// The payload itself.
    Root,
    /// The member of an object.
    Member(&'a Place<'a>, &'a str),
    /// The element of an array.
    Element(&'a Place<'a>, usize),
}

impl Place<'_> {
    /// The same for the same place, and different for two places but for one case in 2^64.
    pub(crate) fn hash(&self) -> u64 {
        match self {
            Self::Root => FNV_OFFSET,
            // Bytes that no name has begin each step.
            Self::Member(parent, name) => fnv(fnv(parent.hash(), &[0xFF]), name.as_bytes()),
            Self::Element(parent, index) => fnv(fnv(parent.hash(), &[0xFE]), &index.to_le_bytes()),
        }
    }
}

// FNV-1a, <http://www.isthe.com/chongo/tech/comp/fnv/>.
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

fn fnv(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_that_look_alike_have_different_hashes() {
        let a = Place::Member(&Place::Root, "a");
        let places = [
            Place::Root,
            a,
            Place::Member(&a, "b"),
            Place::Member(&Place::Root, "a.b"),
            Place::Element(&a, 0),
            Place::Element(&a, 1),
            Place::Member(&a, "\0\0\0\0\0\0\0\0"),
        ];
        let mut hashes: Vec<u64> = places.iter().map(Place::hash).collect();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), 7);
    }
}
