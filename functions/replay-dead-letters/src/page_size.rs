//! How many stored documents are read at once: as many as take some megabytes, by the size of the last ones.

/// Hits of one search. They are small, as they come without the documents themselves.
pub(crate) const HITS: usize = 1000;
/// Documents that are read at once: at first, and at most.
const FIRST: usize = 16;
const MAX: usize = 500;
/// Bytes that a page is meant to take: the JSON text alone. The records, the event and the bulk request made from it take memory too.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// The size of the next page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PageSize(usize);

impl Default for PageSize {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl PageSize {
    /// The first of `items` that are a page.
    pub(crate) fn page<T>(self, items: &[T]) -> &[T] {
        items.get(..self.0).unwrap_or(items)
    }

    /// The size after a page of `n_items` that was too large to be read.
    pub(crate) fn after_too_large(n_items: usize) -> Self {
        Self(n_items.div_ceil(4).max(1))
    }

    /// The size after a page of `n_items` that took `n_bytes`: as many items as would fill a page if they were like these,
    /// and not suddenly many more.
    pub(crate) fn after(n_items: usize, n_bytes: usize) -> Self {
        let fitting = n_items * PAGE_BYTES / n_bytes.max(1);
        Self(fitting.clamp(1, (2 * n_items).clamp(FIRST, MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_grow_slowly_and_shrink_at_once() {
        assert_eq!(PageSize::after(16, 16 * 1000), PageSize(32), "no more than twice as many");
        assert_eq!(PageSize::after(400, 400 * 1000), PageSize(MAX));
        assert_eq!(PageSize::after(16, 16 * 1024 * 1024), PageSize(4));
        assert_eq!(PageSize::after(1, 20 * 1024 * 1024), PageSize(1));
        assert_eq!(PageSize::after(1, 1000), PageSize(FIRST));
        assert_eq!(PageSize::after_too_large(16), PageSize(4));
        assert_eq!(PageSize::after_too_large(1), PageSize(1));
    }
}
