//! Whole replays against a stand-in: a cluster in memory that knows create, guarded delete, search and multi-get, and
//! that can be made to refuse documents, to lose its answers, and to go silent in the middle. The real one is met by
//! the tests in `tests/tests/live/replay.rs`.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64_simd::STANDARD;
use bytes::Bytes;
use indexing::config::Config;
use indexing::field_limit::IndexMapping;
use indexing::transport::BulkTransport;
use lambda_runtime::Diagnostic;
use replay_dead_letters::cluster::Cluster;
use replay_dead_letters::handler::Handler;
use replay_dead_letters::s3::{ObjectStore, S3Error};
use search_client::client::{Renewed, Response, SendError};
use serde_json::{Value, json};

const DAY: &str = "1970.01.01";

/// What the stand-in does instead of answering.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trouble {
    None,
    /// From the n-th request on nothing is done and nothing answered: the process is as good as dead.
    SilentFrom(usize),
    /// The n-th request is done, and its answer lost.
    AnswerLost(usize),
}

struct State {
    documents: BTreeMap<(String, String), (i64, Value)>,
    seq_no: i64,
    /// Documents whose payload has this member are refused.
    refuses: Option<&'static str>,
    /// Bulk requests are answered with this status.
    bulk_status: Option<u16>,
    trouble: Trouble,
    /// How long each request takes.
    takes: Duration,
    /// Is done once, after the next bulk request.
    after_bulk: Option<fn(&StandIn)>,
    n_requests: usize,
    /// Documents that were to be created.
    n_creates: usize,
    /// Answers to multi-gets: the largest that was taken, and how many were too large.
    largest_get: usize,
    n_turned_away: usize,
}

#[derive(Clone)]
struct StandIn(Arc<Mutex<State>>);

impl StandIn {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            documents: BTreeMap::new(),
            seq_no: 0,
            refuses: None,
            bulk_status: None,
            trouble: Trouble::None,
            takes: Duration::ZERO,
            after_bulk: None,
            n_requests: 0,
            n_creates: 0,
            largest_get: 0,
            n_turned_away: 0,
        })))
    }

    fn change<A>(&self, change: impl FnOnce(&mut State) -> A) -> A {
        change(&mut self.0.lock().unwrap())
    }

    fn put(&self, index: &str, id: &str, source: Value) {
        self.change(|state| state.put(index, id, source));
    }

    /// Ids by kind of index.
    fn ids(&self, prefix: &str) -> Vec<String> {
        self.change(|state| {
            state
                .documents
                .keys()
                .filter(|(index, _)| index.starts_with(prefix))
                .map(|(_, id)| id.clone())
                .collect()
        })
    }

    async fn answer(
        &self,
        timeout: Duration,
        reply: impl FnOnce(&mut State) -> Response + Send,
    ) -> Result<Response, SendError> {
        let (trouble, takes) = self.change(|state| {
            state.n_requests += 1;
            let trouble = match state.trouble {
                Trouble::SilentFrom(n) if state.n_requests >= n => Trouble::SilentFrom(n),
                Trouble::AnswerLost(n) if state.n_requests == n => Trouble::AnswerLost(n),
                _ => Trouble::None,
            };
            (trouble, state.takes)
        });
        tokio::time::sleep(takes).await;
        match trouble {
            Trouble::SilentFrom(_) => std::future::pending().await,
            Trouble::AnswerLost(_) => {
                self.change(reply);
                Err(SendError::Timeout(timeout))
            }
            Trouble::None => Ok(self.change(reply)),
        }
    }
}

impl State {
    fn put(&mut self, index: &str, id: &str, source: Value) {
        self.seq_no += 1;
        self.documents.insert((index.into(), id.into()), (self.seq_no, source));
    }

