//! The types of an Avro schema, as reading needs them.

use crate::date_time::Precision;

/// Where a type is in `Types`.
pub(crate) type TypeId = usize;

/// The types of a schema. Types refer to each other by number, so that they can be recursive.
#[derive(Debug)]
pub(crate) struct Types {
    pub(crate) all: Vec<Type>,
    pub(crate) root: TypeId,
}

impl Types {
    #[inline(always)]
    pub(crate) fn get(&self, id: TypeId) -> &Type {
        self.all.get(id).expect("a type's number is that of a type")
    }
}

/// A type with its logical type, if that is one we know and valid for the type.
#[derive(Debug)]
pub(crate) enum Type {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Record(Vec<Field>),
    /// The symbols as JSON strings.
    Enum(Vec<Box<[u8]>>),
    Array(TypeId),
    Map(TypeId),
    Union(Vec<TypeId>),
    /// Its size in bytes.
    Fixed(usize),
    /// `decimal` of bytes, with its scale.
    DecimalBytes(i64),
    /// `decimal` of a fixed.
    DecimalFixed {
        size: usize,
        scale: i64,
    },
    /// `big-decimal` of bytes, whose value has its own scale.
    BigDecimal,
    /// `uuid` of a fixed of 16 bytes.
    Uuid,
    Date,
    /// `time-millis`, an int.
    TimeMillis,
    /// `time-micros`, a long.
    TimeMicros,
    Timestamp(Precision),
    LocalTimestamp(Precision),
    /// `duration` of a fixed of 12 bytes.
    Duration,
}

/// A field of a record.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: Box<str>,
    /// The name as it is written: `{"name":` for the first field, `,"name":` for the others.
    pub(crate) opening: Box<[u8]>,
    pub(crate) value: TypeId,
}
