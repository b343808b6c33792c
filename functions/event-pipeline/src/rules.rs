//! The rules of topics: which settings, index and shape the records of some topics have.

use std::sync::Arc;

use thiserror::Error;

use crate::field_path::FieldPath;
use crate::formats::{ByTopic, KeyFormat, Unwrap, ValueCompression, ValueFormat};
use crate::routing::IndexRoute;
use crate::salt::{Salt, Salts};
use crate::sampling::SampleRate;
use crate::settings::Settings;
use crate::time_text::Zone;
use crate::topic_pattern::TopicPattern;
use crate::transform::SharedTransform;

/// What happens to the records of the topics that a pattern matches, in this order: `keep`, `parse_json`, `remove`, `hash`,
/// `transform`. Then time, index and document are made of what is left.
///
/// All of it depends on the record and these rules alone, so that a record that is delivered again is the same document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicRules {
    /// The topics.
    pub pattern: TopicPattern,
    /// Settings that these topics have of their own.
    pub overrides: Overrides,
    /// The index; `None` is that of the settings.
    pub index: Option<IndexRoute>,
    /// Which records are kept.
    pub keep: Keep,
    /// Strings that are JSON and become that JSON.
    pub parse_json: Vec<FieldPath>,
    /// Fields that are removed.
    pub remove: Vec<FieldPath>,
    /// Fields whose values are replaced by their hash.
    pub hash: Vec<HashedField>,
    /// What shapes the payload then.
    pub transform: Option<SharedTransform>,
    /// What becomes of records that can't be redacted or transformed.
    pub on_error: OnError,
}

impl TopicRules {
    /// Rules of the topics of `pattern` that change nothing.
    pub fn new(pattern: TopicPattern) -> Self {
        Self {
            pattern,
            overrides: Overrides::default(),
            index: None,
            keep: Keep::All,
            parse_json: Vec::new(),
            remove: Vec::new(),
            hash: Vec::new(),
            transform: None,
            on_error: OnError::DeadLetter,
        }
    }
}

/// Which records of a topic are kept. The others are dropped: counted, and written nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// All of them.
    All,
    /// A part of them.
    Sample(SampleRate),
    /// None of them.
    None,
}

/// A field whose value is replaced by its HMAC-SHA256 in hex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashedField {
    /// The field.
    pub path: FieldPath,
    /// Name of the secret that has the salt.
    pub salt: String,
}

/// What becomes of a record that can't be redacted or transformed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnError {
    /// It becomes a dead letter, which can be replayed.
    #[default]
    DeadLetter,
    /// It is indexed without what failed, with a tag.
    Index,
}

/// Settings that topics have of their own; `None` is that of all topics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `timestamp_fields` of [`Settings`]
    pub timestamp_fields: Option<Vec<String>>,
    /// `timestamp_zone` of [`Settings`]
    pub timestamp_zone: Option<Zone>,
    /// `header_fields` of [`Settings`]
    pub header_fields: Option<Vec<String>>,
    /// How values are encoded.
    pub format: Option<ValueFormat>,
    /// How keys are encoded.
    pub key_format: Option<KeyFormat>,
    /// How values are compressed.
    pub compression: Option<ValueCompression>,
    /// What values are wrapped in.
    pub unwrap: Option<Unwrap>,
}

impl Overrides {
    /// The settings of topics that have these, where those of all topics are `settings`.
    pub fn applied_to(&self, settings: &Settings) -> Settings {
        let mut own = settings.clone();
        let Self { timestamp_fields, timestamp_zone, header_fields, format, key_format, compression, unwrap } =
            self;
        set(&mut own.timestamp_fields, timestamp_fields.clone());
        set(&mut own.timestamp_zone, *timestamp_zone);
        set(&mut own.header_fields, header_fields.clone());
        set(&mut own.formats.value, format.map(ByTopic::all));
        set(&mut own.formats.key, key_format.map(ByTopic::all));
        set(&mut own.formats.compression, compression.map(ByTopic::all));
        set(&mut own.formats.unwrap, unwrap.map(ByTopic::all));
        own
    }
}

fn set<T>(setting: &mut T, own: Option<T>) {
    if let Some(own) = own {
        *setting = own;
    }
}

/// Distinct indices of one routed rule in a batch, where the file gives no number.
pub const DEFAULT_MAX_INDICES: usize = 20;

/// The rules of all topics, with the salts that they need. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    topics: Arc<[SaltedRules]>,
    max_indices: usize,
}

/// Rules with their salts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SaltedRules {
    pub(crate) rules: TopicRules,
    /// The salt of each of `rules.hash`.
    pub(crate) salts: Vec<Salt>,
}

/// There is no salt of this name.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("there is no salt `{0}`")]
pub struct MissingSalt(pub String);

impl Default for Rules {
    fn default() -> Self {
        Self { topics: Arc::new([]), max_indices: DEFAULT_MAX_INDICES }
    }
}

impl Rules {
    /// Takes the rules of topics, of which the first that matches a topic counts, and at most `max_indices` distinct indices of
    /// one of them in a batch.
    ///
    /// # Errors
    /// [`MissingSalt`] when `salts` lacks one.
    pub fn new(topics: Vec<TopicRules>, max_indices: usize, salts: &Salts) -> Result<Self, MissingSalt> {
        let salted = |rules: TopicRules| {
            let salt = |field: &HashedField| {
                salts.get(&field.salt).cloned().ok_or_else(|| MissingSalt(field.salt.clone()))
            };
            Ok(SaltedRules { salts: rules.hash.iter().map(salt).collect::<Result<_, _>>()?, rules })
        };
        let topics = topics.into_iter().map(salted).collect::<Result<_, _>>()?;
        Ok(Self { topics, max_indices })
    }

    /// Whether no topic has rules.
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// Distinct indices of one routed rule in a batch.
    pub fn max_indices(&self) -> usize {
        self.max_indices
    }

    /// The position of the rules of `topic` among all, and the rules; `None` where it has none.
    pub fn of(&self, topic: &str) -> Option<(usize, &TopicRules)> {
        let position = self.topics.iter().position(|salted| salted.rules.pattern.matches(topic))?;
        Some((position, &self.topics.get(position)?.rules))
    }

    /// The rules at `position`, with their salts.
    pub(crate) fn get(&self, position: usize) -> Option<&SaltedRules> {
        self.topics.get(position)
    }

    /// The rules in their order.
    pub fn iter(&self) -> impl Iterator<Item = &TopicRules> {
        self.topics.iter().map(|salted| &salted.rules)
    }
}
