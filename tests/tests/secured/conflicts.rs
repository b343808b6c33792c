//! Documents that the cluster rejected as they were: listed with the mapping that ends each conflict, and given their usual
//! form in an index that has it.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use replay_dead_letters::handler::Handler;
use replay_dead_letters::s3::S3Config;
use reqwest::Method;
use search_client::client::RequestBody;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use testing::kafka_event::{EventRecord, payload};

use crate::cases::{cases, seed};
use crate::provisioning::Provisioning;
use crate::servers::{DAY, OPENSEARCH_PLAIN, Server, configuration, id, indexer, later};
use crate::shapes::{Event, Mapping, SERVERS, Shapes};

/// Prefix of indices that take every event.
const USUAL: &str = "unconflicted";
const TOPIC: &str = "order.events";
/// 2023-11-14.
const TIMESTAMP_MS: i64 = 1_700_000_000_000;

/// What happens to an event whose conflict a mapping ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The cluster takes it as it is.
    Usual,
    /// It is fixed once the proposed mapping applies.
    Fixed,
    /// Somebody changes it before.
    Edited,
    /// No mapping takes it.
    Stays,
}

/// Events, the first of which give the mapping of the day. `amount` is a `long` of the user's own; the others conflict only
/// where objects are mapped as objects.
fn events(mapping: Mapping) -> Vec<(Value, Fate)> {
    let where_objects = if mapping == Mapping::Objects { Fate::Fixed } else { Fate::Usual };
    vec![
        (json!({"amount": 1, "total": 1.5, "place": {"city": "Rome"}, "tags": ["a"]}), Fate::Usual),
        (json!({"amount": "2 euros", "note": "n", "tags": ["a", "b"]}), Fate::Fixed),
        (json!({"amount": [3, "four"], "service": "x", "timestamp": "never"}), Fate::Fixed),
        (json!({"total": "3 euros"}), where_objects),
        (json!({"place": "Paris", "total": 2}), where_objects),
        (json!({"place": {"city": {"name": "Paris"}}}), where_objects),
        (json!({"names": {"": 1, " ": {"b": "c"}}, "amount": 5}), where_objects),
        (json!({"": 1, "k": "v"}), Fate::Stays),
        (json!({"amount": "7 euros", "note": "pipeline"}), Fate::Edited),
    ]
}

fn event(mapping: Mapping) -> Vec<u8> {
    let records = events(mapping).into_iter().zip(0..).map(|((event, _), offset)| EventRecord {
        topic: TOPIC.to_owned(),
        offset,
        timestamp_ms: TIMESTAMP_MS,
        key: Some(b"k".to_vec()),
        value: Some(event.to_string().into_bytes()),
        headers: vec![
            ("traceparent".into(), b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_vec()),
            ("correlation-id".into(), format!("c-{offset}").into_bytes()),
        ],
        ..EventRecord::default()
    });
    payload(records).to_string().into_bytes()
}

/// The response to a search, with the documents as they are written: no parser reads every number.
#[derive(Deserialize)]
struct Found<'f> {
    #[serde(borrow)]
    hits: Hits<'f>,
}

#[derive(Deserialize)]
struct Hits<'f> {
    #[serde(borrow)]
    hits: Vec<Hit<'f>>,
}

#[derive(Deserialize)]
struct Hit<'f> {
    #[serde(rename = "_id")]
    id: String,
    #[serde(rename = "_source", borrow)]
    source: &'f RawValue,
}

/// Indices whose events conflict.
struct Conflicted<'s> {
    /// Name of the server.
    name: &'s str,
    prefix: &'s str,
    server: &'s Server,
    mapping: Mapping,
}