    fn bulk(&mut self, body: &[u8]) -> Response {
        if let Some(status) = self.bulk_status {
            return Response { status, body: Bytes::from_static(b"no") };
        }
        let mut lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let mut items = Vec::new();
        while let Some(line) = lines.next() {
            let action: Value = serde_json::from_slice(line).unwrap();
            let text = |kind: &str, name: &str| action[kind][name].as_str().unwrap_or_default().to_owned();
            let (status, kind) = if action.get("create").is_some() {
                let source: Value = serde_json::from_slice(lines.next().unwrap()).unwrap();
                let (index, id) = (text("create", "_index"), text("create", "_id"));
                self.n_creates += usize::from(index.starts_with("micro"));
                let is_refused = index.starts_with("micro")
                    && self.refuses.is_some_and(|member| source.get(member).is_some());
                let status = if self.documents.contains_key(&(index.clone(), id.clone())) {
                    409
                } else if is_refused {
                    400
                } else {
                    self.put(&index, &id, source);
                    201
                };
                (status, "create")
            } else {
                let key = (text("delete", "_index"), text("delete", "_id"));
                let is_same = self
                    .documents
                    .get(&key)
                    .map(|(seq_no, _)| json!(seq_no) == action["delete"]["if_seq_no"]);
                if is_same == Some(true) {
                    self.documents.remove(&key);
                }
                (if is_same == Some(true) { 200 } else { 409 }, "delete")
            };
            let error =
                (status == 400).then(|| json!({"type": "mapper_parsing_exception", "reason": "refused"}));
            items.push(json!({kind: {"status": status, "error": error}}));
        }
        Response { status: 200, body: json!({"items": items}).to_string().into() }
    }

    /// Answers in the order of `_seq_no` alone, which is the last of the sort values.
    fn search(&self, body: &Value) -> Response {
        let after = body["search_after"].as_array().and_then(|values| values.last()?.as_i64()).unwrap_or(-1);
        let size = usize::try_from(body["size"].as_u64().unwrap()).unwrap();
        let mut found: Vec<_> = self
            .documents
            .iter()
            .filter(|((index, _), (seq_no, _))| index.starts_with("dead") && *seq_no > after)
            .collect();
        found.sort_by_key(|(_, (seq_no, _))| *seq_no);
        let total = found.len();
        let hits: Vec<_> = found
            .into_iter()
            .take(size)
            .map(|((index, id), (seq_no, _))| json!({"_index": index, "_id": id, "sort": [null, null, null, null, seq_no]}))
            .collect();
        let indices: BTreeSet<_> =
            self.documents.keys().map(|(index, _)| index).filter(|it| it.starts_with("dead")).collect();
        let indices: Vec<_> = indices.into_iter().map(|index| json!({"key": index})).collect();
        let aggregations = json!({"indices": {"buckets": indices}, "by_service": {"buckets": [
            {"key": "order", "by_error": {"buckets": [{"key": "mapper_parsing_exception", "doc_count": total}]}}]}});
        let answer = json!({"_shards": {"failed": 0}, "hits": {"total": {"value": total}, "hits": hits}, "aggregations": aggregations});
        Response { status: 200, body: answer.to_string().into() }
    }

    fn get(&self, body: &Value) -> Response {
        let docs: Vec<_> = body["docs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|doc| {
                let key =
                    (doc["_index"].as_str().unwrap().to_owned(), doc["_id"].as_str().unwrap().to_owned());
                let mut answer = json!({"_index": key.0, "_id": key.1, "found": false});
                if let Some((seq_no, source)) = self.documents.get(&key) {
                    answer["found"] = json!(true);
                    answer["_seq_no"] = json!(seq_no);
                    answer["_primary_term"] = json!(1);
                    answer["_source"] = source.clone();
                }
                answer
            })
            .collect();
        Response { status: 200, body: json!({"docs": docs}).to_string().into() }
    }
}

impl BulkTransport for StandIn {
    async fn send_bulk(&self, body: Bytes, timeout: Duration) -> Result<Response, SendError> {
        let reply = self.answer(timeout, |state| state.bulk(&body)).await;
        if let Some(after_bulk) = self.change(|state| state.after_bulk.take()) {
            after_bulk(self);
        }
        reply
    }

    async fn renew_credentials(&self) -> Renewed {
        Renewed::No
    }
}

impl IndexMapping for StandIn {
    async fn stop_mapping_new_fields(&self, _index: &str, _timeout: Duration) -> Result<Response, SendError> {
        Ok(Response { status: 403, body: Bytes::new() })
    }
}

