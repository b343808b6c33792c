//! Shapes payloads as the rules of their topics say: JSON in strings, redaction, transforms.
//!
//! Each step reads the text that the one before it left, and writes it anew where it changes something. What can't be redacted
//! or transformed is a failure, so that nothing is indexed that a rule was meant to keep out: a payload that is no JSON object
//! has no fields to redact.

use std::mem;

use crate::append::{append_json_string, append_name};
use crate::embedded_json::EmbeddedJson;
use crate::field_path::FieldPath;
use crate::json::Scanner;
use crate::json_string::RawString;
use crate::path_editor::Change;
use crate::payload::{Payload, PayloadReader};
use crate::redaction::Redaction;
use crate::rules::{HashedField, Keep, OnError, SaltedRules};
use crate::transform::{RecordContext, SharedTransform, Transformed};
use crate::write_error::shortened;

/// Tag of a document whose payload could not be redacted or transformed, and is as it was before that.
pub(crate) const FAILED: &str = "_transformfailure";
/// Tag of a document in which digits of a number are lost, which the transform's language can't hold.
pub(crate) const ROUNDED: &str = "_numberrounded";

/// Shapes the payloads of the topics that have the same rules, keeping its buffers from one to the next.
#[derive(Debug)]
pub(crate) struct Shaper {
    keep: Keep,
    embedded: EmbeddedJson,
    redaction: Redaction,
    transform: Option<SharedTransform>,
    on_error: OnError,
    max_bytes: usize,
    /// The payload as the steps have left it so far, where that is not what stands in the body.
    text: Vec<u8>,
    /// What a step writes.
    out: Vec<u8>,
    failure: Option<String>,
}

/// What became of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shaped {
    /// It is this now.
    Payload(Payload),
    /// The record is dropped.
    Dropped,
    /// A step failed, and the record is not to be indexed: [`Shaper::failure`] says why.
    Failed,
}

/// A payload that was read.
pub(crate) struct Unshaped<'b, 'r> {
    pub(crate) payload: Payload,
    /// The body that it ends.
    pub(crate) body: &'b mut Vec<u8>,
    /// Where it begins in the body.
    pub(crate) start: usize,
    /// The value in base64, as it came.
    pub(crate) base64: Option<RawString<'r>>,
}

/// The field that a payload which is no object gets in a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Message,
    MessageBase64,
}

impl Field {
    /// `None` for an object, and where there is nothing.
    fn of(payload: Payload) -> Option<Self> {
        match payload {
            Payload::Object(_) | Payload::DeepObject | Payload::Tombstone => None,
            Payload::Text | Payload::PlainText => Some(Self::Message),
            Payload::Binary | Payload::Undecoded => Some(Self::MessageBase64),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::MessageBase64 => "message_base64",
        }
    }
}

impl Shaper {
    /// Makes a shaper by `salted`, of payloads that get no longer than `max_bytes`, or than they were.
    pub(crate) fn new(salted: &SaltedRules, max_bytes: usize) -> Self {
        let rules = &salted.rules;
        let hashed = rules.hash.iter().map(|HashedField { path, .. }| path);
        let redacted: Vec<FieldPath> = rules.remove.iter().chain(hashed).cloned().collect();
        Self {
            keep: rules.keep,
            embedded: EmbeddedJson::new(&rules.parse_json, &redacted),
            redaction: Redaction::new(salted),
            transform: rules.transform.clone(),
            on_error: rules.on_error,
            max_bytes,
            text: Vec::new(),
            out: Vec::new(),
            failure: None,
        }
    }

    /// Whether the record whose document has the id that `id` gives is kept, before it is read.
    pub(crate) fn keeps(&self, id: impl FnOnce() -> String) -> bool {
        match self.keep {
            Keep::All => true,
            Keep::None => false,
            Keep::Sample(rate) => rate.keeps(id().as_bytes()),
        }
    }

    /// Why the last payload could not be shaped.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Forgets the last payload.
    pub(crate) fn clear(&mut self) {
        self.failure = None;
    }

