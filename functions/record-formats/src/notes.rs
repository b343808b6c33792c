//! What a reader of the document should know about its JSON.

/// What the JSON of a record can't say, or says otherwise than the record. All zero for almost every record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Notes {
    /// Floats that are NaN or infinite, written as null.
    pub n_non_finite: u32,
    /// Map entries that a later entry with the same key replaced.
    pub n_duplicate_keys: u32,
    /// Protobuf fields that the schema doesn't have, left out.
    pub n_unknown_fields: u32,
    /// Protobuf `Any` messages of a type that the schema doesn't have; their bytes are kept as base64.
    pub n_unknown_types: u32,
}
