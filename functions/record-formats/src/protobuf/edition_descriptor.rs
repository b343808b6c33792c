//! Reads the edition and the features of a descriptor's bytes: the library's own types have no members for them. The numbers are
//! those of `google/protobuf/descriptor.proto`.

use crate::decode_error::DecodeError;
use crate::input::Input;
use crate::protobuf::edition::{Encoding, FeatureSet, Features, Presence, full_name};
use crate::protobuf::wire::{WireType, prefixed, skip, tag};

/// The edition that a `FileDescriptorProto` names: `2023`, or a number that has no name here.
pub(crate) fn edition(descriptor: &[u8]) -> Result<String, DecodeError> {
    Ok(match last_number(Input::new(descriptor), 14)? {
        Some(1000) => "2023".to_owned(),
        Some(1001) => "2024".to_owned(),
        Some(1002) => "2026".to_owned(),
        Some(number) => format!("number {number}"),
        None => "unknown".to_owned(),
    })
}

/// Adds what the features of a `FileDescriptorProto` say of its fields.
pub(crate) fn add_features(descriptor: &[u8], features: &mut Features) -> Result<(), DecodeError> {
    let file = Input::new(descriptor);
    let of_file = features_of(file, 8, 50, FeatureSet::default())?;
    let package = name(file, 2)?;
    for message in parts(file, 4)? {
        add_message(message, &package, of_file, features)?;
    }
    add_fields(parts(file, 7)?, &package, of_file, features)
}

/// A message, which a library has decoded already: the levels are bounded.
fn add_message(
    message: Input<'_>,
    scope: &str,
    around: FeatureSet,
    features: &mut Features,
) -> Result<(), DecodeError> {
    let of_message = features_of(message, 7, 12, around)?;
    let name = full_name(scope, &name(message, 1)?);
    add_fields(parts(message, 2)?, &name, of_message, features)?;
    add_fields(parts(message, 6)?, &name, of_message, features)?;
    for nested in parts(message, 3)? {
        add_message(nested, &name, of_message, features)?;
    }
    Ok(())
}

fn add_fields(
    fields: Vec<Input<'_>>,
    scope: &str,
    around: FeatureSet,
    features: &mut Features,
) -> Result<(), DecodeError> {
    for field in fields {
        features.add(full_name(scope, &name(field, 1)?), features_of(field, 8, 21, around)?);
    }
    Ok(())
}

/// The features in the options of a part of the file, with those around it.
fn features_of(
    of: Input<'_>,
    options: u32,
    number: u32,
    around: FeatureSet,
) -> Result<FeatureSet, DecodeError> {
    let mut features = around;
    for options in parts(of, options)? {
        for set in parts(options, number)? {
            match last_number(set, 1)? {
                Some(2) => features.presence = Presence::Implicit,
                Some(_) => features.presence = Presence::Explicit,
                None => {}
            }
            match last_number(set, 5)? {
                Some(2) => features.encoding = Encoding::Delimited,
                Some(_) => features.encoding = Encoding::LengthPrefixed,
                None => {}
            }
        }
    }
    Ok(features)
}

/// The messages and strings in a field.
fn parts(of: Input<'_>, number: u32) -> Result<Vec<Input<'_>>, DecodeError> {
    let (mut rest, mut parts) = (of, Vec::new());
    while rest.len() > 0 {
        let tag = tag(&mut rest)?;
        if (tag.number, tag.wire_type) == (number, WireType::Prefixed) {
            parts.push(prefixed(&mut rest)?);
        } else {
            skip(&mut rest, tag)?;
        }
    }
    Ok(parts)
}

fn last_number(of: Input<'_>, number: u32) -> Result<Option<u64>, DecodeError> {
    let (mut rest, mut last) = (of, None);
    while rest.len() > 0 {
        let tag = tag(&mut rest)?;
        if (tag.number, tag.wire_type) == (number, WireType::Varint) {
            last = Some(rest.varint()?);
        } else {
            skip(&mut rest, tag)?;
        }
    }
    Ok(last)
}

fn name(of: Input<'_>, number: u32) -> Result<String, DecodeError> {
    let name = parts(of, number)?.pop().map(|mut name| name.take_rest()).unwrap_or_default();
    Ok(String::from_utf8_lossy(name).into_owned())
}