impl Cluster for StandIn {
    async fn post(
        &self,
        path: &str,
        body: Bytes,
        timeout: Duration,
        max_bytes: usize,
    ) -> Result<Option<Response>, SendError> {
        let body: Value = serde_json::from_slice(&body).unwrap();
        let is_get = path == "_mget";
        let reply =
            self.answer(timeout, |state| if is_get { state.get(&body) } else { state.search(&body) }).await?;
        let fits = reply.body.len() <= max_bytes;
        self.change(|state| {
            state.n_turned_away += usize::from(!fits);
            if is_get && fits {
                state.largest_get = state.largest_get.max(reply.body.len());
            }
        });
        Ok(fits.then_some(reply))
    }
}

/// Objects in memory.
#[derive(Default)]
struct Objects(Mutex<BTreeMap<String, String>>);

impl ObjectStore for Objects {
    async fn list(&self, _bucket: &str, prefix: &str, after: Option<&str>) -> Result<Vec<String>, S3Error> {
        let objects = self.0.lock().unwrap();
        let behind = |key: &&String| after.is_none_or(|after| key.as_str() > after);
        Ok(objects.keys().filter(|key| key.starts_with(prefix)).filter(behind).take(2).cloned().collect())
    }

    async fn get(&self, _bucket: &str, key: &str) -> Result<Bytes, S3Error> {
        let objects = self.0.lock().unwrap();
        objects.get(key).map(|object| object.clone().into()).ok_or(S3Error::NotSet("the object"))
    }

    async fn delete(&self, _bucket: &str, key: &str) -> Result<(), S3Error> {
        self.0.lock().unwrap().remove(key);
        Ok(())
    }
}

fn config() -> Config {
    Config::parse(&|name| (name == "SEARCH_ENDPOINT").then(|| "http://stand-in".to_owned())).unwrap()
}

fn handler(cluster: &StandIn, objects: Objects) -> Handler<StandIn, Objects> {
    Handler::new(cluster.clone(), objects, config(), "replay".into())
}

async fn invoke_for(handler: &Handler<StandIn, Objects>, event: &Value, seconds: u64) -> Value {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    match handler.handle(event.to_string().as_bytes(), now_ms + seconds * 1000).await {
        Ok(reply) => serde_json::to_value(reply).unwrap(),
        Err(error) => json!({"error": Diagnostic::from(error)}),
    }
}

async fn invoke(handler: &Handler<StandIn, Objects>, event: &Value) -> Value {
    invoke_for(handler, event, 60).await
}

/// Puts the dead letter of a record with this payload.
fn put_letter(cluster: &StandIn, offset: usize, payload: &str) -> String {
    let id = format!("order.events-0-{offset}-5");
    cluster.put(
        &format!("dead-letters-microservices-{DAY}"),
        &id,
        json!({"service_name": "order", "kafka_topic": "order.events", "kafka_partition": 0, "kafka_offset": offset,
            "kafka_timestamp": 5, "payload": payload, "error": {"type": "mapper_parsing_exception", "reason": "was"}}),
    );
    id
}

fn put_letters(cluster: &StandIn, n_letters: usize) -> Vec<String> {
    let mut ids: Vec<_> =
        (0..n_letters).map(|n| put_letter(cluster, n, &json!({"n": n}).to_string())).collect();
    ids.sort();
    ids
}

