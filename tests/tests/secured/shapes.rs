//! Indexes events of any shape as the function does, and checks that each is there, tagged and found.

use std::collections::{HashMap, HashSet};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use event_pipeline::nearly_json::repair;
use event_pipeline::outcome::Outcome;
use reqwest::Method;
use search_client::client::RequestBody;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use testing::kafka_event::{EventRecord, payload};

use crate::provisioning::Provisioning;
use crate::servers::{ELASTICSEARCH, OPENSEARCH, OPENSEARCH_PLAIN, Server, indexer, later};
use crate::values::{Leaf, Scalar, leaves};

/// Timestamp of all records: 2026-11-28T01:04:06.251Z.
pub(crate) const RECORD_MS: i64 = 1_795_827_846_251;
/// Searches in one request.
const SEARCHES: usize = 400;
/// Characters after which an analyzer begins a new term.
const LONGEST_WORD: usize = 255;
/// Words of one document that are searched for. Of more, these are chosen at random.
const MAX_WORDS: usize = 40;

/// How an engine maps the objects of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mapping {
    /// As objects: a name is an object or a value, for all events of a day.
    Objects,
    /// Leaves alone, each by its dotted name.
    Leaves,
}

/// The servers, and how the provisioned template maps there.
pub(crate) const SERVERS: [(&str, Mapping); 3] =
    [(OPENSEARCH_PLAIN, Mapping::Objects), (OPENSEARCH, Mapping::Objects), (ELASTICSEARCH, Mapping::Leaves)];

/// Whether a document was rejected as it was, and is written with `conflict`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Conflict {
    /// The engine takes the event as it is.
    #[default]
    Never,
    /// That depends on what was indexed before.
    May,
    /// The engine rejects the event, whatever was indexed before.
    Always,
}

/// Where the payload is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kept {
    /// Its members are the document's.
    #[default]
    Members,
    /// As text in `message`.
    Message,
    /// As base64 in `message_base64`.
    MessageBase64,
}

/// A record, and what has to become of it.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// For the messages of the test.
    pub(crate) name: String,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Vec<u8>,
    /// The day of its index.
    pub(crate) day: String,
    /// Its tags besides `_mappingconflict`.
    pub(crate) tags: Vec<String>,
    pub(crate) conflict: Conflict,
    pub(crate) kept: Kept,
}

/// Indices of one prefix on one server.
pub(crate) struct Shapes<'s> {
    server: &'s Server,
    prefix: String,
}

#[derive(Deserialize)]
struct Documents<'d> {
    #[serde(borrow)]
    docs: Vec<Document<'d>>,
}

#[derive(Deserialize)]
struct Document<'d> {
    #[serde(borrow, rename = "_source")]
    source: Option<&'d RawValue>,
}

/// One search, and what it looks for in which document.
struct Search {
    what: String,
    index: String,
    query: Value,
}

impl<'s> Shapes<'s> {
    /// Provisions a cluster for prefixes that begin with `prefix`.
    pub(crate) async fn provision(server: &Server, prefix: &str, mapping: Mapping) -> Result<()> {
        let engine = if mapping == Mapping::Leaves { "elasticsearch" } else { "opensearch" };
        let provisioning = Provisioning::new(server, prefix, &[("SEARCH_ENGINE", engine)]);
        provisioning.succeed(&["apply"]).await.map(drop)
    }

    /// Indices of this prefix, which are removed if they are there.
    pub(crate) async fn fresh(server: &'s Server, prefix: String) -> Result<Self> {
        let shapes = Self { server, prefix };
        shapes.remove().await?;
        Ok(shapes)
    }

    /// Removes the indices.
    pub(crate) async fn remove(&self) -> Result<()> {
        let path = format!("_cat/indices/{}-*?format=json&h=index", self.prefix);
        let found = self.server.request(Method::GET, &path, None).await?;
        for index in found.as_array().into_iter().flatten() {
            let name = index["index"].as_str().unwrap_or_default();
            self.server.request(Method::DELETE, name, None).await?;
        }
        Ok(())
    }

    /// Writes a batch of these events to a topic.
    pub(crate) async fn write(&self, topic: &str, events: &[&Event]) -> Result<Vec<Outcome>> {
        let records = events.iter().zip(0..).map(|(event, offset)| EventRecord {
            topic: topic.to_owned(),
            offset,
            timestamp_ms: RECORD_MS,
            key: event.key.clone(),
            value: Some(event.value.clone()),
            ..EventRecord::default()
        });
        let batch = payload(records).to_string().into_bytes();
        let indexer = indexer(self.server.client(self.server.administrator())?, &self.prefix)?;
        let outcomes = indexer.index(&batch, later()).await?.outcomes;
        ensure!(outcomes.len() == events.len(), "{} outcomes", outcomes.len());
        Ok(outcomes)
    }

