//! Ranges of offsets, and sets of offsets that are kept as ranges.

use std::fmt;

use serde::Serialize;

/// Offsets from `start` on, up to and without `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct OffsetRange {
    /// The first offset.
    pub start: i64,
    /// The offset behind the last one.
    pub end: i64,
}

/// Offsets, as ranges in ascending order that neither overlap nor touch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct OffsetSet {
    ranges: Vec<OffsetRange>,
}

impl OffsetRange {
    /// Offsets from `start` to `end`; none if `end` is not behind `start`.
    pub fn new(start: i64, end: i64) -> Self {
        Self { start, end: end.max(start) }
    }

    /// How many offsets it has.
    pub fn len(self) -> u64 {
        u64::try_from(self.end.saturating_sub(self.start)).unwrap_or(0)
    }

    /// Whether it has none.
    pub fn is_empty(self) -> bool {
        self.end <= self.start
    }

    /// Whether `offset` is one of them.
    pub fn contains(self, offset: i64) -> bool {
        (self.start..self.end).contains(&offset)
    }

    /// The range in parts of `width` offsets each, beginning at its start; the last may be shorter.
    pub fn parts(self, width: u32) -> impl Iterator<Item = Self> {
        let width = i64::from(width.max(1));
        let mut start = self.start;
        std::iter::from_fn(move || {
            if start >= self.end {
                return None;
            }
            let part = Self { start, end: start.saturating_add(width).min(self.end) };
            start = part.end;
            Some(part)
        })
    }
}

impl fmt::Display for OffsetRange {
    /// `7`, or `7-9`: the first and the last offset.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.len() {
            0 => f.write_str("none"),
            1 => write!(f, "{}", self.start),
            _ => write!(f, "{}-{}", self.start, self.end - 1),
        }
    }
}

impl From<OffsetRange> for OffsetSet {
    fn from(range: OffsetRange) -> Self {
        let mut set = Self::default();
        set.insert(range);
        set
    }
}

impl FromIterator<i64> for OffsetSet {
    fn from_iter<I: IntoIterator<Item = i64>>(offsets: I) -> Self {
        let mut offsets: Vec<i64> = offsets.into_iter().collect();
        offsets.sort_unstable();
        let mut set = Self::default();
        for offset in offsets {
            set.insert(OffsetRange::new(offset, offset.saturating_add(1)));
        }
        set
    }
}

impl OffsetSet {
    /// Adds a range.
    pub fn insert(&mut self, range: OffsetRange) {
        if range.is_empty() {
            return;
        }
        // Everything before `first` ends before the range begins, everything from `last` on begins behind its end.
        let first = self.ranges.partition_point(|each| each.end < range.start);
        let last = self.ranges.partition_point(|each| each.start <= range.end);
        let mut joined = range;
        for each in self.ranges.get(first..last).unwrap_or_default() {
            joined.start = joined.start.min(each.start);
            joined.end = joined.end.max(each.end);
        }
        self.ranges.splice(first..last.max(first), [joined]);
    }

    /// Adds all offsets of another set.
    pub fn extend(&mut self, other: &Self) {
        for range in &other.ranges {
            self.insert(*range);
        }
    }

    /// The ranges, in ascending order.
    pub fn ranges(&self) -> &[OffsetRange] {
        &self.ranges
    }

    /// How many offsets it has.
    pub fn len(&self) -> u64 {
        self.ranges.iter().map(|range| range.len()).sum()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether `offset` is one of them.
    pub fn contains(&self, offset: i64) -> bool {
        let position = self.ranges.partition_point(|range| range.end <= offset);
        self.ranges.get(position).is_some_and(|range| range.contains(offset))
    }

    /// How many of its offsets `range` has.
    pub fn count_in(&self, range: OffsetRange) -> u64 {
        let first = self.ranges.partition_point(|each| each.end <= range.start);
        let rest = self.ranges.get(first..).unwrap_or_default();
        let inside = rest.iter().take_while(|each| each.start < range.end);
        inside.map(|each| OffsetRange::new(each.start.max(range.start), each.end.min(range.end)).len()).sum()
    }

    /// The offsets of `range` that it does not have.
    pub fn gaps_in(&self, range: OffsetRange) -> Self {
        let mut gaps = Self::default();
        let mut start = range.start;
        for each in &self.ranges {
            if each.end <= start {
                continue;
            }
            if each.start >= range.end {
                break;
            }
            gaps.insert(OffsetRange::new(start, each.start));
            start = each.end;
        }
        gaps.insert(OffsetRange::new(start, range.end));
        gaps
    }

    /// Ranges that cover all offsets, where neighbours that are at most `distance` offsets apart are one: what to read from Kafka,
    /// where to skip some records takes less time than to begin anew.
    pub fn spans(&self, distance: u32) -> Vec<OffsetRange> {
        let mut spans: Vec<OffsetRange> = Vec::new();
        for range in &self.ranges {
            match spans.last_mut() {
                Some(last) if range.start - last.end <= i64::from(distance) => last.end = range.end,
                _ => spans.push(*range),
            }
        }
        spans
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn range(start: i64, end: i64) -> OffsetRange {
        OffsetRange::new(start, end)
    }

    #[test]
    fn ranges_that_touch_become_one() {
        let mut set = OffsetSet::default();
        for each in [range(5, 7), range(0, 2), range(9, 9), range(2, 5), range(8, 10)] {
            set.insert(each);
        }
        assert_eq!(set.ranges(), [range(0, 7), range(8, 10)]);
        assert_eq!((set.len(), set.contains(7), set.contains(8)), (9, false, true));
        assert_eq!(set.gaps_in(range(-2, 12)).ranges(), [range(-2, 0), range(7, 8), range(10, 12)]);
        assert_eq!(set.ranges().iter().map(ToString::to_string).collect::<Vec<_>>(), ["0-6", "8-9"]);
    }

    #[test]
    fn neighbours_are_read_as_one_span() {
        let set: OffsetSet = [1, 2, 5, 20].into_iter().collect();
        assert_eq!(set.spans(2), [range(1, 6), range(20, 21)]);
        assert_eq!(set.spans(0), [range(1, 3), range(5, 6), range(20, 21)]);
    }

    #[test]
    fn parts_cover_the_range() {
        let parts: Vec<_> = range(3, 10).parts(3).collect();
        assert_eq!(parts, [range(3, 6), range(6, 9), range(9, 10)]);
        assert_eq!(range(3, 3).parts(3).count(), 0);
    }

    proptest! {
        #[test]
        fn a_set_of_ranges_has_the_offsets_that_were_put_in(
            given in prop::collection::vec((-50_i64..200, 0_i64..30), 0..40),
            window in (-60_i64..200, 0_i64..120),
        ) {
            let mut set = OffsetSet::default();
            let mut expected = BTreeSet::new();
            for (start, length) in given {
                set.insert(range(start, start + length));
                expected.extend(start..start + length);
            }
            let window = range(window.0, window.0 + window.1);
            let offsets = |set: &OffsetSet| -> BTreeSet<i64> {
                set.ranges().iter().flat_map(|each| each.start..each.end).collect()
            };
            prop_assert_eq!(offsets(&set), expected.clone());
            prop_assert_eq!(set.clone(), expected.iter().copied().collect());
            let gaps: BTreeSet<i64> =
                (window.start..window.end).filter(|offset| !expected.contains(offset)).collect();
            prop_assert_eq!(set.count_in(window), window.len() - gaps.len() as u64);
            prop_assert_eq!(offsets(&set.gaps_in(window)), gaps);
        }
    }
}
