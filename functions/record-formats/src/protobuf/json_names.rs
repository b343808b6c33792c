//! Gives the fields of a message names of their own in JSON, where they are alike.
//!
//! proto2 allows fields such as `foo_bar` and `fooBar`, whose name in JSON is the same, and proto3 such as `foo` and `Foo`
//! (<https://protobuf.dev/programming-guides/json/>). The compiler takes neither. A record may have both, and none may be lost.

use std::collections::{HashMap, HashSet};

use prost_reflect::prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto};

use crate::protobuf::edition::{Encoding, FeatureSet, Features, Presence, full_name};

/// The file as the compiler takes it, or `None` if it does so already.
pub(crate) fn as_compiled(
    file: &FileDescriptorProto,
    features: &mut Features,
) -> Option<FileDescriptorProto> {
    let distinct = distinct(file);
    let file = distinct.as_ref().unwrap_or(file);
    if file.syntax() == "proto3" && !file.message_type.iter().all(|it| all(it, &differ_in_more_than_case)) {
        let mut file = file.clone();
        file.syntax = None;
        for message in &file.message_type {
            add_implicit(message, file.package(), features);
        }
        return Some(file);
    }
    distinct
}

/// Whether the fields of a message differ in more than case and underscores, as the compiler demands of proto3.
fn differ_in_more_than_case(message: &DescriptorProto) -> bool {
    let mut names = HashSet::new();
    message.field.iter().all(|field| names.insert(field.name().replace('_', "").to_ascii_lowercase()))
}

/// Says of each field that its default is none, as in proto3. It counts for those alone that have no presence there.
fn add_implicit(message: &DescriptorProto, scope: &str, features: &mut Features) {
    let scope = full_name(scope, message.name());
    let implicit = FeatureSet { presence: Presence::Implicit, encoding: Encoding::LengthPrefixed };
    for field in &message.field {
        features.add(full_name(&scope, field.name()), implicit);
    }
    message.nested_type.iter().for_each(|nested| add_implicit(nested, &scope, features));
}

/// The file with distinct names, where a message has a name in JSON twice: the field whose own name it is keeps it, or else the
/// first one, and the others have their own names. `None` if there is no such message.
fn distinct(file: &FileDescriptorProto) -> Option<FileDescriptorProto> {
    let is_distinct = |message: &DescriptorProto| all(message, &|message| owners(message).1);
    if file.message_type.iter().all(is_distinct) {
        return None;
    }
    let mut file = file.clone();
    file.message_type.iter_mut().for_each(make_distinct);
    Some(file)
}

/// Whether a message and all messages in it are so.
fn all(message: &DescriptorProto, is_so: &impl Fn(&DescriptorProto) -> bool) -> bool {
    is_so(message) && message.nested_type.iter().all(|nested| all(nested, is_so))
}

/// Which field has a name in JSON, by the field's index, and whether each has one.
fn owners(message: &DescriptorProto) -> (HashMap<String, usize>, bool) {
    let mut owners: HashMap<String, usize> = HashMap::new();
    let mut is_distinct = true;
    for (index, field) in message.field.iter().enumerate() {
        let name = json_name(field);
        let is_own = field.name() == name;
        is_distinct &= !owners.contains_key(&name);
        if is_own {
            owners.insert(name, index);
        } else {
            owners.entry(name).or_insert(index);
        }
    }
    (owners, is_distinct)
}

fn make_distinct(message: &mut DescriptorProto) {
    let (owners, _) = owners(message);
    for (index, field) in message.field.iter_mut().enumerate() {
        let name = json_name(field);
        field.json_name =
            Some(if owners.get(&name) == Some(&index) { name } else { field.name().to_owned() });
    }
    message.nested_type.iter_mut().for_each(make_distinct);
}

/// What the field's options say, or its name in lower camel case.
fn json_name(field: &FieldDescriptorProto) -> String {
    if let Some(name) = &field.json_name {
        return name.clone();
    }
    let mut name = String::new();
    let mut is_after_underscore = false;
    for character in field.name().chars() {
        match character {
            '_' => is_after_underscore = true,
            _ if is_after_underscore => {
                name.push(character.to_ascii_uppercase());
                is_after_underscore = false;
            }
            _ => name.push(character),
        }
    }
    name
}
