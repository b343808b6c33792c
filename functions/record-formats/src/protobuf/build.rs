//! Makes the messages and enums of a schema from its descriptors.

use std::collections::{BTreeMap, HashMap};

use prost_reflect::{
    Cardinality, DescriptorPool, EnumDescriptor, ExtensionDescriptor, FieldDescriptor, FileDescriptor,
    Kind as DescribedKind, MessageDescriptor,
};

use crate::output::append_text;
use crate::protobuf::edition::Features;
use crate::protobuf::model::{
    DENSE_NUMBERS, Enum, EnumId, Field, Form, Kind, Message, MessageId, Shape, Types,
};

/// Makes the types of all files; `main` is the schema's own, and has this text. `features` are those of the files of editions.
pub(crate) fn build(files: &DescriptorPool, main: &FileDescriptor, features: &Features, text: &str) -> Types {
    let ids = Ids {
        messages: files.all_messages().enumerate().map(|(id, it)| (it.full_name().to_owned(), id)).collect(),
        enums: files.all_enums().enumerate().map(|(id, it)| (it.full_name().to_owned(), id)).collect(),
    };
    let mut of_main: Vec<MessageDescriptor> =
        files.all_messages().filter(|it| it.parent_file().name() == main.name()).collect();
    of_main.sort_by(|a, b| a.full_name().cmp(b.full_name()));
    Types {
        messages: files.all_messages().map(|it| message(&it, &ids, features)).collect(),
        enums: files.all_enums().map(|it| enumeration(&it)).collect(),
        top: main.messages().map(|it| ids.message(&it)).collect(),
        text_has_entries: text.contains("map_entry"),
        by_full_name: of_main.iter().map(|it| ids.message(it)).collect(),
        names: files.all_messages().map(|it| (it.full_name().into(), ids.message(&it))).collect(),
    }
}

struct Ids {
    messages: HashMap<String, MessageId>,
    enums: HashMap<String, EnumId>,
}

impl Ids {
    fn message(&self, message: &MessageDescriptor) -> MessageId {
        *self.messages.get(message.full_name()).expect("the files have the message")
    }

    fn kind(&self, kind: &DescribedKind, is_group: bool) -> Kind {
        match kind {
            DescribedKind::Double => Kind::Double,
            DescribedKind::Float => Kind::Float,
            DescribedKind::Int32 => Kind::Int32,
            DescribedKind::Int64 => Kind::Int64,
            DescribedKind::Uint32 => Kind::Uint32,
            DescribedKind::Uint64 => Kind::Uint64,
            DescribedKind::Sint32 => Kind::Sint32,
            DescribedKind::Sint64 => Kind::Sint64,
            DescribedKind::Fixed32 => Kind::Fixed32,
            DescribedKind::Fixed64 => Kind::Fixed64,
            DescribedKind::Sfixed32 => Kind::Sfixed32,
            DescribedKind::Sfixed64 => Kind::Sfixed64,
            DescribedKind::Bool => Kind::Bool,
            DescribedKind::String => Kind::String,
            DescribedKind::Bytes => Kind::Bytes,
            DescribedKind::Message(message) if is_group => Kind::Group(self.message(message)),
            DescribedKind::Message(message) => Kind::Message(self.message(message)),
            DescribedKind::Enum(each) => {
                Kind::Enum(*self.enums.get(each.full_name()).expect("the files have the enum"))
            }
        }
    }
}

fn message(described: &MessageDescriptor, ids: &Ids, features: &Features) -> Message {
    let mut slots = Slots { n: 0, of_oneofs: HashMap::new() };
    let fields = described.fields().map(|it| field(&it, ids, features, &mut slots));
    let mut fields: Vec<Field> = fields.collect();
    fields.extend(described.extensions().map(|it| extension(&it, ids, features, slots.next())));
    fields.sort_by_key(|field| field.number);
    let n_dense = fields.iter().map(|it| it.number as usize + 1).filter(|n| *n <= DENSE_NUMBERS).max();
    let mut dense = vec![0; n_dense.unwrap_or(0)];
    for (index, field) in fields.iter().enumerate() {
        if let Some(place) = dense.get_mut(field.number as usize) {
            *place = index as u16 + 1;
        }
    }
    Message {
        fields,
        dense,
        form: form(described.full_name()),
        nested: described.child_messages().map(|it| ids.message(&it)).collect(),
        is_map_entry: described.is_map_entry(),
    }
}

