//! What a transform may take of memory and time.

/// Deepest nesting of objects and arrays, of payloads and of what a script makes of them. The reader, VRL itself and the
/// writer take a call for each level.
pub const MAX_DEPTH: usize = 250;

/// Bytes that VRL's tree of a payload may take. A tree takes up to 100 times the bytes of its text: VRL keeps each object's
/// members in a node of a B-tree with room for eleven. A script that copies the whole payload (`.copy = .`) doubles it.
pub const MAX_TREE_BYTES: usize = 64 << 20;

/// Bytes of the text that a shaped payload may have. What Kafka delivers to a function in one batch has at most 6 MB.
pub const MAX_SHAPED_BYTES: usize = 32 << 20;

/// Expressions that a script may evaluate for a record: one or two seconds. VRL has no endless loops, but loops within loops
/// over what a payload holds.
pub const MAX_EXPRESSIONS: u32 = 10_000_000;
