//! Protobuf's wire format: tags, and where values end (<https://protobuf.dev/programming-guides/encoding/>).

use crate::decode_error::{DecodeError, DecodeErrorKind};
use crate::input::Input;
use crate::protobuf::model::Kind;

/// How a value is written on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WireType {
    Varint,
    Bytes8,
    Prefixed,
    Group,
    Bytes4,
}

/// The number of a field, and how its value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) number: u32,
    pub(crate) wire_type: WireType,
}

const GROUP_END: u64 = 4;

/// The largest number of a field.
const MAX_NUMBER: u64 = (1 << 29) - 1;

/// Reads the tag of the next field.
#[inline(always)]
pub(crate) fn tag(input: &mut Input<'_>) -> Result<Tag, DecodeError> {
    let start = *input;
    let tag = input.varint()?;
    let number = tag >> 3;
    let wire_type = match tag & 7 {
        0 => WireType::Varint,
        1 => WireType::Bytes8,
        2 => WireType::Prefixed,
        3 => WireType::Group,
        5 => WireType::Bytes4,
        GROUP_END => return Err(start.error(DecodeErrorKind::GroupEnd)),
        _ => return Err(start.error(DecodeErrorKind::Tag(tag))),
    };
    if number == 0 || number > MAX_NUMBER {
        return Err(start.error(DecodeErrorKind::Tag(tag)));
    }
    Ok(Tag { number: number as u32, wire_type })
}

/// Reads a length and as many bytes.
#[inline(always)]
pub(crate) fn prefixed<'a>(input: &mut Input<'a>) -> Result<Input<'a>, DecodeError> {
    let start = *input;
    let len = input.varint()?;
    match usize::try_from(len) {
        Ok(len) if len <= input.len() => input.part(len),
        _ => Err(start.error(DecodeErrorKind::Length(i64::try_from(len).unwrap_or(i64::MAX)))),
    }
}

/// Reads the fields of the group with a number, and its end.
pub(crate) fn group<'a>(input: &mut Input<'a>, number: u32) -> Result<Input<'a>, DecodeError> {
    let start = *input;
    // The numbers of the groups that are open, this one first.
    let mut open = vec![number];
    loop {
        let before = *input;
        let next = input.varint()?;
        if next & 7 == GROUP_END {
            if open.pop().map(u64::from) != Some(next >> 3) {
                return Err(before.error(DecodeErrorKind::GroupEnd));
            }
            if open.is_empty() {
                let mut fields = start;
                return fields.part(start.len() - before.len());
            }
            continue;
        }
        *input = before;
        let tag = tag(input)?;
        match tag.wire_type {
            WireType::Group => open.push(tag.number),
            _ => skip(input, tag)?,
        }
    }
}

/// Skips a value.
pub(crate) fn skip(input: &mut Input<'_>, tag: Tag) -> Result<(), DecodeError> {
    match tag.wire_type {
        WireType::Varint => drop(input.varint()?),
        WireType::Bytes8 => drop(input.array::<8>()?),
        WireType::Bytes4 => drop(input.array::<4>()?),
        WireType::Prefixed => drop(prefixed(input)?),
        WireType::Group => drop(group(input, tag.number)?),
    }
    Ok(())
}

/// How values of a kind are written, one by one.
#[inline(always)]
pub(crate) fn wire_type(kind: Kind) -> WireType {
    match kind {
        Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Sint32 | Kind::Sint64 => {
            WireType::Varint
        }
        Kind::Bool | Kind::Enum(_) => WireType::Varint,
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => WireType::Bytes8,
        Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => WireType::Bytes4,
        Kind::String | Kind::Bytes | Kind::Message(_) => WireType::Prefixed,
        Kind::Group(_) => WireType::Group,
    }
}
