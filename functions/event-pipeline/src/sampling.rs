//! Keeps a part of a topic's records, chosen by their ids.

use thiserror::Error;

/// The part of the records that is kept, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleRate {
    /// Records whose number lies below this are kept; numbers have 32 bits.
    below: u64,
}

/// The number is no part of a whole.
#[derive(Debug, Error, Clone, Copy, PartialEq)]
#[error("`{0}` is not between 0 and 1: `0.1` keeps a tenth of the records")]
pub struct SampleRateError(pub f64);

impl SampleRate {
    /// Reads a part of a whole, such as 0.1.
    ///
    /// # Errors
    /// [`SampleRateError`]
    pub fn new(rate: f64) -> Result<Self, SampleRateError> {
        if !(0.0..=1.0).contains(&rate) {
            return Err(SampleRateError(rate));
        }
        Ok(Self { below: (rate * (u64::from(u32::MAX) + 1) as f64) as u64 })
    }

    /// Whether the record whose document has this id is kept: whenever it is asked, and in every version of this program.
    ///
    /// The number of an id is the upper half of its FNV-1a hash of 64 bits, after the last step of MurmurHash3, without which
    /// ids that differ at their end alone have close numbers.
    pub fn keeps(self, id: &[u8]) -> bool {
        let hash = crate::stable_hash::fnv1a(id);
        let mixed = mixed(hash);
        mixed >> 32 < self.below
    }
}

/// `fmix64` of MurmurHash3, <https://github.com/aappleby/smhasher/blob/master/src/MurmurHash3.cpp>.
fn mixed(hash: u64) -> u64 {
    let hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ hash >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ hash >> 33
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(rate: f64, n: usize) -> usize {
        let rate = SampleRate::new(rate).unwrap();
        (0..n)
            .filter(|offset| rate.keeps(format!("order.events-3-{offset}-1795825805123").as_bytes()))
            .count()
    }

    #[test]
    fn the_part_is_kept_of_ids_that_follow_each_other() {
        for rate in [0.01, 0.1, 0.5, 0.9] {
            let (n, kept) = (100_000.0, kept(rate, 100_000) as f64);
            let deviation = (n * rate * (1.0 - rate)).sqrt();
            assert!((kept - n * rate).abs() < 4.0 * deviation, "{rate}: {kept}");
        }
        assert_eq!((kept(0.0, 1000), kept(1.0, 1000)), (0, 1000));
    }

    #[test]
    fn the_same_ids_are_kept_forever() {
        let rate = SampleRate::new(0.25).unwrap();
        let kept: Vec<_> =
            (0..20).filter(|offset| rate.keeps(format!("t-0-{offset}-1").as_bytes())).collect();
        assert_eq!(kept, [1, 4, 5, 9, 11, 14]);
    }

    #[test]
    fn who_is_kept_at_a_lower_rate_is_kept_at_a_higher_one() {
        let (low, high) = (SampleRate::new(0.2).unwrap(), SampleRate::new(0.3).unwrap());
        assert!(
            (0..1000)
                .map(|id: i32| id.to_string())
                .all(|id| !low.keeps(id.as_bytes()) || high.keeps(id.as_bytes()))
        );
    }

    #[test]
    fn a_rate_is_a_part_of_a_whole() {
        for rate in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert!(SampleRate::new(rate).is_err(), "{rate}");
        }
    }
}