    /// Writes a batch of these events to a topic and checks the outcome of each. Returns how many were rescued.
    pub(crate) async fn index(&self, topic: &str, events: &[&Event]) -> Result<usize> {
        let outcomes = self.write(topic, events).await?;
        let mut faults = Vec::new();
        for (event, outcome) in events.iter().zip(&outcomes) {
            let is_right = match outcome {
                Outcome::Indexed => event.conflict != Conflict::Always,
                Outcome::Rescued(_) => event.conflict != Conflict::Never,
                Outcome::Duplicate | Outcome::Dropped | Outcome::DeadLettered(_) | Outcome::Failed(_) => {
                    false
                }
            };
            if !is_right {
                faults.push(format!("{}: {outcome:?}", event.name));
            }
        }
        faults.extend(self.check(topic, events, &outcomes).await?);
        ensure!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
        Ok(outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Rescued(_))).count())
    }

    /// Reads the documents back, and searches for what is in them.
    async fn check(&self, topic: &str, events: &[&Event], outcomes: &[Outcome]) -> Result<Vec<String>> {
        self.server.request(Method::POST, &format!("{}-*/_refresh", self.prefix), None).await?;
        let numbers = self.numbers(events).await?;
        let ids: Vec<_> = (0..events.len()).map(|offset| format!("{topic}-0-{offset}-{RECORD_MS}")).collect();
        let places: Vec<_> = events
            .iter()
            .zip(&ids)
            .map(|(event, id)| json!({"_index": self.index_of(event), "_id": id}))
            .collect();
        let body = self.send("_mget", RequestBody::Json(json!({"docs": places}).to_string().into())).await?;
        let documents: Documents<'_> = serde_json::from_slice(&body)?;
        let (mut faults, mut searches) = (Vec::new(), Vec::new());
        for (((event, id), document), outcome) in events.iter().zip(&ids).zip(&documents.docs).zip(outcomes) {
            let Some(source) = document.source else {
                faults.push(format!("{} is not in {}", event.name, self.index_of(event)));
                continue;
            };
            let checked = check_source(event, source.get(), outcome)
                .and_then(|found| self.searches(event, id, &found, numbers.get(&self.index_of(event))));
            match checked {
                Ok(more) => searches.extend(more),
                Err(error) => faults.push(format!("{}: {error:#}", event.name)),
            }
        }
        faults.extend(self.not_found(&searches).await?);
        Ok(faults)
    }

    fn index_of(&self, event: &Event) -> String {
        format!("{}-{}", self.prefix, event.day)
    }

    async fn send(&self, path: &str, body: RequestBody) -> Result<Bytes> {
        let client = self.server.client(self.server.administrator())?;
        let response = client.request(Method::POST, path, body, std::time::Duration::from_secs(60)).await?;
        let text = || String::from_utf8_lossy(&response.body).chars().take(2000).collect::<String>();
        ensure!(response.status == 200, "{path} returned {}: {}", response.status, text());
        Ok(response.body)
    }

    /// The number fields of the events' indices, by index.
    async fn numbers(&self, events: &[&Event]) -> Result<HashMap<String, HashSet<String>>> {
        let indices: HashSet<_> = events.iter().map(|event| self.index_of(event)).collect();
        let mut numbers = HashMap::new();
        for index in indices {
            // Mappings can be deeper than this reads.
            let path = format!("{index}/_field_caps?fields=*&ignore_unavailable=true");
            let caps = self.server.request(Method::GET, &path, None).await?;
            let fields = caps["fields"].as_object().context("fields by name")?;
            let is_number =
                |types: &Value| ["double", "long", "integer"].iter().any(|kind| !types[*kind].is_null());
            let names = fields.iter().filter(|(_, types)| is_number(types)).map(|(name, _)| name.clone());
            numbers.insert(index, names.collect());
        }
        Ok(numbers)
    }

    /// The searches that have to find the document `id`: every word of every text, every number.
    fn searches(
        &self,
        event: &Event,
        id: &str,
        found: &[Leaf],
        numbers: Option<&HashSet<String>>,
    ) -> Result<Vec<Search>> {
        let mut words = HashSet::new();
        let mut queries = Vec::new();
        for leaf in found {
            match &leaf.value {
                Scalar::Text(text) => words.extend(words_of(text)),
                // The text of a rescued member has its numbers next to each other.
                Scalar::Number(_) if leaf.path.starts_with("conflict.") => {}
                Scalar::Number(number) => {
                    let value: f64 = number.parse()?;
                    if numbers.is_some_and(|names| names.contains(&leaf.path)) && value.is_finite() {
                        // -0 is less than 0, and `-0` in a query is 0.
                        let (from, to) = if value == 0.0 { ("-0.0", "0.0") } else { (&**number, &**number) };
                        // As strings: a JSON value of serde_json has a number's nearest double or its neighbour.
                        let mut ranges = serde_json::Map::new();
                        ranges.insert(leaf.path.clone(), json!({"gte": from, "lte": to}));
                        queries.push((leaf.to_string(), json!({"range": ranges})));
                    } else {
                        words.insert(number.clone());
                    }
                }
                Scalar::Word(_) => {}
            }
        }
        let mut words: Vec<_> = words.into_iter().collect();
        words.sort();
        fastrand::Rng::with_seed(7).shuffle(&mut words);
        words.truncate(MAX_WORDS);
        queries.extend(words.into_iter().map(|word| {
            let query = json!({"query_string": {"query": escaped(&word), "default_operator": "AND"}});
            (format!("the word `{word}`"), query)
        }));
        let search = |(what, query): (String, Value)| Search {
            what: format!("{}: {what} is not found", event.name),
            index: self.index_of(event),
            query: json!({"bool": {"filter": [{"term": {"_id": id}}, query]}}),
        };
        Ok(queries.into_iter().map(search).collect())
    }

    /// What is said of the searches that find nothing.
    async fn not_found(&self, searches: &[Search]) -> Result<Vec<String>> {
        let mut faults = Vec::new();
        for part in searches.chunks(SEARCHES) {
            let mut body = String::new();
            for search in part {
                body.push_str(&json!({"index": search.index}).to_string());
                body.push('\n');
                body.push_str(&json!({"size": 0, "query": search.query}).to_string());
                body.push('\n');
            }
            let body = self.send("_msearch", RequestBody::Ndjson(body.into())).await?;
            let found: Value = serde_json::from_slice(&body)?;
            let responses = found["responses"].as_array().context("a response for each search")?;
            ensure!(responses.len() == part.len(), "{} responses", responses.len());
            for (search, response) in part.iter().zip(responses) {
                if response["hits"]["total"]["value"] != 1 {
                    let error = response["error"].to_string();
                    faults.push(format!("{} {}", search.what, error.chars().take(300).collect::<String>()));
                }
            }
        }
        Ok(faults)
    }
}