/// Numbers the fields of a message; those of a oneof get one number.
struct Slots {
    n: u16,
    of_oneofs: HashMap<String, u16>,
}

impl Slots {
    fn next(&mut self) -> u16 {
        self.n = self.n.saturating_add(1);
        self.n - 1
    }

    fn of(&mut self, field: &FieldDescriptor) -> u16 {
        let Some(oneof) = field.containing_oneof() else { return self.next() };
        if let Some(slot) = self.of_oneofs.get(oneof.name()) {
            return *slot;
        }
        let slot = self.next();
        self.of_oneofs.insert(oneof.name().to_owned(), slot);
        slot
    }
}

fn field(described: &FieldDescriptor, ids: &Ids, features: &Features, slots: &mut Slots) -> Field {
    let is_group = described.is_group() || features.is_delimited(described.full_name());
    let kind = ids.kind(&described.kind(), is_group);
    let shape = if described.is_map() {
        let entry = described.kind();
        let entry = entry.as_message().expect("the entry of a map is a message");
        let of = |field: FieldDescriptor| ids.kind(&field.kind(), field.is_group());
        Shape::Map { key: of(entry.map_entry_key_field()), value: of(entry.map_entry_value_field()) }
    } else if described.is_list() {
        Shape::Repeated(kind)
    } else if described.supports_presence() && !is_implicit(described, kind, features) {
        Shape::Explicit(kind)
    } else {
        Shape::Implicit(kind)
    };
    named(described.number(), described.json_name(), slots.of(described), shape)
}

fn is_implicit(described: &FieldDescriptor, kind: Kind, features: &Features) -> bool {
    !matches!(kind, Kind::Message(_) | Kind::Group(_))
        && described.containing_oneof().is_none()
        && features.is_implicit(described.full_name())
}

fn extension(described: &ExtensionDescriptor, ids: &Ids, features: &Features, slot: u16) -> Field {
    let is_group = described.is_group() || features.is_delimited(described.full_name());
    let kind = ids.kind(&described.kind(), is_group);
    let shape = match described.cardinality() {
        Cardinality::Repeated => Shape::Repeated(kind),
        _ => Shape::Explicit(kind),
    };
    named(described.number(), described.json_name(), slot, shape)
}

fn named(number: u32, name: &str, slot: u16, shape: Shape) -> Field {
    let mut opening = Vec::new();
    append_text(&mut opening, name);
    opening.push(b':');
    Field { number, name: name.into(), opening: opening.into(), slot, shape }
}

fn enumeration(described: &EnumDescriptor) -> Enum {
    let mut values: BTreeMap<i32, Box<[u8]>> = BTreeMap::new();
    // In the order of the text: `values` has another.
    for value in &described.enum_descriptor_proto().value {
        let mut json = Vec::new();
        append_text(&mut json, value.name());
        values.entry(value.number()).or_insert(json.into());
    }
    Enum {
        values: values.into_iter().collect(),
        default: described.default_value().number(),
        is_null: described.full_name() == "google.protobuf.NullValue",
    }
}

fn form(full_name: &str) -> Form {
    let Some(name) = full_name.strip_prefix("google.protobuf.") else {
        return if full_name == "confluent.type.Decimal" { Form::Decimal } else { Form::Object };
    };
    match name {
        "Timestamp" => Form::Timestamp,
        "Duration" => Form::Duration,
        "FieldMask" => Form::FieldMask,
        "Any" => Form::Any,
        "Struct" => Form::Bare("{}"),
        "ListValue" => Form::Bare("[]"),
        "Value" => Form::Bare("null"),
        "DoubleValue" | "FloatValue" => Form::Bare("0.0"),
        "Int64Value" | "UInt64Value" | "Int32Value" | "UInt32Value" => Form::Bare("0"),
        "BoolValue" => Form::Bare("false"),
        "StringValue" | "BytesValue" => Form::Bare("\"\""),
        _ => Form::Object,
    }
}
