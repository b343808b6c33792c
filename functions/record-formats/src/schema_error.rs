//! Why a schema can't be used.

/// Why a schema can't be used. Another schema under the same id is not to be expected: the error is the schema's, not the record's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// The text of an Avro schema or of one of its references is not JSON.
    #[error("Avro schema{} is not JSON", of_reference(.reference))]
    Json {
        /// The reference's name; `None` for the schema itself.
        reference: Option<String>,
        /// The place in the text.
        #[source]
        source: serde_json::Error,
    },
    /// A part of an Avro schema lacks an attribute, or has a wrong one.
    #[error("Avro schema: `{attribute}` of {of} is missing or not what it should be")]
    Attribute {
        /// The type or field that has the attribute.
        of: String,
        /// The attribute, such as `symbols`.
        attribute: &'static str,
    },
    /// An Avro schema uses a name that neither it nor its references define.
    #[error("Avro schema: `{0}` is not defined")]
    UndefinedName(String),
    /// An Avro schema defines a name twice, or a record has two fields of one name.
    #[error("Avro schema: `{0}` is defined twice")]
    DefinedTwice(String),
    /// A union in a union, which Avro doesn't allow.
    #[error("Avro schema: a union is directly in a union")]
    UnionInUnion,
    /// The `.proto` text, or that of an import, can't be read or names what isn't there.
    #[error("Protobuf schema can't be read")]
    Proto(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A Protobuf file is of an edition that can't be read.
    #[error("Protobuf schema is of the edition {0}: 2023 and 2024 can be read")]
    Edition(String),
    /// Files import each other in a circle.
    #[error("Protobuf schema: files import each other")]
    ImportCircle,
    /// The `.proto` text defines no message.
    #[error("Protobuf schema has no message")]
    NoMessage,
    /// The text is too long or too deeply nested to be a schema.
    #[error("schema has more than {limit} {unit}")]
    TooLarge {
        /// The limit.
        limit: usize,
        /// What is limited.
        unit: &'static str,
    },
}

fn of_reference(reference: &Option<String>) -> String {
    reference.as_ref().map_or_else(String::new, |name| format!(" `{name}`"))
}