impl Conflicted<'_> {
    /// Provisions, with a mapping of the user's own, and indexes the events. Returns the documents that a cluster without
    /// any mapping has of them.
    async fn index(&self) -> Result<BTreeMap<String, Value>> {
        let Self { server, mapping, prefix: conflicted, .. } = *self;
        for prefix in [conflicted, USUAL] {
            Shapes::fresh(server, prefix.to_owned()).await?;
        }
        let engine = if mapping == Mapping::Leaves { "elasticsearch" } else { "opensearch" };
        Provisioning::new(server, conflicted, &[("SEARCH_ENGINE", engine)]).succeed(&["apply"]).await?;
        let custom = json!({"template": {"mappings": {"properties": {"amount": {"type": "long"}}}}});
        self.put_custom(&custom).await?;
        let takes_all = json!({"index_patterns": [format!("{USUAL}-*")], "priority": 900,
            "template": {"mappings": {"enabled": false}}});
        server.request(Method::PUT, &format!("_index_template/{USUAL}"), Some(&takes_all)).await?;
        let expected = events(mapping);
        for prefix in [conflicted, USUAL] {
            let indexer = indexer(server.client(server.administrator())?, prefix)?;
            let batch = event(mapping);
            let indexed = indexer.index(&batch, later()).await?;
            let n_conflicts = expected.iter().filter(|(_, fate)| *fate != Fate::Usual).count();
            let n_expected = if prefix == conflicted { n_conflicts } else { 0 };
            let counts = indexed.counts;
            ensure!(
                (counts.indexed, counts.rescued) == (expected.len(), n_expected),
                "{prefix}: {:?}",
                indexed.outcomes
            );
        }
        let usual = server.documents(&format!("{USUAL}-{DAY}")).await?.into_iter().collect();
        server.request(Method::POST, &format!("{conflicted}-*/_refresh"), None).await?;
        server.request(Method::DELETE, &format!("_index_template/{USUAL}"), None).await?;
        Ok(usual)
    }

    async fn put_custom(&self, template: &Value) -> Result<()> {
        let path = format!("_component_template/{}-custom", self.prefix);
        self.server.request(Method::PUT, &path, Some(template)).await.map(drop)
    }

    /// Invokes the replay function's code.
    async fn invoke(&self, event: &Value) -> Result<Value> {
        let client = self.server.client(self.server.administrator())?;
        let config = configuration(&self.server.endpoint, self.prefix, &[])?.indexing;
        let objects = S3Config::read(&|_| None).connect()?;
        let handler = Handler::new(client, objects, config, "replay".to_owned());
        let deadline = SystemTime::now().duration_since(UNIX_EPOCH)? + Duration::from_secs(120);
        let response = handler.handle(event.to_string().as_bytes(), deadline.as_millis() as u64).await?;
        Ok(serde_json::to_value(response)?)
    }

    /// Merges the proposal into the user's component template, each field in place of the one that is there.
    async fn apply(&self, proposal: &Value) -> Result<()> {
        let path = format!("_component_template/{}-custom", self.prefix);
        let known = self.server.request(Method::GET, &path, None).await?;
        let known = &known["component_templates"][0]["component_template"]["template"];
        let merged = |part: &Value, change: &Value| {
            let mut members: Map<String, Value> = part.as_object().cloned().unwrap_or_default();
            members.extend(change.as_object().cloned().unwrap_or_default());
            members
        };
        let change = &proposal["template"];
        let fields = merged(&known["mappings"]["properties"], &change["mappings"]["properties"]);
        let settings = merged(&known["settings"], &change["settings"]);
        self.put_custom(&json!({"template": {"mappings": {"properties": fields}, "settings": settings}}))
            .await
    }

    /// Copies the documents of an index to one of another name, as a reindex does, and removes the first.
    async fn reindex(&self, from: &str, to: &str) -> Result<()> {
        self.server.request(Method::POST, &format!("{from}/_refresh"), None).await?;
        if self.name == OPENSEARCH_PLAIN {
            let body = json!({"source": {"index": from}, "dest": {"index": to, "op_type": "create"}});
            let path = "_reindex?refresh=true";
            let response = self.server.request(Method::POST, path, Some(&body)).await?;
            ensure!(response["failures"] == json!([]), "{response}");
        } else {
            // The other servers of these tests come without reindex.
            let found = self.send(&format!("{from}/_search?size=1000"), RequestBody::None).await?;
            let found: Found<'_> = serde_json::from_slice(&found)?;
            let mut body = String::new();
            for Hit { id, source } in found.hits.hits {
                body += &format!("{}\n{source}\n", json!({"create": {"_index": to, "_id": id}}));
            }
            let response = self.send("_bulk?refresh=true", RequestBody::Ndjson(body.into())).await?;
            let response: Value = serde_json::from_slice(&response)?;
            ensure!(response["errors"] == false, "{response}");
        }
        self.server.request(Method::DELETE, from, None).await.map(drop)
    }

    async fn send(&self, path: &str, body: RequestBody) -> Result<Bytes> {
        let client = self.server.client(self.server.administrator())?;
        let response = client.request(Method::POST, path, body, Duration::from_secs(60)).await?;
        ensure!(response.status == 200, "{path} returned {}", response.status);
        Ok(response.body)
    }

    /// Names of the indices with conflicts.
    async fn indices(&self) -> Result<Vec<String>> {
        let path = format!("_cat/indices/{}-*?format=json&h=index", self.prefix);
        let found = self.server.request(Method::GET, &path, None).await?;
        let names = found.as_array().into_iter().flatten();
        Ok(names.filter_map(|index| index["index"].as_str().map(str::to_owned)).collect())
    }

    /// Adds a note to a document, as a person does. Elasticsearch's `_update` is not in every distribution.
    async fn edit(&self, index: &str, id: &str) -> Result<Value> {
        let path = format!("{index}/_doc/{id}");
        let stored = self.server.request(Method::GET, &path, None).await?;
        let mut source = stored["_source"].clone();
        source["note"] = json!("by hand");
        self.server.request(Method::PUT, &path, Some(&source)).await?;
        Ok(source)
    }
}

