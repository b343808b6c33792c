//! Reads Protobuf messages and writes JSON.
//!
//! Fields are written as they come. What can't be written so (a field that comes again, or a list with other fields between its items)
//! makes the record begin anew, with each message's fields sorted before they are written. Serializers don't write such messages, but
//! Protobuf allows them.

use crate::decode_error::{DecodeError, DecodeErrorKind};
use crate::input::{Input, unzigzag};
use crate::limits::Limits;
use crate::map_keys::MapKeys;
use crate::notes::Notes;
use crate::output::{
    append_base64, append_boolean, append_double, append_float, append_int, append_string, append_uint,
};
use crate::protobuf::model::{Field, Form, Kind, Message, MessageId, Shape, Types};
use crate::protobuf::slots::Slots;
use crate::protobuf::tagged::{is_default, known_field, message_part};
use crate::protobuf::well_known::{
    Scalars, append_decimal_message, append_duration, append_field_mask, append_timestamp,
};
use crate::protobuf::wire::{Tag, WireType, prefixed, skip, tag, wire_type};

/// Appends the message that `input` has, which is the end of `body`; on an error a part of it may have been written.
pub(crate) fn append_message(
    types: &Types,
    message: MessageId,
    body: &[u8],
    input: Input<'_>,
    limits: &Limits,
    json: &mut Vec<u8>,
) -> Result<Notes, DecodeError> {
    if u32::try_from(body.len()).is_err() {
        return Err(input.error(DecodeErrorKind::Length(i64::MAX)));
    }
    let start = json.len();
    for order in [Order::AsTheyCome, Order::Sorted] {
        json.truncate(start);
        let mut writer = Writer {
            types,
            body,
            limits,
            order,
            start,
            max_len: start.saturating_add(limits.max_json_bytes.min(u32::MAX as usize)),
            json,
            keys: MapKeys::default(),
            notes: Notes::default(),
        };
        match writer.message(message, &[input], 0) {
            Ok(()) => return Ok(writer.notes),
            Err(Stop::Error(error)) => return Err(error),
            Err(Stop::OutOfOrder) => {}
        }
    }
    unreachable_order(input)
}

/// Sorted fields are never out of order.
#[cold]
fn unreachable_order(input: Input<'_>) -> Result<Notes, DecodeError> {
    debug_assert!(false, "sorted fields are in order");
    Err(input.error(DecodeErrorKind::Truncated))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    AsTheyCome,
    Sorted,
}

/// Why writing stops.
enum Stop {
    Error(DecodeError),
    /// The fields can't be written as they come.
    OutOfOrder,
}

impl From<DecodeError> for Stop {
    fn from(error: DecodeError) -> Self {
        Self::Error(error)
    }
}

impl Stop {
    #[cold]
    fn in_field(self, name: &str) -> Self {
        match self {
            Self::Error(error) => Self::Error(error.in_field(name)),
            Self::OutOfOrder => self,
        }
    }
}

struct Writer<'w> {
    types: &'w Types,
    body: &'w [u8],
    limits: &'w Limits,
    order: Order,
    json: &'w mut Vec<u8>,
    /// Where the record begins in `json`.
    start: usize,
    max_len: usize,
    keys: MapKeys,
    notes: Notes,
}

/// Where a field's value is: behind its tag.
struct Place {
    slot: u16,
    field: u16,
    offset: u32,
    wire_type: WireType,
}

/// The members of an object that is being written.
struct Members {
    style: Style,
    is_first: bool,
    /// The list or map that is being written, by its field's index, and what closes it.
    open: Option<(usize, Open)>,
}

enum Open {
    List,
    Map { keys: usize },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    /// `"name":value`
    Named,
    /// The value alone.
    Bare,
}

