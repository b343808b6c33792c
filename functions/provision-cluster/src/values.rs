//! Values of settings, and how they are read from text.

use event_pipeline::index::{IndexPrefix, IndexPrefixError};
use thiserror::Error;

/// Copies of each shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replicas {
    /// One if there is a second node, else none.
    Auto,
    /// A fixed number.
    Number(u32),
}

/// Compression of stored documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Codec {
    /// `zstd_no_dict` on an OpenSearch that has it, else `best_compression`.
    Auto,
    /// This codec.
    Named(String),
}

/// Why a text is not a setting's value.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum ValueError {
    #[error(transparent)]
    Prefix(#[from] IndexPrefixError),
    #[error("`{0}` may have letters a to z, digits, `_`, `.` and `-`")]
    PrefixCharacter(String),
    #[error("`{0}` is longer than 64 characters: names of users and policies begin with it")]
    PrefixTooLong(String),
    #[error("`{text}` is not a whole number from {min} to {max}")]
    Number { text: String, min: u32, max: u32 },
    #[error("{0}, or `auto`")]
    NotAuto(#[source] Box<ValueError>),
    #[error("`{0}` is not a span such as `10s` or `500ms`, or `-1` for never")]
    Interval(String),
    #[error("`{0}` is not a codec such as `best_compression` or `zstd_no_dict`, or `auto`")]
    Codec(String),
    #[error("`{0}` is not the ARN of an IAM role")]
    RoleArn(String),
}

/// Reads an index prefix. It also becomes part of names of roles and users, and of URLs.
pub(crate) fn prefix(text: &str) -> Result<String, ValueError> {
    let prefix = IndexPrefix::parse(text)?;
    let prefix = prefix.as_str();
    if !prefix.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-')) {
        return Err(ValueError::PrefixCharacter(text.to_owned()));
    }
    if prefix.len() > 64 {
        return Err(ValueError::PrefixTooLong(text.to_owned()));
    }
    Ok(prefix.to_owned())
}

/// Reads a whole number.
pub(crate) fn number(text: &str, min: u32, max: u32) -> Result<u32, ValueError> {
    match text.parse() {
        Ok(number) if (min..=max).contains(&number) => Ok(number),
        _ => Err(ValueError::Number { text: text.to_owned(), min, max }),
    }
}

/// Reads a number of replicas, or `auto`.
pub(crate) fn replicas(text: &str) -> Result<Replicas, ValueError> {
    if text.eq_ignore_ascii_case("auto") {
        return Ok(Replicas::Auto);
    }
    number(text, 0, 20).map(Replicas::Number).map_err(|error| ValueError::NotAuto(Box::new(error)))
}

/// Reads a refresh interval.
pub(crate) fn interval(text: &str) -> Result<String, ValueError> {
    let number =
        text.strip_suffix("ms").or_else(|| text.strip_suffix('s')).or_else(|| text.strip_suffix('m'));
    let is_span = number.is_some_and(|number| {
        (1..=6).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit()) && number != "0"
    });
    if is_span || text == "-1" {
        return Ok(text.to_owned());
    }
    Err(ValueError::Interval(text.to_owned()))
}

/// Reads the name of a codec, or `auto`.
pub(crate) fn codec(text: &str) -> Result<Codec, ValueError> {
    if text.eq_ignore_ascii_case("auto") {
        return Ok(Codec::Auto);
    }
    if text.is_empty() || !text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_')) {
        return Err(ValueError::Codec(text.to_owned()));
    }
    Ok(Codec::Named(text.to_owned()))
}

/// Reads the ARN of an IAM role.
pub(crate) fn role_arn(text: &str) -> Result<String, ValueError> {
    if text.starts_with("arn:") && text.contains(":role/") {
        return Ok(text.to_owned());
    }
    Err(ValueError::RoleArn(text.to_owned()))
}
