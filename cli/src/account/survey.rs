//! Finds out which offsets of a partition have a document, by counts of ranges first and by offsets only where a count differs.
//!
//! A range whose offsets have one document each is settled by a single count. Where it differs, the range is cut into slices, and
//! only the slices that differ are looked at by offset.

use crate::offsets::{OffsetRange, OffsetSet};

/// Offsets that one count is about. Engines return at most 65,535 buckets, and one offset is one bucket.
pub const CHUNK: u32 = 25_000;
/// Offsets in a slice of a chunk that differs.
const SLICE: u32 = 50;
/// Slices of which one request lists the offsets.
const LISTED_SLICES: usize = 250;

/// Documents of a range, one for each offset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// In the usual form.
    pub indexed: u64,
    /// In the form of a mapping conflict.
    pub rescued: u64,
    /// Dead letters.
    pub dead_lettered: u64,
}

impl Tally {
    /// All of them.
    pub fn total(self) -> u64 {
        self.indexed + self.rescued + self.dead_lettered
    }
}

/// What a range has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counted {
    /// Documents.
    pub tally: Tally,
    /// Offsets with several documents.
    pub doubles: OffsetSet,
}

/// Documents of a partition, which the cluster counts. A fake of it in memory is for the tests of the arithmetic alone.
pub trait Documents {
    /// Why there is no count.
    type Error;

    /// Counts the documents in `range` of offsets that are not in `without`, and finds the offsets that have several.
    fn count(
        &self,
        range: OffsetRange,
        without: &OffsetSet,
    ) -> impl Future<Output = Result<Counted, Self::Error>>;

    /// Counts the documents in each part of `width` offsets of `range`, those at offsets in `without` left out. A part that is not in
    /// the result has none.
    fn count_parts(
        &self,
        range: OffsetRange,
        width: u32,
        without: &OffsetSet,
    ) -> impl Future<Output = Result<Vec<(OffsetRange, u64)>, Self::Error>>;

    /// The offsets in these ranges that have documents.
    fn list(&self, ranges: &[OffsetRange]) -> impl Future<Output = Result<OffsetSet, Self::Error>>;
}

/// What the cluster knows of a range.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surveyed {
    /// Offsets with one document each, which are accounted for.
    pub tally: Tally,
    /// Offsets without a document.
    pub gaps: OffsetSet,
    /// Offsets with several documents, of which one may be that of an earlier topic of this name.
    pub doubles: OffsetSet,
}

/// Finds the parts of `range`, [`CHUNK`] offsets each, that have any documents, with their counts. The parts between them have none.
///
/// # Errors
/// Those of the documents.
pub async fn chunks<D: Documents>(documents: &D, range: OffsetRange) -> Result<Vec<OffsetRange>, D::Error> {
    let counted = documents.count_parts(range, CHUNK, &OffsetSet::default()).await?;
    Ok(counted.into_iter().filter(|(_, n)| *n > 0).map(|(part, _)| part).collect())
}

