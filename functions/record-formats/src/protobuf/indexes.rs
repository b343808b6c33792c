//! Finds the message type of a record by the indexes that serializers write in front of it.
//!
//! Confluent's serializers write the place of the message in its file: a count, and as many indexes, from the top inwards; a lone 0
//! stands for the first message. Glue's write one number, the message's place among the full names.
//!
//! Serializers differ in whether they count the entry types of maps that are among the messages in a message. Those of most languages
//! do, as descriptors have them. Java's counts the messages of the schema's text: entries are there when it made the text from a
//! descriptor (`option map_entry`), and are not when the text says `map<…>`. Where the counts lead to two messages, Java's comes first.

use crate::decode_error::{DecodeError, DecodeErrorKind};
use crate::frame::{Framed, SchemaId};
use crate::input::Input;
use crate::protobuf::model::{MessageId, Types};

/// The message types that a record may be of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Candidates {
    pub(crate) first: MessageId,
    /// Another one, if the record doesn't fit the first.
    pub(crate) second: Option<MessageId>,
}

/// Finds the message type; `input` is the body, and loses the indexes if they are in it.
pub(crate) fn message_types(
    types: &Types,
    framed: &Framed<'_>,
    input: &mut Input<'_>,
) -> Result<Candidates, DecodeError> {
    let start = *input;
    let found = match (framed.id, framed.message_indexes) {
        (SchemaId::Glue(_), _) => by_full_name(types, input)?,
        (_, None) => by_indexes(types, input)?,
        (_, Some([])) => only(types.top.first().copied()),
        (_, Some(header)) => {
            let mut header = Input::new(header);
            let found =
                by_indexes(types, &mut header).map_err(|_| start.error(DecodeErrorKind::MessageIndexes))?;
            found.filter(|_| header.len() == 0)
        }
    };
    found.ok_or_else(|| start.error(DecodeErrorKind::MessageIndexes))
}

fn only(found: Option<MessageId>) -> Option<Candidates> {
    found.map(|first| Candidates { first, second: None })
}

fn by_full_name(types: &Types, input: &mut Input<'_>) -> Result<Option<Candidates>, DecodeError> {
    let index = usize::try_from(input.varint()?).ok();
    let found = index.and_then(|index| types.by_full_name.get(index)).copied();
    Ok(only(found.filter(|id| !types.message(*id).is_map_entry)))
}

fn by_indexes(types: &Types, input: &mut Input<'_>) -> Result<Option<Candidates>, DecodeError> {
    let n = input.zigzag()?;
    if n == 0 {
        return Ok(only(types.top.first().copied()));
    }
    let mut of_text = Walk { level: Some(&types.top), found: None };
    let mut of_descriptor = Walk { level: Some(&types.top), found: None };
    for _ in 0..n {
        let index = usize::try_from(input.zigzag()?).ok();
        let Some(index) = index else { return Ok(None) };
        of_text.step(types, |messages| {
            let is_counted = |id: &&MessageId| types.text_has_entries || !types.message(**id).is_map_entry;
            messages.iter().filter(is_counted).nth(index)
        });
        of_descriptor.step(types, |messages| messages.get(index));
        if of_text.found.is_none() && of_descriptor.found.is_none() {
            break;
        }
    }
    let is_message = |id: &MessageId| !types.message(*id).is_map_entry;
    let (text, descriptor) = (of_text.found.filter(is_message), of_descriptor.found.filter(is_message));
    Ok(text.or(descriptor).map(|first| Candidates { first, second: descriptor.filter(|it| *it != first) }))
}

/// The way from the top of the file to a message.
struct Walk<'t> {
    level: Option<&'t [MessageId]>,
    found: Option<MessageId>,
}

impl<'t> Walk<'t> {
    fn step(&mut self, types: &'t Types, pick: impl Fn(&'t [MessageId]) -> Option<&'t MessageId>) {
        self.found = self.level.and_then(pick).copied();
        self.level = self.found.map(|id| types.message(id).nested.as_slice());
    }
}
