//! What the tag in front of a value says of its field.

use crate::decode_error::DecodeError;
use crate::input::Input;
use crate::protobuf::model::{Field, Kind, Message, Shape};
use crate::protobuf::wire::{Tag, WireType, group, prefixed, wire_type};

/// The field with a tag's number, if its values may be written as the tag says. Others are unknown, as in Protobuf's own libraries.
#[inline(always)]
pub(crate) fn known_field(message: &Message, tag: Tag) -> Option<(usize, &Field)> {
    let index = message.field_index(tag.number)?;
    let field = message.fields.get(index)?;
    let fits = match &field.shape {
        Shape::Implicit(kind) | Shape::Explicit(kind) => tag.wire_type == wire_type(*kind),
        Shape::Repeated(kind) => {
            let each = wire_type(*kind);
            let is_packable = matches!(each, WireType::Varint | WireType::Bytes4 | WireType::Bytes8);
            tag.wire_type == each || is_packable && tag.wire_type == WireType::Prefixed
        }
        Shape::Map { .. } => tag.wire_type == WireType::Prefixed,
    };
    fits.then_some((index, field))
}

/// The fields of a message that is next.
#[inline]
pub(crate) fn message_part<'a>(input: &mut Input<'a>, tag: Tag) -> Result<Input<'a>, DecodeError> {
    match tag.wire_type {
        WireType::Group => group(input, tag.number),
        _ => prefixed(input),
    }
}

/// Whether the value that is next is its type's default.
#[inline]
pub(crate) fn is_default(kind: Kind, mut input: Input<'_>) -> Result<bool, DecodeError> {
    Ok(match wire_type(kind) {
        WireType::Varint => match kind {
            Kind::Int64 | Kind::Uint64 | Kind::Sint64 | Kind::Bool => input.varint()? == 0,
            _ => input.varint()? as u32 == 0,
        },
        WireType::Bytes8 => input.array::<8>()? == [0; 8],
        WireType::Bytes4 => input.array::<4>()? == [0; 4],
        WireType::Prefixed => input.varint()? == 0,
        WireType::Group => false,
    })
}
