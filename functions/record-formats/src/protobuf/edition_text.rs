//! Reads `.proto` text of an edition: makes it text of proto3, which the compiler can read, and takes its features out.

use std::ops::Range;

use prost_reflect::prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, UninterpretedOption,
};

use crate::protobuf::edition::{Encoding, FeatureSet, Features, Presence, full_name};
use crate::protobuf::tokens::{Token, TokenKind, tokens};

/// The text of an edition as proto3 has it.
pub(crate) struct AsProto3 {
    pub(crate) edition: String,
    /// Without what proto3 does not know. Defaults of fields are options of features, which are taken out later.
    pub(crate) text: String,
}

/// Rewrites a text of an edition; `None` if it is of none.
pub(crate) fn as_proto3(text: &str) -> Option<AsProto3> {
    let tokens: Vec<Token> = tokens(text).collect();
    let word = |token: &Token| match token.kind {
        TokenKind::Word => text.get(token.range.clone()),
        TokenKind::Text | TokenKind::Mark(_) => None,
    };
    let [first, equals, edition, end, ..] = tokens.as_slice() else { return None };
    let marks = (equals.kind, edition.kind, end.kind);
    if word(first) != Some("edition")
        || marks != (TokenKind::Mark(b'='), TokenKind::Text, TokenKind::Mark(b';'))
    {
        return None;
    }
    let mut changes: Vec<(Range<usize>, String)> =
        vec![(first.range.start..end.range.end, r#"syntax = "proto3";"#.to_owned())];
    for (index, token) in tokens.iter().enumerate().skip(4) {
        let before = index.checked_sub(1).and_then(|before| tokens.get(before));
        let before = before.map(|token| token.kind);
        let begins_statement = matches!(before, Some(TokenKind::Mark(b';' | b'{' | b'}')));
        let next = |n: usize| tokens.get(index + n);
        let next_word = |n: usize| next(n).and_then(word);
        match word(token) {
            // Names, without quotes.
            Some("reserved") if begins_statement && next_word(1).is_some_and(is_name) => {
                let names = tokens.iter().skip(index + 1);
                let names = names.take_while(|token| token.kind != TokenKind::Mark(b';'));
                let quoted =
                    names.filter_map(|name| Some((name.range.clone(), format!("\"{}\"", word(name)?))));
                changes.extend(quoted);
            }
            // Who may import a type.
            Some("export" | "local")
                if begins_statement
                    && matches!(next_word(1), Some("message" | "enum"))
                    && next_word(2).is_some() =>
            {
                changes.push((token.range.clone(), String::new()));
            }
            // Options that need no code.
            Some("import") if begins_statement && next_word(1) == Some("option") => {
                let end = next(3).map_or(text.len(), |end| end.range.end);
                changes.push((token.range.start..end, String::new()));
            }
            // proto3 has no defaults. A record does not need them.
            Some("default")
                if matches!(before, Some(TokenKind::Mark(b'[' | b',')))
                    && next(1).is_some_and(|token| token.kind == TokenKind::Mark(b'=')) =>
            {
                changes.push((token.range.clone(), "features.default".to_owned()));
            }
            _ => {}
        }
    }
    let edition = text.get(edition.range.clone()).unwrap_or_default();
    let edition = edition.trim_matches(['"', '\'']).to_owned();
    Some(AsProto3 { edition, text: changed(text, &changes) })
}

fn is_name(word: &str) -> bool {
    !word.starts_with(|first: char| first.is_ascii_digit())
}

fn changed(text: &str, changes: &[(Range<usize>, String)]) -> String {
    let mut changed = String::with_capacity(text.len());
    let mut from = 0;
    for (range, new) in changes {
        changed.push_str(text.get(from..range.start).unwrap_or_default());
        changed.push_str(new);
        from = range.end;
    }
    changed.push_str(text.get(from..).unwrap_or_default());
    changed
}

/// Takes the features out of a file that was read from the text of an edition, and makes it one of proto2.
pub(crate) fn take_features(file: &mut FileDescriptorProto, features: &mut Features) {
    file.syntax = None;
    // Methods have options with features too, and nothing that a record needs.
    file.service.clear();
    let of_file = file.options.as_mut().map(|options| &mut options.uninterpreted_option);
    let of_file = taken(FeatureSet::default(), of_file);
    let package = file.package().to_owned();
    file.enum_type.iter_mut().for_each(take_from_enum);
    for message in &mut file.message_type {
        take_from_message(message, &package, of_file, features);
    }
    for extension in &mut file.extension {
        take_from_field(extension, &package, of_file, features);
    }
}

fn take_from_message(
    message: &mut DescriptorProto,
    scope: &str,
    around: FeatureSet,
    features: &mut Features,
) {
    let name = full_name(scope, message.name());
    let of_message = message.options.as_mut().map(|options| &mut options.uninterpreted_option);
    let of_message = taken(around, of_message);
    message.enum_type.iter_mut().for_each(take_from_enum);
    for range in &mut message.extension_range {
        taken(of_message, range.options.as_mut().map(|options| &mut options.uninterpreted_option));
    }
    let oneofs = message.oneof_decl.iter_mut();
    oneofs.for_each(|oneof| {
        taken(of_message, oneof.options.as_mut().map(|options| &mut options.uninterpreted_option));
    });
    for field in message.field.iter_mut().chain(&mut message.extension) {
        take_from_field(field, &name, of_message, features);
    }
    for nested in &mut message.nested_type {
        take_from_message(nested, &name, of_message, features);
    }
}

fn take_from_field(
    field: &mut FieldDescriptorProto,
    scope: &str,
    around: FeatureSet,
    features: &mut Features,
) {
    let of_field = taken(around, field.options.as_mut().map(|options| &mut options.uninterpreted_option));
    features.add(full_name(scope, field.name()), of_field);
}

fn take_from_enum(each: &mut EnumDescriptorProto) {
    let none = FeatureSet::default();
    taken(none, each.options.as_mut().map(|options| &mut options.uninterpreted_option));
    for value in &mut each.value {
        taken(none, value.options.as_mut().map(|options| &mut options.uninterpreted_option));
    }
}

/// Takes the features out of options; returns them, with those around them.
fn taken(around: FeatureSet, options: Option<&mut Vec<UninterpretedOption>>) -> FeatureSet {
    let mut features = around;
    for option in options.into_iter().flat_map(|options| options.extract_if(.., |option| is_feature(option)))
    {
        match (option.name.as_slice(), &option.identifier_value, &option.aggregate_value) {
            ([_, name], Some(value), _) if !name.is_extension => set(&mut features, &name.name_part, value),
            ([_], _, Some(aggregate)) => {
                let words: Vec<&str> = tokens(aggregate)
                    .filter(|token| token.kind == TokenKind::Word)
                    .filter_map(|token| aggregate.get(token.range))
                    .collect();
                for pair in words.windows(2) {
                    let [name, value] = pair else { continue };
                    set(&mut features, name, value);
                }
            }
            _ => {}
        }
    }
    features
}

fn is_feature(option: &UninterpretedOption) -> bool {
    option.name.first().is_some_and(|first| first.name_part == "features" && !first.is_extension)
}

fn set(features: &mut FeatureSet, name: &str, value: &str) {
    match (name, value) {
        ("field_presence", "IMPLICIT") => features.presence = Presence::Implicit,
        ("field_presence", _) => features.presence = Presence::Explicit,
        ("message_encoding", "DELIMITED") => features.encoding = Encoding::Delimited,
        ("message_encoding", _) => features.encoding = Encoding::LengthPrefixed,
        _ => {}
    }
}