/// Checks the document of an event; returns the values of its payload with their names there.
fn check_source(event: &Event, source: &str, outcome: &Outcome) -> Result<Vec<Leaf>> {
    let in_source = leaves(source.as_bytes())?;
    let texts = |path: &str| -> Vec<&str> {
        let at = in_source.iter().filter(|leaf| leaf.path == path);
        at.filter_map(|leaf| if let Scalar::Text(text) = &leaf.value { Some(text.as_str()) } else { None })
            .collect()
    };
    let is_rescued = matches!(outcome, Outcome::Rescued(_));
    let mut expected: Vec<&str> = event.tags.iter().map(String::as_str).collect();
    expected.extend(is_rescued.then_some("_mappingconflict"));
    expected.sort_unstable();
    let mut tags: Vec<&str> = texts("tags").into_iter().filter(|tag| tag.starts_with('_')).collect();
    tags.sort_unstable();
    ensure!(tags == expected, "the tags are {tags:?}, not {expected:?}");
    let has_reason = !texts("conflict_reason").is_empty() && !texts("conflict_field").is_empty();
    ensure!(is_rescued == has_reason, "a rescued document, and no other, says why: {}", shown(source));

    let message = texts("message").concat();
    match event.kept {
        Kept::MessageBase64 => {
            ensure!(!texts("message_base64").is_empty(), "there is no message_base64");
            Ok(Vec::new())
        }
        Kept::Message => {
            ensure!(message.as_bytes() == event.value, "the message is {message:?}");
            Ok(in_source.into_iter().filter(|leaf| leaf.path == "message").collect())
        }
        Kept::Members => {
            let text = repair(&event.value).context("the payload is an object")?.text;
            if is_rescued && message.as_bytes() == text {
                let mut texts = leaves(&text)?;
                texts.retain(|leaf| matches!(leaf.value, Scalar::Text(_)));
                return Ok(texts);
            }
            let known: HashSet<&Leaf> = in_source.iter().collect();
            let place_of = |leaf: Leaf| {
                ["", "original.", "conflict.", "conflict.original."]
                    .iter()
                    .map(|start| Leaf { path: format!("{start}{}", leaf.path), value: leaf.value.clone() })
                    .find(|moved| known.contains(moved))
                    .with_context(|| format!("{leaf} is lost in {}", shown(source)))
            };
            leaves(&text)?.into_iter().map(place_of).collect()
        }
    }
}

fn shown(source: &str) -> String {
    source.chars().take(600).collect()
}

/// The words of a text that an analyzer makes terms of.
fn words_of(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|c: char| c.is_whitespace() || c.is_control())
        .flat_map(|word| {
            // A query of as many words as JSON text has would have too many clauses.
            let is_json = word.len() > LONGEST_WORD || word.starts_with(['{', '"']);
            let ends_word = move |c| is_json && r#"{}[]":,"#.contains(c);
            word.split(ends_word).map(|word| word.chars().take(LONGEST_WORD).collect::<String>())
        })
        .filter(|word| word.chars().any(char::is_alphanumeric))
}

/// A word as it stands in a query string.
fn escaped(word: &str) -> String {
    // `<` and `>` can't be escaped, https://docs.opensearch.org/latest/query-dsl/full-text/query-string/.
    let word = word.replace(['<', '>'], " ");
    let mut escaped = String::new();
    for c in word.chars() {
        if !c.is_alphanumeric() && !c.is_whitespace() {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    if ["AND", "OR", "NOT"].contains(&escaped.as_str()) { escaped.to_lowercase() } else { escaped }
}
