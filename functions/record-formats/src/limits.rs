//! Bounds for what one record may cost.

/// What one record may cost at most. A record that exceeds a limit is an error, never cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the record's JSON, give or take one value. At most 4 GB.
    pub max_json_bytes: usize,
    /// Levels of records, messages, arrays and maps, and of types within each other.
    pub max_depth: usize,
    /// Items and map values that take no bytes, such as the items of an array of null: their number is bounded by nothing else.
    pub max_empty_items: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_json_bytes: 64 * 1024 * 1024, max_depth: 100, max_empty_items: 65_536 }
    }
}
