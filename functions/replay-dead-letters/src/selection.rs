//! Which dead letters or objects a replay processes.

/// Which dead letters: all conditions that are given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Those of these records.
    pub records: Records,
    /// Types of errors, as the cluster names them.
    pub error_types: Vec<String>,
}

/// Which documents with a conflict: all conditions that are given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConflictFilter {
    /// Those of these records.
    pub records: Records,
    /// Members that were moved to `conflict`; `*` for a whole payload.
    pub fields: Vec<String>,
    /// Names of indices, or their beginnings with a `*` behind.
    pub indices: Vec<String>,
}

/// Which records: all conditions that are given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Records {
    /// Service names or topics.
    pub services: Vec<String>,
    /// The earliest `@timestamp`.
    pub from: Option<String>,
    /// The time that `@timestamp` must lie before.
    pub to: Option<String>,
    /// Ids of documents.
    pub ids: Vec<String>,
}

/// Which objects, and what happens to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objects {
    /// The bucket.
    pub bucket: String,
    /// One object or many.
    pub keys: Keys,
    /// What happens to an object whose records are all indexed.
    pub after_indexing: AfterIndexing,
}

/// One object or many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keys {
    /// The object with this key.
    One(String),
    /// Every object whose key starts with this prefix.
    Prefix(String),
}

/// What happens to an object whose records are all indexed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterIndexing {
    /// It stays.
    Keep,
    /// It is deleted.
    Delete,
}