#[tokio::test(start_paused = true)]
async fn dead_letters_become_documents_of_the_same_ids() {
    let cluster = StandIn::new();
    let ids = put_letters(&cluster, 100);
    let answer = invoke(&handler(&cluster, Objects::default()), &json!({"all": true})).await;
    let expected = json!({"complete": true, "read": 100, "indexed": 100, "duplicates": 0, "refused": 0, "failed": 0,
        "removed": 100, "not_removed": 0});
    assert_eq!(answer, expected);
    assert_eq!((cluster.ids("micro"), cluster.ids("dead")), (ids, Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_again_keeps_its_dead_letter_and_is_met_once() {
    let cluster = StandIn::new();
    put_letters(&cluster, 30);
    let poison: Vec<_> = (100..120).map(|offset| put_letter(&cluster, offset, r#"{"poison":1}"#)).collect();
    cluster.change(|state| state.refuses = Some("poison"));
    let answer = invoke(&handler(&cluster, Objects::default()), &json!({"service": "order"})).await;
    assert_eq!(
        (&answer["complete"], &answer["refused"], &answer["removed"]),
        (&json!(true), &json!(20), &json!(30))
    );
    assert_eq!(answer["refused_by_service"], json!({"order": {"mapper_parsing_exception": 20}}));
    assert_eq!(answer["problems"].as_array().map(Vec::len), Some(10));
    assert_eq!(cluster.ids("dead"), poison);
    assert_eq!(cluster.change(|state| state.n_creates), 50, "each record was tried once");
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_changes_nothing() {
    let cluster = StandIn::new();
    let ids = put_letters(&cluster, 30);
    let before = cluster.change(|state| state.documents.clone());
    let answer = invoke(&handler(&cluster, Objects::default()), &json!({"all": true, "dry_run": true})).await;
    assert_eq!((&answer["dry_run"], &answer["matched"]), (&json!(true), &json!(30)));
    assert_eq!(answer["by_service"], json!({"order": {"mapper_parsing_exception": 30}}));
    let first = json!({"id": "order.events-0-0-5", "service": "order", "error_type": "mapper_parsing_exception",
        "reason": "was", "index": format!("microservices-{DAY}")});
    assert_eq!((answer["sample"].as_array().map(Vec::len), &answer["sample"][0]), (Some(10), &first));
    assert_eq!(cluster.change(|state| state.documents.clone()), before, "{ids:?}");
}

#[tokio::test(start_paused = true)]
async fn a_run_killed_at_any_request_ends_in_the_same_place_when_it_is_run_again() {
    let mut n_interrupted = 0;
    for at in 1.. {
        let cluster = StandIn::new();
        let mut ids = put_letters(&cluster, 40);
        let poison = put_letter(&cluster, 100, r#"{"poison":1}"#);
        cluster.change(|state| (state.refuses, state.trouble) = (Some("poison"), Trouble::SilentFrom(at)));
        let event = json!({"all": true});
        let run = handler(&cluster, Objects::default());
        // Dropped in the middle, as a process that ends.
        let ended = tokio::time::timeout(Duration::from_millis(1), invoke(&run, &event)).await;
        n_interrupted += usize::from(ended.is_err());
        cluster.change(|state| state.trouble = Trouble::None);
        let lost: Vec<_> = ids.iter().filter(|id| !cluster.ids("").contains(id)).collect();
        assert!(lost.is_empty(), "killed at request {at}: neither dead letter nor document: {lost:?}");
        let answer = invoke(&run, &event).await;
        assert_eq!(answer["complete"], json!(true), "{answer}");
        ids.sort();
        assert_eq!(
            (cluster.ids("micro"), cluster.ids("dead")),
            (ids, vec![poison]),
            "killed at request {at}"
        );
        if ended.is_ok() {
            break;
        }
    }
    assert!(n_interrupted >= 5, "{n_interrupted}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_lost_at_any_request_loses_nothing() {
    for at in 1..12 {
        let cluster = StandIn::new();
        let ids = put_letters(&cluster, 40);
        cluster.change(|state| state.trouble = Trouble::AnswerLost(at));
        let answer = invoke(&handler(&cluster, Objects::default()), &json!({"all": true})).await;
        assert_eq!(answer["complete"], json!(true), "request {at}: {answer}");
        assert_eq!((cluster.ids("micro"), cluster.ids("dead")), (ids, Vec::new()), "request {at}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_that_was_replaced_meanwhile_stays() {
    let cluster = StandIn::new();
    let id = put_letter(&cluster, 1, r#"{"n":1}"#);
    // Replaced when the record is written: between reading and removing the dead letter.
    cluster.change(|state| {
        state.after_bulk = Some(|cluster| {
            put_letter(cluster, 1, r#"{"n":"newer"}"#);
        });
    });
    let replacing = handler(&cluster, Objects::default());
    let answer = invoke_for(&replacing, &json!({"ids": [id]}), 60).await;
    // The first is not removed, as it is another by then. That one is met behind it, and removed for itself.
    assert_eq!(answer["complete"], json!(true), "{answer}");
    let counts = (&answer["read"], &answer["not_removed"], &answer["duplicates"], &answer["removed"]);
    assert_eq!(counts, (&json!(2), &json!(1), &json!(1), &json!(1)), "{answer}");
    assert_eq!((cluster.ids("micro"), cluster.ids("dead")), (vec![id], Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn a_record_whose_dead_letter_belongs_elsewhere_now_has_one_in_the_end() {
    let cluster = StandIn::new();
    // Written when ids were left to the cluster.
    cluster.put(
        &format!("dead-letters-microservices-{DAY}"),
        "aBcDeF",
        json!({"service_name": "order", "kafka_topic": "order.events", "kafka_partition": 0, "kafka_offset": 3,
            "kafka_timestamp": 5, "payload": "{\"poison\":1}", "error": {"type": "mapper_parsing_exception"}}),
    );
    cluster.change(|state| state.refuses = Some("poison"));
    let answer = invoke(&handler(&cluster, Objects::default()), &json!({"all": true})).await;
    assert_eq!(answer["complete"], json!(true), "{answer}");
    assert_eq!(cluster.ids("dead"), ["order.events-0-3-5"]);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_takes_no_writes_ends_the_run_with_all_dead_letters_kept() {
    for status in [403, 429] {
        let cluster = StandIn::new();
        let ids = put_letters(&cluster, 40);
        cluster.change(|state| state.bulk_status = Some(status));
        let run = handler(&cluster, Objects::default());
        let answer = invoke(&run, &json!({"service": "order"})).await;
        assert_eq!((&answer["complete"], &answer["indexed"]), (&json!(false), &json!(0)), "{answer}");
        assert!(answer["failed"].as_u64() > Some(0), "{answer}");
        assert_eq!(answer["next"], json!({"service": "order"}), "the same page again");
        assert_eq!(cluster.ids("dead"), ids);
        cluster.change(|state| state.bulk_status = None);
        let answer = invoke(&run, &answer["next"]).await;
        assert_eq!((&answer["complete"], &answer["removed"]), (&json!(true), &json!(40)), "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn large_sets_go_on_where_the_time_was_over() {
    let cluster = StandIn::new();
    let mut ids = put_letters(&cluster, 2_000);
    let poison = put_letter(&cluster, 9_999, r#"{"poison":1}"#);
    cluster.change(|state| {
        state.refuses = Some("poison");
        state.takes = Duration::from_secs(1);
    });
    let run = handler(&cluster, Objects::default());
    let (mut event, mut n_invocations, mut n_refused) = (json!({"all": true}), 0, 0);
    loop {
        let answer = invoke_for(&run, &event, 20).await;
        n_invocations += 1;
        n_refused += answer["refused"].as_u64().unwrap();
        if answer["complete"] == json!(true) {
            break;
        }
        assert_eq!(answer["stopped"], json!("the invocation's time is over"));
        event = answer["next"].clone();
        assert!(n_invocations < 20, "it comes to an end: {answer}");
    }
    assert!(n_invocations > 1);
    assert_eq!(n_refused, 1);
    ids.sort();
    assert_eq!((cluster.ids("micro"), cluster.ids("dead")), (ids, vec![poison]));
}

#[tokio::test(start_paused = true)]
async fn a_page_of_large_dead_letters_is_small() {
    let cluster = StandIn::new();
    let large = json!({"text": "x".repeat(3_000_000)}).to_string();
    for offset in 0..12 {
        put_letter(&cluster, offset, &large);
    }
    let answer = invoke(&handler(&cluster, Objects::default()), &json!({"all": true})).await;
    assert_eq!((&answer["complete"], &answer["removed"]), (&json!(true), &json!(12)), "{answer}");
    let (largest, n_turned_away) = cluster.change(|state| (state.largest_get, state.n_turned_away));
    assert_eq!(n_turned_away, 1, "twelve at once are too many");
    assert!(largest <= 16 * 1024 * 1024, "{largest}");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_a_dead_letter_is_told_and_kept() {
    let cluster = StandIn::new();
    cluster.put(&format!("dead-letters-microservices-{DAY}"), "odd", json!({"hello": "world"}));
    put_letter(&cluster, 1, "{}");
    let answer = invoke(&handler(&cluster, Objects::default()), &json!({"all": true})).await;
    assert_eq!((&answer["removed"], &answer["refused"]), (&json!(1), &json!(1)));
    assert_eq!(answer["refused_by_service"], json!({"(none)": {"not_a_dead_letter": 1}}));
    assert_eq!(cluster.ids("dead"), ["odd"]);
}

fn on_failure(offsets: impl Iterator<Item = usize>, payload: &str) -> String {
    let value = STANDARD.encode_to_string(payload);
    let records: Vec<_> = offsets.map(|offset| json!({"topic": "order.events", "partition": 0, "offset": offset, "timestamp": 5, "value": value})).collect();
    let event = json!({"eventSource": "SelfManagedKafka", "records": {"order.events-0": records}});
    json!({"requestContext": {"condition": "RetryAttemptsExhausted"}, "version": "1.0", "payload": event.to_string()}).to_string()
}

#[tokio::test(start_paused = true)]
async fn on_failure_records_are_indexed_and_deleted_only_when_all_of_them_are() {
    let cluster = StandIn::new();
    cluster.change(|state| state.refuses = Some("poison"));
    let objects = Objects(Mutex::new(BTreeMap::from([
        ("aws/lambda/a".to_owned(), on_failure(0..3, "{}")),
        ("aws/lambda/b".to_owned(), on_failure(3..5, r#"{"poison":1}"#)),
        ("aws/lambda/c".to_owned(), "not one".to_owned()),
        ("aws/lambda/d".to_owned(), on_failure((0..3).chain(5..6), "{}")),
        ("other".to_owned(), on_failure(9..10, "{}")),
    ])));
    let run = handler(&cluster, objects);
    let event = json!({"s3": {"bucket": "b", "prefix": "aws/", "delete": true}});
    let mut dry = event.clone();
    dry["dry_run"] = json!(true);
    let preview = invoke(&run, &dry).await;
    assert_eq!((&preview["matched"], &preview["complete"]), (&json!(9), &json!(true)), "{preview}");
    assert_eq!(preview["by_service"], json!({"order": {"RetryAttemptsExhausted": 9}}));
    assert!(cluster.ids("").is_empty());
    let answer = invoke(&run, &event).await;
    assert_eq!(answer["complete"], json!(true), "{answer}");
    assert_eq!(answer["objects"], json!({"read": 4, "unreadable": 1, "deleted": 2}), "{answer}");
    let counts = (&answer["indexed"], &answer["duplicates"], &answer["refused"]);
    assert_eq!(counts, (&json!(4), &json!(3), &json!(2)), "{answer}");
    assert_eq!(cluster.ids("dead").len(), 2, "what is refused has a dead letter");
    let again = invoke(&run, &event).await;
    assert_eq!(
        again["objects"],
        json!({"read": 2, "unreadable": 1, "deleted": 0}),
        "what is left is met again: {again}"
    );
}

#[tokio::test(start_paused = true)]
async fn one_object_is_kept_unless_it_is_to_be_deleted() {
    let cluster = StandIn::new();
    let objects = Objects(Mutex::new(BTreeMap::from([("k".to_owned(), on_failure(0..3, "{}"))])));
    let run = handler(&cluster, objects);
    for (delete, deleted) in [(false, 0), (true, 1)] {
        let answer = invoke(&run, &json!({"s3": {"bucket": "b", "key": "k", "delete": delete}})).await;
        assert_eq!(answer["objects"], json!({"read": 1, "unreadable": 0, "deleted": deleted}), "{answer}");
    }
    let gone = invoke(&run, &json!({"s3": {"bucket": "b", "key": "k"}})).await;
    assert_eq!(gone["error"]["errorType"], json!("ObjectsUnreadable"), "{gone}");
}

#[tokio::test(start_paused = true)]
async fn a_bad_event_changes_nothing_and_says_how_to_mend_it() {
    let cluster = StandIn::new();
    put_letters(&cluster, 3);
    let answer = invoke(&handler(&cluster, Objects::default()), &json!({})).await;
    assert_eq!(answer["error"]["errorType"], json!("BadRequest"));
    assert_eq!(cluster.change(|state| state.n_requests), 0);
    let auto = Config::parse(&|name| match name {
        "SEARCH_ENDPOINT" => Some("http://stand-in".to_owned()),
        "DOCUMENT_ID" => Some("auto".to_owned()),
        _ => None,
    });
    let run = Handler::new(cluster.clone(), Objects::default(), auto.unwrap(), "replay".into());
    let answer = invoke(&run, &json!({"all": true})).await;
    assert_eq!(answer["error"]["errorType"], json!("NoDocumentIds"));
    assert_eq!(cluster.ids("dead").len(), 3);
}