fn counts(response: &Value) -> [usize; 6] {
    ["read", "fixed", "fixed_before", "changed", "still_rejected", "failed"]
        .map(|name| response[name].as_u64().unwrap_or(u64::MAX) as usize)
}

/// The type that is proposed for each field.
fn proposed(list: &Value) -> HashMap<String, Value> {
    let groups = list["groups"].as_array().into_iter().flatten();
    groups
        .map(|group| {
            let properties = &group["proposal"]["template"]["mappings"]["properties"];
            let field = group["field"].as_str().unwrap_or_default().to_owned();
            let mapping = properties.as_object().and_then(|fields| fields.values().next());
            (field, mapping.map_or(Value::Null, |mapping| mapping["type"].clone()))
        })
        .collect()
}

#[tokio::test]
async fn conflicts_end_with_the_proposed_mapping_and_their_documents_become_the_usual_ones() -> Result<()> {
    for (name, mapping) in SERVERS {
        let server = Server::find(name).await?;
        check(&Conflicted { name, prefix: "conflicted", server: &server, mapping })
            .await
            .with_context(|| format!("on {name}"))?;
    }
    Ok(())
}

async fn check(conflicted: &Conflicted<'_>) -> Result<()> {
    let Conflicted { server, mapping, prefix, .. } = *conflicted;
    let usual = conflicted.index().await?;
    let expected = events(mapping);
    let n_of = |wanted: Fate| expected.iter().filter(|(_, fate)| *fate == wanted).count();
    let n_conflicts = expected.len() - n_of(Fate::Usual);

    let list = conflicted.invoke(&json!({"conflicts": "list"})).await?;
    ensure!((&list["documents"], &list["complete"]) == (&json!(n_conflicts), &json!(true)), "{list:#}");
    let (flat, objects) = match mapping {
        Mapping::Objects => (json!("flat_object"), json!("object")),
        Mapping::Leaves => (Value::Null, Value::Null),
    };
    let types = proposed(&list);
    let of = |field: &str| types.get(field).cloned().unwrap_or_default();
    ensure!((of("amount"), of("names")) == (json!("keyword"), flat), "{list:#}");
    ensure!((of(""), of("place")) == (Value::Null, objects), "{list:#}");
    ensure!(
        list["groups"].as_array().is_some_and(|groups| groups.iter().all(|group| {
            group["advice"].as_str().is_some_and(|advice| !advice.is_empty())
                && group["example"]["value"].is_string()
        })),
        "{list:#}"
    );

    // The mapping of the day is fixed.
    let before = server.documents(&format!("{prefix}-{DAY}")).await?;
    let all = json!({"conflicts": "fix", "all": true});
    let response = conflicted.invoke(&all).await?;
    ensure!(counts(&response) == [n_conflicts, 0, 0, 0, n_conflicts, 0], "{response:#}");
    ensure!(response["advice"].as_str().is_some_and(|advice| advice.contains("reindex")), "{response:#}");
    ensure!(server.documents(&format!("{prefix}-{DAY}")).await? == before, "the documents stay as they are");

    conflicted.apply(&list["proposal"]).await?;
    let fresh = format!("{prefix}-{DAY}-fixed");
    conflicted.reindex(&format!("{prefix}-{DAY}"), &fresh).await?;
    let offset_of = |wanted: Fate| expected.iter().position(|(_, fate)| *fate == wanted).unwrap_or_default();
    let edited_id = id(TOPIC, offset_of(Fate::Edited));
    let edited = conflicted.edit(&fresh, &edited_id).await?;

    let response = conflicted.invoke(&all).await?;
    let [n_fixed, n_edited, n_left] = [Fate::Fixed, Fate::Edited, Fate::Stays].map(n_of);
    ensure!(counts(&response) == [n_conflicts, n_fixed, 0, n_edited, n_left, 0], "{response:#}");
    let fixed: BTreeMap<String, Value> = server.documents(&fresh).await?.into_iter().collect();
    ensure!(fixed.len() == expected.len(), "{fixed:#?}");
    let before: BTreeMap<String, Value> = before.into_iter().collect();
    for (offset, (_, fate)) in expected.iter().enumerate() {
        let id = id(TOPIC, offset);
        let wanted = match fate {
            Fate::Usual | Fate::Fixed => &usual[&id],
            Fate::Edited => &edited,
            Fate::Stays => &before[&id],
        };
        ensure!(&fixed[&id] == wanted, "{offset}: {:#}\nis not\n{wanted:#}", fixed[&id]);
    }

    // A search shows the change at once or after the next refresh: nothing is written again either way.
    let again = conflicted.invoke(&json!({"conflicts": "fix", "index": format!("{prefix}-{DAY}*")})).await?;
    ensure!(counts(&again) == [n_edited + n_left, 0, 0, n_edited, n_left, 0], "{again:#}");
    let named = conflicted.invoke(&json!({"conflicts": "fix", "ids": edited_id})).await?;
    ensure!(counts(&named) == [1, 1, 0, 0, 0, 0], "{named:#}");
    let path = format!("{fresh}/_doc/{edited_id}");
    let now = server.request(Method::GET, &path, None).await?;
    ensure!(now["_source"]["amount"] == "7 euros" && now["_source"]["note"] == "by hand", "{now:#}");
    Shapes::fresh(server, prefix.to_owned()).await.map(drop)
}