/// Looks at `range`, which has at most [`CHUNK`] offsets.
///
/// # Errors
/// Those of the documents.
pub async fn survey<D: Documents>(documents: &D, range: OffsetRange) -> Result<Surveyed, D::Error> {
    let Counted { mut tally, doubles } = documents.count(range, &OffsetSet::default()).await?;
    if !doubles.is_empty() {
        tally = documents.count(range, &doubles).await?.tally;
    }
    let mut surveyed = Surveyed { tally, gaps: OffsetSet::default(), doubles };
    if tally.total() == range.len() - surveyed.doubles.len() {
        return Ok(surveyed);
    }
    if tally.total() == 0 {
        surveyed.gaps = surveyed.doubles.gaps_in(range);
        return Ok(surveyed);
    }
    let counts = documents.count_parts(range, SLICE, &surveyed.doubles).await?;
    let mut counts = counts.into_iter().peekable();
    let mut differing = Vec::new();
    for slice in range.parts(SLICE) {
        let n = counts.next_if(|(part, _)| *part == slice).map_or(0, |(_, n)| n);
        let n_doubles = surveyed.doubles.count_in(slice);
        if n == 0 {
            surveyed.gaps.extend(&surveyed.doubles.gaps_in(slice));
        } else if n + n_doubles != slice.len() {
            differing.push(slice);
        }
    }
    for slices in differing.chunks(LISTED_SLICES) {
        let mut found = documents.list(slices).await?;
        found.extend(&surveyed.doubles);
        for slice in slices {
            surveyed.gaps.extend(&found.gaps_in(*slice));
        }
    }
    Ok(surveyed)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Form {
        Indexed,
        Rescued,
        DeadLetter,
    }

    /// Documents in memory, and how often they were asked for.
    #[derive(Default)]
    struct InMemory {
        by_offset: BTreeMap<i64, Vec<Form>>,
        n_requests: Cell<usize>,
        n_listed: Cell<u64>,
    }

    impl InMemory {
        fn of(offsets: impl IntoIterator<Item = i64>) -> Self {
            let one = |offset| (offset, vec![Form::Indexed]);
            Self { by_offset: offsets.into_iter().map(one).collect(), ..Self::default() }
        }

        fn within<'s>(
            &'s self,
            range: OffsetRange,
            without: &'s OffsetSet,
        ) -> impl Iterator<Item = (i64, &'s Vec<Form>)> {
            let inside = self.by_offset.range(range.start..range.end);
            inside.filter(|(offset, _)| !without.contains(**offset)).map(|(offset, forms)| (*offset, forms))
        }
    }

    impl Documents for InMemory {
        type Error = Infallible;

        async fn count(&self, range: OffsetRange, without: &OffsetSet) -> Result<Counted, Infallible> {
            self.n_requests.update(|n| n + 1);
            let mut counted = Counted::default();
            for (offset, forms) in self.within(range, without) {
                for form in forms {
                    match form {
                        Form::Indexed => counted.tally.indexed += 1,
                        Form::Rescued => counted.tally.rescued += 1,
                        Form::DeadLetter => counted.tally.dead_lettered += 1,
                    }
                }
                if forms.len() > 1 {
                    counted.doubles.insert(OffsetRange::new(offset, offset + 1));
                }
            }
            Ok(counted)
        }

        async fn count_parts(
            &self,
            range: OffsetRange,
            width: u32,
            without: &OffsetSet,
        ) -> Result<Vec<(OffsetRange, u64)>, Infallible> {
            self.n_requests.update(|n| n + 1);
            let count = |part| self.within(part, without).map(|(_, forms)| forms.len() as u64).sum::<u64>();
            Ok(range.parts(width).map(|part| (part, count(part))).filter(|(_, n)| *n > 0).collect())
        }

        async fn list(&self, ranges: &[OffsetRange]) -> Result<OffsetSet, Infallible> {
            self.n_requests.update(|n| n + 1);
            let none = OffsetSet::default();
            self.n_listed.update(|n| n + ranges.iter().map(|range| range.len()).sum::<u64>());
            Ok(ranges.iter().flat_map(|range| self.within(*range, &none)).map(|(offset, _)| offset).collect())
        }
    }

    fn surveyed(documents: &InMemory, range: OffsetRange) -> Surveyed {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let Ok(surveyed) = runtime.block_on(survey(documents, range));
        surveyed
    }

    #[test]
    fn a_range_that_is_whole_takes_one_count() {
        let documents = InMemory::of(0..20_000);
        let found = surveyed(&documents, OffsetRange::new(0, 20_000));
        assert_eq!((found.tally.indexed, found.gaps.len(), found.doubles.len()), (20_000, 0, 0));
        assert_eq!(documents.n_requests.get(), 1);
    }

    #[test]
    fn one_missing_offset_is_found_without_listing_the_others() {
        let documents = InMemory::of((0..20_000).filter(|offset| *offset != 12_345));
        let found = surveyed(&documents, OffsetRange::new(0, 20_000));
        assert_eq!(found.gaps, [12_345].into_iter().collect());
        assert_eq!((documents.n_requests.get(), documents.n_listed.get()), (3, 50));
    }

    #[test]
    fn a_range_without_documents_takes_one_count() {
        let documents = InMemory::default();
        let range = OffsetRange::new(7, 20_007);
        assert_eq!(surveyed(&documents, range).gaps, range.into());
        assert_eq!(documents.n_requests.get(), 1);
    }

    #[test]
    fn a_document_that_is_there_twice_does_not_hide_one_that_is_missing() {
        // The counts and even the sums of the offsets are those of a range that is whole.
        let mut documents = InMemory::of((0..100).filter(|offset| ![10, 40].contains(offset)));
        for offset in [20, 30] {
            documents.by_offset.insert(offset, vec![Form::Indexed, Form::DeadLetter]);
        }
        let found = surveyed(&documents, OffsetRange::new(0, 100));
        assert_eq!(found.gaps, [10, 40].into_iter().collect());
        assert_eq!(found.doubles, [20, 30].into_iter().collect());
        assert_eq!(found.tally, Tally { indexed: 96, ..Tally::default() });
    }

    #[test]
    fn only_chunks_with_documents_are_looked_at() {
        let documents = InMemory::of([5, 1_000_000]);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let Ok(found) = runtime.block_on(chunks(&documents, OffsetRange::new(0, 10_000_000)));
        assert_eq!(found, [OffsetRange::new(0, 25_000), OffsetRange::new(1_000_000, 1_025_000)]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn every_deletion_is_found_and_every_offset_is_in_one_place(
            start in 0_i64..1_000_000,
            length in 1_i64..3_000,
            seed: u64,
            percent_deleted in 0_u64..=100,
            percent_doubled in 0_u64..20,
        ) {
            // A cheap stream of numbers from the seed: proptest's vectors of thousands would take minutes.
            let mut state = seed | 1;
            let mut next = move || {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state
            };
            let range = OffsetRange::new(start, start + length);
            let (mut documents, mut deleted, mut doubled) = (InMemory::default(), Vec::new(), Vec::new());
            let mut tally = Tally::default();
            // Neighbours of the range are none of its documents.
            for offset in range.start - 3..range.end + 3 {
                if next() % 100 < percent_deleted {
                    deleted.push(offset);
                    continue;
                }
                let is_double = next() % 100 < percent_doubled;
                let form = [Form::Indexed, Form::Rescued, Form::DeadLetter][(next() % 3) as usize];
                documents.by_offset.insert(offset, vec![form; if is_double { 2 } else { 1 }]);
                if !range.contains(offset) {
                    continue;
                }
                match form {
                    _ if is_double => doubled.push(offset),
                    Form::Indexed => tally.indexed += 1,
                    Form::Rescued => tally.rescued += 1,
                    Form::DeadLetter => tally.dead_lettered += 1,
                }
            }
            let found = surveyed(&documents, range);
            let gaps: OffsetSet = deleted.into_iter().filter(|offset| range.contains(*offset)).collect();
            prop_assert_eq!(&found.gaps, &gaps);
            prop_assert_eq!(found.doubles.clone(), doubled.into_iter().collect());
            prop_assert_eq!(found.tally, tally);
            prop_assert_eq!(found.tally.total() + found.gaps.len() + found.doubles.len(), range.len());
        }
    }
}
