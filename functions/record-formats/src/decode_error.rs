//! Why the bytes of a record don't fit their schema, and where.

use std::fmt;

/// The longest path that an error shows, in characters.
const MAX_SHOWN_PATH: usize = 200;

/// The bytes of a record don't fit their schema, or cost more than the limits allow.
#[derive(Debug)]
pub struct DecodeError(Box<Parts>);

#[derive(Debug)]
struct Parts {
    kind: DecodeErrorKind,
    offset: usize,
    /// From the innermost outwards.
    path: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    Field(String),
    Item(u64),
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The bytes end within a value.
    #[error("the bytes end within a value")]
    Truncated,
    /// A length is negative, or beyond the end of the bytes.
    #[error("a length of {0} bytes, more than there are")]
    Length(i64),
    /// Bytes follow the value.
    #[error("{0} bytes follow the value")]
    TrailingBytes(usize),
    /// A variable-length number has more bytes than any number needs.
    #[error("a number of more than 64 bits")]
    LongNumber,
    /// A number doesn't fit its type, which has 32 bits.
    #[error("{0} is no number of 32 bits")]
    NotInt(i64),
    /// A boolean is neither 0 nor 1.
    #[error("{0} is no boolean")]
    NotBoolean(u8),
    /// An enum or union has no such branch or symbol.
    #[error("{index} is not one of {n} {of}")]
    Index {
        /// The index that was read.
        index: i64,
        /// How many there are.
        n: usize,
        /// `symbols` or `branches`.
        of: &'static str,
    },
    /// A block of an array or map claims an impossible number of items.
    #[error("a block of {0} items")]
    BlockCount(i64),
    /// A string is not UTF-8.
    #[error("a string that is not UTF-8")]
    NotUtf8,
    /// A date or time is out of its range.
    #[error("{value} is out of range for a {of}")]
    TimeRange {
        /// The number that was read.
        value: i64,
        /// The type.
        of: &'static str,
    },
    /// A decimal has more bytes than the limit.
    #[error("a decimal of {0} bytes")]
    LongDecimal(usize),
    /// The message indexes of the frame lead to no message of the schema.
    #[error("the frame's message indexes lead to no message of the schema")]
    MessageIndexes,
    /// A Protobuf tag has an impossible field number or wire type.
    #[error("{0} is no Protobuf tag")]
    Tag(u64),
    /// A Protobuf group ends where none began, or with another number.
    #[error("a group ends with another number than it began with")]
    GroupEnd,
    /// Values are nested too deep.
    #[error("more than {0} levels")]
    Depth(usize),
    /// The JSON would be larger than the limit.
    #[error("more than {0} bytes of JSON")]
    JsonBytes(usize),
    /// Too many items take no bytes.
    #[error("more than {0} items without bytes")]
    EmptyItems(u32),
}

impl DecodeError {
    #[cold]
    pub(crate) fn new(kind: DecodeErrorKind, offset: usize) -> Self {
        Self(Box::new(Parts { kind, offset, path: Vec::new() }))
    }

    /// The same error, seen from the record or message that has the field (or map key) `name`.
    #[cold]
    pub(crate) fn in_field(mut self, name: &str) -> Self {
        self.0.path.push(Step::Field(name.to_owned()));
        self
    }

    /// The same error, seen from the array whose item with this index it is.
    #[cold]
    pub(crate) fn in_item(mut self, index: u64) -> Self {
        self.0.path.push(Step::Item(index));
        self
    }

    /// What is wrong.
    pub fn kind(&self) -> &DecodeErrorKind {
        &self.0.kind
    }

    /// Where, as bytes from the start of the body (behind the frame).
    pub fn offset(&self) -> usize {
        self.0.offset
    }

    /// The field, such as `order.items[3].price`; empty if it is the record itself. A long path is cut at its front.
    pub fn path(&self) -> String {
        let mut path = String::new();
        for step in self.0.path.iter().rev() {
            match step {
                Step::Field(name) if path.is_empty() => path.push_str(name),
                Step::Field(name) => {
                    path.push('.');
                    path.push_str(name);
                }
                Step::Item(index) => path.push_str(&format!("[{index}]")),
            }
        }
        match path.char_indices().rev().nth(MAX_SHOWN_PATH) {
            Some((cut, _)) => format!("…{}", path.get(cut..).unwrap_or_default()),
            None => path,
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path();
        if !path.is_empty() {
            write!(f, "`{path}`: ")?;
        }
        write!(f, "{} at byte {}", self.0.kind, self.0.offset)
    }
}

impl std::error::Error for DecodeError {}