/// The groups of a list in few words, a line each.
fn summary(list: &Value) -> String {
    let groups = list["groups"].as_array().into_iter().flatten();
    let lines = groups.map(|group| {
        let proposal = &group["proposal"]["template"];
        format!("{} {} {} {proposal}\n", group["documents"], group["field"], group["reason"])
    });
    lines.collect()
}

/// Rounds of listing, applying and fixing. A document can have a conflict behind the one that is ended.
const ROUNDS: usize = 5;

#[tokio::test]
async fn every_case_that_conflicts_is_fixed_or_no_mapping_can_end_its_conflict() -> Result<()> {
    for (name, mapping) in SERVERS {
        let server = Server::find(name).await?;
        let conflicted = Conflicted { name, prefix: "conflict-cases", server: &server, mapping };
        check_cases(&conflicted).await.with_context(|| format!("on {name}"))?;
    }
    Ok(())
}

async fn check_cases(conflicted: &Conflicted<'_>) -> Result<()> {
    let Conflicted { server, mapping, prefix, .. } = *conflicted;
    Shapes::provision(server, prefix, mapping).await?;
    conflicted.put_custom(&json!({"template": {}})).await?;
    let shapes = Shapes::fresh(server, prefix.to_owned()).await?;
    let cases = cases(mapping)?;
    let mut order: Vec<&Event> = cases.iter().collect();
    fastrand::Rng::with_seed(seed()?).shuffle(&mut order);
    let n_rescued = shapes.index(TOPIC, &order).await?;
    ensure!(n_rescued > 0, "no case conflicts");
    let (mut n_fixed, mut n_left) = (0, n_rescued);
    for round in 1..=ROUNDS {
        let list = conflicted.invoke(&json!({"conflicts": "list"})).await?;
        ensure!(list["documents"] == n_left, "{} for {n_left}:\n{}", list["documents"], summary(&list));
        if list["proposal"].is_null() {
            ensure!(n_fixed > 0, "nothing was fixed:\n{}", summary(&list));
            return shapes.remove().await;
        }
        conflicted.apply(&list["proposal"]).await?;
        for index in conflicted.indices().await? {
            let day = index.get(..prefix.len() + DAY.len() + 1).context("a day")?;
            conflicted.reindex(&index, &format!("{day}-{round}")).await?;
        }
        let response = conflicted.invoke(&json!({"conflicts": "fix", "all": true})).await?;
        let [read, fixed, _, changed, still_rejected, failed] = counts(&response);
        ensure!((read, changed, failed) == (n_left, 0, 0), "{response:#}");
        ensure!(fixed + still_rejected == read, "{response:#}");
        (n_fixed, n_left) = (n_fixed + fixed, still_rejected);
        server.request(Method::POST, &format!("{prefix}-*/_refresh"), None).await?;
    }
    let list = conflicted.invoke(&json!({"conflicts": "list"})).await?;
    anyhow::bail!("proposals are left after {ROUNDS} rounds:\n{}", summary(&list))
}