impl<'w> Writer<'w> {
    /// Writes a message. Its fields may be in several parts: then the later ones are merged into the earlier.
    fn message(&mut self, id: MessageId, parts: &[Input<'w>], depth: usize) -> Result<(), Stop> {
        let message = self.types.message(id);
        match message.form {
            Form::Object => {
                self.json.push(b'{');
                self.fields(message, parts, Style::Named, IsFirst::Yes, depth)?;
                self.json.push(b'}');
            }
            Form::Bare(default) => {
                let start = self.json.len();
                self.fields(message, parts, Style::Bare, IsFirst::Yes, depth)?;
                if self.json.len() == start {
                    self.json.extend_from_slice(default.as_bytes());
                }
            }
            Form::Any => self.any(parts, depth)?,
            form => {
                let (scalars, n_unknown) = Scalars::read(parts)?;
                self.notes.n_unknown_fields += n_unknown;
                match form {
                    Form::Timestamp => append_timestamp(self.json, &scalars)?,
                    Form::Duration => append_duration(self.json, &scalars)?,
                    Form::FieldMask => append_field_mask(self.json, parts)?,
                    _ => append_decimal_message(self.json, &scalars)?,
                }
            }
        }
        Ok(())
    }

    /// Writes the fields of a message, which is one level.
    fn fields(
        &mut self,
        message: &'w Message,
        parts: &[Input<'w>],
        style: Style,
        is_first: IsFirst,
        depth: usize,
    ) -> Result<(), Stop> {
        if depth >= self.limits.max_depth {
            let error = DecodeErrorKind::Depth(self.limits.max_depth);
            return Err(parts.first().unwrap_or(&Input::new(&[])).error(error).into());
        }
        let mut members = Members { style, is_first: is_first == IsFirst::Yes, open: None };
        match (self.order, parts) {
            (Order::AsTheyCome, [part]) => {
                self.fields_as_they_come(message, *part, &mut members, depth + 1)?
            }
            _ => self.fields_sorted(message, parts, &mut members, depth + 1)?,
        }
        self.close(&mut members);
        Ok(())
    }

    fn fields_as_they_come(
        &mut self,
        message: &'w Message,
        mut input: Input<'w>,
        members: &mut Members,
        depth: usize,
    ) -> Result<(), Stop> {
        let mut slots = Slots::default();
        while input.len() > 0 {
            let tag = tag(&mut input)?;
            let Some((index, field)) = known_field(message, tag) else {
                self.notes.n_unknown_fields += 1;
                skip(&mut input, tag)?;
                continue;
            };
            let continues = members.open.as_ref().is_some_and(|(open, _)| *open == index);
            if !continues {
                self.close(members);
                if slots.insert(field.slot) {
                    return Err(Stop::OutOfOrder);
                }
            }
            self.occurrence(index, field, tag, &mut input, members, depth)
                .map_err(|stop| stop.in_field(&field.name))?;
        }
        Ok(())
    }

    /// Writes fields in the order of the schema, once each: of those that may occur once, and of a oneof, the last one.
    fn fields_sorted(
        &mut self,
        message: &'w Message,
        parts: &[Input<'w>],
        members: &mut Members,
        depth: usize,
    ) -> Result<(), Stop> {
        let mut places = Vec::new();
        for part in parts {
            let mut input = *part;
            while input.len() > 0 {
                let tag = tag(&mut input)?;
                match known_field(message, tag) {
                    Some((index, field)) => places.push(Place {
                        slot: field.slot,
                        field: index as u16,
                        offset: input.offset() as u32,
                        wire_type: tag.wire_type,
                    }),
                    None => self.notes.n_unknown_fields += 1,
                }
                skip(&mut input, tag)?;
            }
        }
        places.sort_by_key(|place| (place.slot, place.offset));
        for places in places.chunk_by(|a, b| a.slot == b.slot) {
            let Some(last) = places.last() else { continue };
            let index = usize::from(last.field);
            let Some(field) = message.fields.get(index) else { continue };
            self.places(index, field, last, places, members, depth)
                .map_err(|stop| stop.in_field(&field.name))?;
        }
        Ok(())
    }

    /// Writes what the places of one slot have.
    fn places(
        &mut self,
        index: usize,
        field: &'w Field,
        last: &Place,
        places: &[Place],
        members: &mut Members,
        depth: usize,
    ) -> Result<(), Stop> {
        let occurrence = |place: &Place| Tag { number: field.number, wire_type: place.wire_type };
        match &field.shape {
            Shape::Repeated(_) | Shape::Map { .. } => {
                for place in places {
                    let mut input = Input::at(self.body, place.offset as usize);
                    self.occurrence(index, field, occurrence(place), &mut input, members, depth)?;
                }
                self.close(members);
            }
            Shape::Explicit(Kind::Message(id) | Kind::Group(id)) => {
                // Another member of the oneof in between makes the message begin anew.
                let merged =
                    places.iter().rev().take_while(|place| usize::from(place.field) == index).count();
                let mut parts = Vec::with_capacity(merged);
                for place in places.iter().skip(places.len() - merged) {
                    let mut input = Input::at(self.body, place.offset as usize);
                    parts.push(message_part(&mut input, occurrence(place))?);
                }
                self.begin(field, members);
                self.message(*id, &parts, depth)?;
            }
            Shape::Explicit(_) | Shape::Implicit(_) => {
                let mut input = Input::at(self.body, last.offset as usize);
                self.occurrence(index, field, occurrence(last), &mut input, members, depth)?;
            }
        }
        Ok(())
    }

    /// Writes one occurrence of a field, whose value is next.
    fn occurrence(
        &mut self,
        index: usize,
        field: &'w Field,
        tag: Tag,
        input: &mut Input<'w>,
        members: &mut Members,
        depth: usize,
    ) -> Result<(), Stop> {
        match &field.shape {
            Shape::Implicit(kind) => {
                if is_default(*kind, *input)? {
                    return Ok(skip(input, tag)?);
                }
                self.begin(field, members);
                self.value(*kind, tag, input, depth)
            }
            Shape::Explicit(kind) => {
                self.begin(field, members);
                self.value(*kind, tag, input, depth)
            }
            Shape::Repeated(kind) => self.items(index, field, *kind, tag, input, members, depth),
            Shape::Map { key, value } => {
                let entry = prefixed(input)?;
                if members.open.is_none() {
                    self.begin(field, members);
                    self.json.push(b'{');
                    members.open = Some((index, Open::Map { keys: self.keys.open() }));
                } else {
                    self.json.push(b',');
                }
                self.entry(*key, *value, entry, depth)
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a list's place in the message, and its items")]
    fn items(
        &mut self,
        index: usize,
        field: &'w Field,
        kind: Kind,
        tag: Tag,
        input: &mut Input<'w>,
        members: &mut Members,
        depth: usize,
    ) -> Result<(), Stop> {
        if tag.wire_type == wire_type(kind) {
            self.next_item(index, field, members);
            return self.value(kind, tag, input, depth);
        }
        // Packed: a list of none is no list.
        let mut packed = prefixed(input)?;
        let tag = Tag { number: tag.number, wire_type: wire_type(kind) };
        while packed.len() > 0 {
            self.next_item(index, field, members);
            self.value(kind, tag, &mut packed, depth)?;
        }
        Ok(())
    }

    fn next_item(&mut self, index: usize, field: &Field, members: &mut Members) {
        if members.open.is_none() {
            self.begin(field, members);
            self.json.push(b'[');
            members.open = Some((index, Open::List));
        } else {
            self.json.push(b',');
        }
    }

    /// Writes what comes before a member's value.
    #[inline]
    fn begin(&mut self, field: &Field, members: &mut Members) {
        if members.style == Style::Named {
            if !members.is_first {
                self.json.push(b',');
            }
            self.json.extend_from_slice(&field.opening);
        }
        members.is_first = false;
    }

    /// Closes the list or map that is being written.
    #[inline]
    fn close(&mut self, members: &mut Members) {
        match members.open.take() {
            None => {}
            Some((_, Open::List)) => self.json.push(b']'),
            Some((_, Open::Map { keys })) => {
                self.notes.n_duplicate_keys += self.keys.close(keys, self.json, self.start);
                self.json.push(b'}');
            }
        }
    }

    /// Writes an entry of a map. A part that is missing has its default value.
    fn entry(&mut self, key: Kind, value: Kind, mut entry: Input<'w>, depth: usize) -> Result<(), Stop> {
        let mut key_place = None;
        let mut value_place = None;
        let mut earlier = Vec::new();
        while entry.len() > 0 {
            let tag = tag(&mut entry)?;
            match tag {
                Tag { number: 1, wire_type: found } if found == wire_type(key) => key_place = Some(entry),
                Tag { number: 2, wire_type: found } if found == wire_type(value) => {
                    earlier.extend(value_place.replace(entry));
                }
                _ => self.notes.n_unknown_fields += 1,
            }
            skip(&mut entry, tag)?;
        }
        let start = self.json.len() - self.start;
        self.map_key(key, key_place)?;
        self.keys.add(start, self.json.len() - self.start);
        self.json.push(b':');
        let tag = Tag { number: 2, wire_type: wire_type(value) };
        match (value, value_place) {
            (Kind::Message(id), _) => {
                let mut parts = Vec::new();
                for mut place in earlier.into_iter().chain(value_place) {
                    parts.push(message_part(&mut place, tag)?);
                }
                self.message(id, &parts, depth)?;
            }
            (_, Some(mut place)) => self.value(value, tag, &mut place, depth)?,
            (_, None) => self.default(value),
        }
        self.check_size(entry)
    }

    fn map_key(&mut self, kind: Kind, place: Option<Input<'w>>) -> Result<(), Stop> {
        let is_string = kind == Kind::String;
        if !is_string {
            self.json.push(b'"');
        }
        match place {
            Some(mut place) => self.scalar(kind, &mut place)?,
            None => self.default(kind),
        }
        if !is_string {
            self.json.push(b'"');
        }
        Ok(())
    }

    fn default(&mut self, kind: Kind) {
        match kind {
            Kind::Double | Kind::Float => self.json.extend_from_slice(b"0.0"),
            Kind::Bool => self.json.extend_from_slice(b"false"),
            Kind::String | Kind::Bytes => self.json.extend_from_slice(b"\"\""),
            Kind::Enum(id) => {
                let number = self.types.enums.get(id).map_or(0, |each| each.default);
                self.enumeration(id, number);
            }
            _ => self.json.push(b'0'),
        }
    }

    /// Writes a value, which is next.
    fn value(&mut self, kind: Kind, tag: Tag, input: &mut Input<'w>, depth: usize) -> Result<(), Stop> {
        match kind {
            Kind::Message(id) | Kind::Group(id) => {
                let part = message_part(input, tag)?;
                self.message(id, &[part], depth)?;
            }
            _ => self.scalar(kind, input)?,
        }
        self.check_size(*input)
    }

    #[inline]
    fn check_size(&self, input: Input<'_>) -> Result<(), Stop> {
        if self.json.len() > self.max_len {
            return Err(input.error(DecodeErrorKind::JsonBytes(self.limits.max_json_bytes)).into());
        }
        Ok(())
    }

    /// Writes a value that is no message.
    #[inline]
    fn scalar(&mut self, kind: Kind, input: &mut Input<'w>) -> Result<(), DecodeError> {
        match kind {
            Kind::Double => {
                let number = f64::from_le_bytes(input.array()?);
                self.notes.n_non_finite += u32::from(!number.is_finite());
                append_double(self.json, number);
            }
            Kind::Float => {
                let number = f32::from_le_bytes(input.array()?);
                self.notes.n_non_finite += u32::from(!number.is_finite());
                append_float(self.json, number);
            }
            Kind::Int32 => append_int(self.json, (input.varint()? as i32).into()),
            Kind::Int64 => append_int(self.json, input.varint()? as i64),
            Kind::Uint32 => append_uint(self.json, (input.varint()? as u32).into()),
            Kind::Uint64 => append_uint(self.json, input.varint()?),
            Kind::Sint32 => append_int(self.json, unzigzag((input.varint()? as u32).into())),
            Kind::Sint64 => append_int(self.json, unzigzag(input.varint()?)),
            Kind::Fixed32 => append_uint(self.json, u32::from_le_bytes(input.array()?).into()),
            Kind::Fixed64 => append_uint(self.json, u64::from_le_bytes(input.array()?)),
            Kind::Sfixed32 => append_int(self.json, i32::from_le_bytes(input.array()?).into()),
            Kind::Sfixed64 => append_int(self.json, i64::from_le_bytes(input.array()?)),
            Kind::Bool => append_boolean(self.json, input.varint()? != 0),
            Kind::String => {
                let start = *input;
                let text = prefixed(input)?.take_rest();
                append_string(self.json, text).map_err(|_| start.error(DecodeErrorKind::NotUtf8))?;
            }
            Kind::Bytes => append_base64(self.json, prefixed(input)?.take_rest()),
            Kind::Enum(id) => {
                let number = input.varint()? as i32;
                self.enumeration(id, number);
            }
            // No caller has one here.
            Kind::Message(_) | Kind::Group(_) => {}
        }
        Ok(())
    }

    fn enumeration(&mut self, id: usize, number: i32) {
        match self.types.enums.get(id).and_then(|each| each.name(number)) {
            Some(name) => self.json.extend_from_slice(name),
            None => append_int(self.json, number.into()),
        }
    }

    /// Writes an `Any`: the members of the message that it holds beside `@type`.
    fn any(&mut self, parts: &[Input<'w>], depth: usize) -> Result<(), Stop> {
        let (scalars, n_unknown) = Scalars::read(parts)?;
        self.notes.n_unknown_fields += n_unknown;
        let (url, value) = (scalars.first_text(), scalars.second_bytes());
        if url.is_empty() && value.len() == 0 {
            self.json.extend_from_slice(b"{}");
            return Ok(());
        }
        self.json.extend_from_slice(b"{\"@type\":");
        let start = parts.first().copied().unwrap_or(value);
        append_string(self.json, url).map_err(|_| start.error(DecodeErrorKind::NotUtf8))?;
        let name = url.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let id = str::from_utf8(name).ok().and_then(|name| self.types.names.get(name).copied());
        match id {
            None => {
                self.notes.n_unknown_types += 1;
                self.json.extend_from_slice(b",\"value\":");
                append_base64(self.json, { value }.take_rest());
            }
            Some(id) if self.types.message(id).form == Form::Object => {
                self.fields(self.types.message(id), &[value], Style::Named, IsFirst::No, depth)?;
            }
            Some(id) => {
                self.json.extend_from_slice(b",\"value\":");
                // An `Any` in an `Any` is one level.
                if depth >= self.limits.max_depth {
                    return Err(value.error(DecodeErrorKind::Depth(self.limits.max_depth)).into());
                }
                self.message(id, &[value], depth + 1)?;
            }
        }
        self.json.push(b'}');
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum IsFirst {
    Yes,
    No,
}