    /// Shapes a payload, which `payloads` has read, and reads again where it has changed. Appends to `tags` what was wrong.
    /// `with_context` calls what it is given with what a transform can read of the record.
    pub(crate) fn shape(
        &mut self,
        unshaped: Unshaped<'_, '_>,
        payloads: &mut PayloadReader,
        tags: &mut Vec<&'static str>,
        with_context: impl FnOnce(&mut dyn FnMut(&RecordContext<'_>)),
    ) -> Shaped {
        let Unshaped { mut payload, body, start, base64 } = unshaped;
        let has_edits = !self.embedded.is_empty() || !self.redaction.is_empty();
        if !has_edits && self.transform.is_none() {
            return Shaped::Payload(payload);
        }
        let max_bytes = self.max_bytes.max(body.len() - start);
        if has_edits {
            match self.edit(payload, body, start, base64, max_bytes, tags) {
                Ok(Edited::Nothing | Edited::Text) => {}
                Ok(Edited::Payload) => payload = payloads.read_again(body.get(start..).unwrap_or_default()),
                Err(reason) => return self.fail(reason, payload, tags),
            }
        }
        let Some(transform) = self.transform.clone() else { return Shaped::Payload(payload) };
        if payload == Payload::DeepObject {
            return self.fail("the payload is nested deeper than 250 levels".into(), payload, tags);
        }
        let raw = body.get(start..).unwrap_or_default();
        self.text.clear();
        match Field::of(payload) {
            Some(field) => append_view(&mut self.text, field, raw, base64),
            None if payload == Payload::Tombstone => self.text.extend_from_slice(b"{}"),
            None => self.text.extend_from_slice(raw.trim_ascii()),
        }
        self.out.clear();
        let Self { text, out, .. } = self;
        let mut result = None;
        with_context(&mut |about| result = Some(transform.apply(about, text, out)));
        let mut found = Vec::new();
        match result {
            Some(Ok(Transformed::Payload)) => {}
            Some(Ok(Transformed::RoundedPayload)) => found.push(ROUNDED),
            Some(Ok(Transformed::Dropped)) => return Shaped::Dropped,
            Some(Err(error)) => return self.fail(error.reason, payload, tags),
            None => return self.fail("the transform was not run".into(), payload, tags),
        }
        if out == text {
            return Shaped::Payload(payload);
        }
        if out.len() > max_bytes {
            let reason = format!("the transform's payload is longer than {max_bytes} bytes");
            return self.fail(reason, payload, tags);
        }
        let transformed = payloads.read(out, 0, &mut found);
        if matches!(transformed, Payload::Object(_) | Payload::DeepObject) {
            add_tags(tags, &found);
            body.truncate(start);
            body.extend_from_slice(out);
            return Shaped::Payload(transformed);
        }
        payload = match payload {
            Payload::Object(_) | Payload::DeepObject => payloads.read_again(raw),
            other => payloads.read_none(other, &mut Vec::new()),
        };
        self.fail("the transform's payload is no JSON object".into(), payload, tags)
    }

    /// Makes JSON of strings, and redacts.
    fn edit(
        &mut self,
        payload: Payload,
        body: &mut Vec<u8>,
        start: usize,
        base64: Option<RawString<'_>>,
        max_bytes: usize,
        tags: &mut Vec<&'static str>,
    ) -> Result<Edited, String> {
        let mut found = Vec::new();
        let Some(field) = Field::of(payload) else {
            if payload == Payload::Tombstone {
                return Ok(Edited::Nothing);
            }
            let text = body.get(start..).unwrap_or_default();
            let change = self.edit_text(text, max_bytes, &mut found)?;
            add_tags(tags, &found);
            return Ok(self.replace(body, start, change, Edited::Payload));
        };
        let raw = body.get(start..).unwrap_or_default();
        // A list of objects has fields too, although it becomes text.
        let mut has_fields = payload == Payload::Text && has_fields_or_none(raw);
        let mut edited = Edited::Nothing;
        if has_fields {
            let change = self.edit_text(raw, max_bytes, &mut found)?;
            edited = self.replace(body, start, change, Edited::Text);
        }
        let mut view = Vec::new();
        append_view(&mut view, field, body.get(start..).unwrap_or_default(), base64);
        self.out.clear();
        let parsed = self.embedded.apply(&view, max_bytes.max(view.len()), &mut self.out, &mut found);
        if parsed.map_err(|error| error.to_string())? == Change::Changed {
            mem::swap(&mut view, &mut self.out);
            has_fields |= !is_text(&view, field);
            edited = Edited::Payload;
        }
        if !self.redaction.is_empty() && !has_fields && !self.redaction.names(field.name()) {
            return Err("the payload is no JSON object, so that `remove` and `hash` can't be applied".into());
        }
        self.out.clear();
        let redacted = self.redaction.apply(&view, max_bytes.max(view.len()), &mut self.out);
        if redacted.map_err(|error| error.to_string())? == Change::Changed {
            mem::swap(&mut view, &mut self.out);
            edited = Edited::Payload;
        }
        add_tags(tags, &found);
        if edited == Edited::Payload {
            body.truncate(start);
            body.extend_from_slice(&view);
        }
        Ok(edited)
    }

    /// Edits a JSON text; `text` has the result if it has changed.
    fn edit_text(
        &mut self,
        text: &[u8],
        max_bytes: usize,
        tags: &mut Vec<&'static str>,
    ) -> Result<Change, String> {
        self.out.clear();
        let parsed =
            self.embedded.apply(text, max_bytes, &mut self.out, tags).map_err(|error| error.to_string())?;
        mem::swap(&mut self.text, &mut self.out);
        self.out.clear();
        let text = if parsed == Change::Changed { self.text.as_slice() } else { text };
        let redacted =
            self.redaction.apply(text, max_bytes, &mut self.out).map_err(|error| error.to_string())?;
        if redacted == Change::Changed {
            mem::swap(&mut self.text, &mut self.out);
            return Ok(Change::Changed);
        }
        Ok(parsed)
    }

    /// Puts `text` into the body if it has `change`d.
    fn replace(&self, body: &mut Vec<u8>, start: usize, change: Change, changed: Edited) -> Edited {
        if change == Change::Unchanged {
            return Edited::Nothing;
        }
        body.truncate(start);
        body.extend_from_slice(&self.text);
        changed
    }

    fn fail(&mut self, reason: String, payload: Payload, tags: &mut Vec<&'static str>) -> Shaped {
        self.failure = Some(shortened(&reason).to_owned());
        match self.on_error {
            OnError::DeadLetter => Shaped::Failed,
            OnError::Index => {
                add_tags(tags, &[FAILED]);
                Shaped::Payload(payload)
            }
        }
    }
}

/// What edits have changed in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edited {
    Nothing,
    /// A text, which is one still.
    Text,
    /// There is an object now.
    Payload,
}

fn add_tags(tags: &mut Vec<&'static str>, found: &[&'static str]) {
    for tag in found {
        if !tags.contains(tag) {
            tags.push(tag);
        }
    }
}

