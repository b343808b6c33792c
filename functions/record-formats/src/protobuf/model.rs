//! The messages and enums of a Protobuf schema, as reading needs them.

use std::collections::HashMap;

/// Where a message is in `Types`.
pub(crate) type MessageId = usize;
/// Where an enum is in `Types`.
pub(crate) type EnumId = usize;

/// Fields with numbers below this are found without a search.
pub(crate) const DENSE_NUMBERS: usize = 128;

/// The messages and enums of a schema and its imports.
#[derive(Debug)]
pub(crate) struct Types {
    pub(crate) messages: Vec<Message>,
    pub(crate) enums: Vec<Enum>,
    /// The messages at the top of the schema's own file.
    pub(crate) top: Vec<MessageId>,
    /// Whether the schema's text has the entries of its maps as messages, with `option map_entry`.
    pub(crate) text_has_entries: bool,
    /// All messages of the schema's own file, map entries too, in the order of their full names: Glue numbers them so.
    pub(crate) by_full_name: Vec<MessageId>,
    /// The messages that an `Any` may hold.
    pub(crate) names: HashMap<Box<str>, MessageId>,
}

impl Types {
    #[inline(always)]
    pub(crate) fn message(&self, id: MessageId) -> &Message {
        self.messages.get(id).expect("a message's number is that of a message")
    }
}

/// A message.
#[derive(Debug)]
pub(crate) struct Message {
    /// In the order of their numbers.
    pub(crate) fields: Vec<Field>,
    /// For each number below `DENSE_NUMBERS`, one more than the field's index; 0 is none.
    pub(crate) dense: Vec<u16>,
    pub(crate) form: Form,
    /// The messages in this one, with the entries of its maps, as descriptors have them.
    pub(crate) nested: Vec<MessageId>,
    pub(crate) is_map_entry: bool,
}

impl Message {
    /// The index of the field with a number.
    #[inline(always)]
    pub(crate) fn field_index(&self, number: u32) -> Option<usize> {
        match self.dense.get(number as usize) {
            Some(0) => None,
            Some(index) => Some(usize::from(*index) - 1),
            None if (number as usize) < DENSE_NUMBERS => None,
            None => self.fields.binary_search_by_key(&number, |field| field.number).ok(),
        }
    }
}

/// How a message is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// An object.
    Object,
    /// The value of the one field that it has; the text is for none. The wrappers, `Struct`, `Value` and `ListValue`.
    Bare(&'static str),
    Timestamp,
    Duration,
    FieldMask,
    Any,
    /// `confluent.type.Decimal`.
    Decimal,
}

/// A field of a message, or an extension of it.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) number: u32,
    /// The name in JSON.
    pub(crate) name: Box<str>,
    /// The name as it is written: `"name":`.
    pub(crate) opening: Box<[u8]>,
    /// The fields of a message that exclude each other, such as those of a oneof, have one slot together.
    pub(crate) slot: u16,
    pub(crate) shape: Shape,
}

/// How often a field may occur, and what it holds.
#[derive(Debug)]
pub(crate) enum Shape {
    /// Once. Its default value is as good as none.
    Implicit(Kind),
    /// Once, and its default value is a value.
    Explicit(Kind),
    Repeated(Kind),
    Map {
        key: Kind,
        value: Kind,
    },
}

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Double,
    Float,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Bool,
    String,
    Bytes,
    Enum(EnumId),
    Message(MessageId),
    Group(MessageId),
}

/// An enum.
#[derive(Debug)]
pub(crate) struct Enum {
    /// The values by their numbers, as they are written; of aliases the first.
    pub(crate) values: Vec<(i32, Box<[u8]>)>,
    /// The number that stands for none.
    pub(crate) default: i32,
    /// Whether it is `google.protobuf.NullValue`, all of whose values are null.
    pub(crate) is_null: bool,
}

impl Enum {
    pub(crate) fn name(&self, number: i32) -> Option<&[u8]> {
        if self.is_null {
            return Some(b"null");
        }
        // Most enums are numbered from 0 without a gap.
        let value = match usize::try_from(number).ok().and_then(|number| self.values.get(number)) {
            Some(value) if value.0 == number => value,
            _ => self.values.get(self.values.binary_search_by_key(&number, |value| value.0).ok()?)?,
        };
        Some(&value.1)
    }
}
