//! Finds the message type of a record by the indexes that serializers write in front of it.
//!
//! Confluent's serializers write the place of the message in its file: a count, and as many indexes, from the top inwards; a lone 0
//! stands for the first message. Glue's write one number, the message's place among the full names.
//!
//! Confluent's Java serializer doesn't count the entry types of maps that are among the messages in a message; those of other
//! languages do. Java's count is tried first. They agree where a message has its maps behind the messages in it.

use crate::decode_error::{DecodeError, DecodeErrorKind};
use crate::frame::{Framed, SchemaId};
use crate::input::Input;
use crate::protobuf::model::{MessageId, Types};

/// Finds the message type; `input` is the body, and loses the indexes if they are in it.
pub(crate) fn message_type(
    types: &Types,
    framed: &Framed<'_>,
    input: &mut Input<'_>,
) -> Result<MessageId, DecodeError> {
    let start = *input;
    let found = match (framed.id, framed.message_indexes) {
        (SchemaId::Glue(_), _) => by_full_name(types, input)?,
        (_, None) => by_indexes(types, input)?,
        (_, Some([])) => types.top.first().copied(),
        (_, Some(header)) => {
            let mut header = Input::new(header);
            let found =
                by_indexes(types, &mut header).map_err(|_| start.error(DecodeErrorKind::MessageIndexes))?;
            found.filter(|_| header.len() == 0)
        }
    };
    found.ok_or_else(|| start.error(DecodeErrorKind::MessageIndexes))
}

fn by_full_name(types: &Types, input: &mut Input<'_>) -> Result<Option<MessageId>, DecodeError> {
    let index = usize::try_from(input.varint()?).ok();
    Ok(index
        .and_then(|index| types.by_full_name.get(index))
        .copied()
        .filter(|id| !types.message(*id).is_map_entry))
}

fn by_indexes(types: &Types, input: &mut Input<'_>) -> Result<Option<MessageId>, DecodeError> {
    let n = input.zigzag()?;
    if n == 0 {
        return Ok(types.top.first().copied());
    }
    let mut level = Some(types.top.as_slice());
    let mut found = None;
    for _ in 0..n {
        let index = usize::try_from(input.zigzag()?).ok();
        found = level.zip(index).and_then(|(messages, index)| nth(types, messages, index));
        level = found.map(|id| types.message(id).nested.as_slice());
        if found.is_none() {
            break;
        }
    }
    Ok(found)
}

/// The message with an index, as Java counts, or else as the other languages do.
fn nth(types: &Types, messages: &[MessageId], index: usize) -> Option<MessageId> {
    let is_message = |id: &MessageId| !types.message(*id).is_map_entry;
    let mut of_java = messages.iter().copied().filter(|id| is_message(id));
    of_java.nth(index).or_else(|| messages.get(index).copied().filter(is_message))
}
