//! Decides which index each document of a topic with a route goes to.

use std::borrow::Cow;

use crate::event::KafkaRecord;
use crate::field_path::FieldPath;
use crate::header_list::header_texts;
use crate::index::IndexPrefix;
use crate::json::Scanner;
use crate::origin::service_name;
use crate::path_editor::{Edit, Named, PathEditor};
use crate::routing::{IndexRoute, RouteField};
use crate::settings::Settings;

/// Routes the documents of the topics that have the same rules.
#[derive(Debug)]
pub(crate) struct Router {
    route: IndexRoute,
    /// The index prefix of the settings, for records that give none.
    default: IndexPrefix,
    dead_letters: IndexPrefix,
    topic_suffix: String,
    editor: PathEditor,
}

impl Router {
    pub(crate) fn new(route: IndexRoute, settings: &Settings) -> Self {
        Self {
            route,
            default: settings.index_prefix.clone(),
            dead_letters: settings.dead_letter_prefix.clone(),
            topic_suffix: settings.topic_suffix.clone(),
            editor: PathEditor::default(),
        }
    }

    /// Whether headers or payloads give a part of the prefix.
    pub(crate) fn is_open(&self) -> bool {
        self.route.is_open()
    }

    /// The prefix of records of `topic` that give nothing: each part has its fallback.
    pub(crate) fn fallback(&self, topic: &str) -> IndexPrefix {
        let prefix = self.route.prefix(&self.dead_letters, |field| match field {
            RouteField::Topic | RouteField::Service => self.of_topic(field, topic),
            RouteField::Header(_) | RouteField::Payload(_) => None,
        });
        prefix.unwrap_or_else(|| self.default.clone())
    }

    /// The prefix of `record`, whose shaped payload is the JSON object `payload`, if it is one.
    pub(crate) fn prefix(&mut self, record: &KafkaRecord<'_>, payload: Option<&[u8]>) -> IndexPrefix {
        let mut editor = std::mem::take(&mut self.editor);
        let prefix = self.route.prefix(&self.dead_letters, |field| match field {
            RouteField::Topic | RouteField::Service => self.of_topic(field, record.topic),
            RouteField::Header(name) => {
                let mut headers = header_texts(record.headers);
                headers.retain(|(known, _)| known.eq_ignore_ascii_case(name));
                headers.pop().map(|(_, value)| value.into())
            }
            RouteField::Payload(path) => scalar(&mut editor, payload?, path).map(Cow::from),
        });
        self.editor = editor;
        prefix.unwrap_or_else(|| self.fallback(record.topic))
    }

    fn of_topic<'t>(&self, field: &RouteField, topic: &'t str) -> Option<Cow<'t, str>> {
        let name = match field {
            RouteField::Service => service_name(&self.topic_suffix, topic),
            _ => topic,
        };
        Some(name.into())
    }
}

/// The text of the first value at `path`; `None` where there is none, or it is null, an object or a list.
fn scalar(editor: &mut PathEditor, payload: &[u8], path: &FieldPath) -> Option<String> {
    let mut found = None;
    let first = |named: Named<'_>, _: &mut Vec<u8>| {
        found = match named.value {
            [b'"', ..] => {
                let text = Scanner::new(named.value).string().ok();
                text.and_then(|text| String::from_utf8(text.unescape().into_owned()).ok())
            }
            [b'n' | b'{' | b'[', ..] => None,
            other => String::from_utf8(other.to_vec()).ok(),
        };
        Edit::Stop
    };
    let paths = std::slice::from_ref(path);
    editor.edit(paths, payload, usize::MAX, &mut Vec::new(), first).ok()?;
    found
}