/// Appends what a document would have of a payload that is no object: `{"message":"…"}`.
fn append_view(out: &mut Vec<u8>, field: Field, raw: &[u8], base64: Option<RawString<'_>>) {
    let start = out.len();
    append_name(out, field.name());
    match (field, base64) {
        (Field::MessageBase64, Some(base64)) => {
            append_json_string(out, &String::from_utf8_lossy(&base64.unescape()));
        }
        _ => append_json_string(out, &String::from_utf8_lossy(raw)),
    }
    out.push(b'}');
    if let Some(comma) = out.get_mut(start) {
        *comma = b'{';
    }
}

/// Whether the field of a view still is text.
fn is_text(view: &[u8], field: Field) -> bool {
    let behind = view.get(field.name().len() + 4..);
    behind.is_none_or(|value| value.trim_ascii_start().starts_with(b"\""))
}

/// Whether `text` is JSON of which each field has a path: a list, or what has no fields and is not a text.
fn has_fields_or_none(text: &[u8]) -> bool {
    let mut scanner = Scanner::new(text);
    let is_other = scanner.peek().is_ok_and(|first| first != b'"');
    is_other && scanner.value().is_ok() && scanner.end().is_ok() && has_no_text(text)
}

/// Whether no element of a list, at any depth of lists, is a text: nobody knows what that has in it.
fn has_no_text(list: &[u8]) -> bool {
    let mut scanner = Scanner::new(list);
    while let Ok(first) = scanner.peek() {
        match first {
            b'"' => return false,
            b'[' | b']' | b',' => scanner.seek(scanner.position() + 1),
            _ if scanner.value().is_ok() => {}
            _ => return false,
        }
    }
    true
}
