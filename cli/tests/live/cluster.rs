//! The cluster of the tests.

use std::path::Path;
use std::time::Duration;

use kafka_to_search::cluster::call;
use kafka_to_search::evaluate::{Decision, Evaluator};
use kafka_to_search::record::Record;
use kafka_to_search::variables::VariableTexts;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use search_client::auth::Auth;
use search_client::client::{BulkCompression, ClientOptions, SearchClient};
use search_client::endpoints::Endpoints;
use serde_json::{Value, json};

use crate::kafka::TIME_MS;

/// A document: index, id, and the source as JSON.
pub(crate) type Written = (String, String, String);

/// Sends a bulk body and fails if an item does.
fn bulk(lines: &str) {
    let url = std::env::var("SEARCH_ENDPOINT").expect("SEARCH_ENDPOINT names a cluster");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = client(&url);
    let headers = [(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"))].into_iter().collect();
    let body = lines.to_owned().into();
    let sent = client.request_with(Method::POST, "_bulk", headers, body, Duration::from_secs(60));
    let response = runtime.block_on(sent).unwrap();
    let response: Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(response["errors"], false, "{response}");
}

/// Writes documents under their ids.
pub(crate) fn write(documents: &[Written]) {
    for some in documents.chunks(5_000) {
        let mut lines = String::new();
        for (index, id, source) in some {
            lines.push_str(&format!("{}\n{source}\n", json!({"index": {"_index": index, "_id": id}})));
        }
        bulk(&lines);
    }
}

/// Deletes documents.
pub(crate) fn delete(documents: &[Written]) {
    for some in documents.chunks(5_000) {
        let line =
            |(index, id, _): &Written| format!("{}\n", json!({"delete": {"_index": index, "_id": id}}));
        bulk(&some.iter().map(line).collect::<String>());
    }
}

/// The documents of records under these settings: those that are indexed, then the dead letters.
pub(crate) fn documents(index_prefix: &str, rules: &Path, records: &[Record]) -> Vec<Written> {
    let variables: VariableTexts = [
        ("INDEX_PREFIX".to_owned(), index_prefix.to_owned()),
        ("DEAD_LETTER_PREFIX".to_owned(), format!("dead-{index_prefix}")),
    ]
    .into();
    let settings = kafka_to_search::setup::setup(&variables, Some(rules.to_owned())).unwrap().settings;
    let mut evaluator = Evaluator::new(settings, None);
    let mut written = Vec::new();
    for batch in records.chunks(1_000) {
        for decision in evaluator.decide(batch).unwrap() {
            if let Decision::Indexed(document) | Decision::DeadLetter(document, _) = decision {
                written.push((document.index, document.id.unwrap(), document.json));
            }
        }
    }
    written
}

fn client(url: &str) -> SearchClient {
    SearchClient::new(ClientOptions {
        endpoints: Endpoints::parse(url).unwrap(),
        auth: Auth::None,
        credentials: None,
        ca_certificate: None,
        compression: BulkCompression::None,
    })
    .unwrap()
}

fn send(method: Method, path: &str, body: Option<&Value>) -> String {
    let url = std::env::var("SEARCH_ENDPOINT").expect("SEARCH_ENDPOINT names a cluster");
    let client = client(&url);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let response = runtime.block_on(call(&client, method, path, body)).unwrap();
    String::from_utf8(response.to_vec()).unwrap()
}

/// Gives all indices whose names begin with `start` a template in which `n` is a number.
pub(crate) fn put_template(start: &str) {
    let body = json!({
        "index_patterns": [format!("{start}-*")],
        "template": {"mappings": {"properties": {
            "n": {"type": "long"},
            "kafka_topic": {"type": "keyword"},
            "tags": {"type": "keyword"},
            "kafka_timestamp": {"type": "date", "format": "epoch_millis"},
        }}},
    });
    send(Method::PUT, &format!("_index_template/{start}"), Some(&body));
}

/// Indexes the documents that records with these values have without rules.
pub(crate) fn index(index_prefix: &str, topic: &str, values: &[String]) {
    let variables: VariableTexts = [("INDEX_PREFIX".to_owned(), index_prefix.to_owned())].into();
    let settings = kafka_to_search::setup::setup(&variables, None).unwrap().settings;
    let record = |(offset, value): (usize, &String)| Record {
        topic: topic.to_owned(),
        partition: 0,
        offset: offset as i64,
        timestamp_ms: Some(TIME_MS),
        key: None,
        value: Some(value.clone().into_bytes()),
        headers: Vec::new(),
    };
    let records: Vec<_> = values.iter().enumerate().map(record).collect();
    for decision in Evaluator::new(settings, None).decide(&records).unwrap() {
        let Decision::Indexed(document) = decision else { panic!("{decision:?}") };
        let path = format!("{}/_doc/{}", document.index, document.id.unwrap());
        send(Method::PUT, &path, Some(&serde_json::from_str(&document.json).unwrap()));
    }
}

/// Makes an empty index.
pub(crate) fn make(name: &str) {
    send(Method::PUT, name, Some(&json!({"mappings": {"_meta": {"version": 1}}})));
}

/// Names of all indices that begin with `start`, hidden ones included.
pub(crate) fn indices(start: &str) -> Vec<String> {
    let path = format!("_cat/indices/{start}-*?expand_wildcards=all&h=index&s=index&format=json");
    let found: Value = serde_json::from_str(&send(Method::GET, &path, None)).unwrap();
    found.as_array().unwrap().iter().map(|row| row["index"].as_str().unwrap().to_owned()).collect()
}

/// Settings and mappings of the indices that begin with `start`, hidden ones included.
pub(crate) fn described(start: &str) -> Value {
    let path = format!("{start}-*?expand_wildcards=all");
    serde_json::from_str(&send(Method::GET, &path, None)).unwrap()
}

/// Names of the indices that a search of a user's data view finds.
pub(crate) fn visible(start: &str) -> Vec<String> {
    let query = json!({"size": 0, "aggs": {"indices": {"terms": {"field": "_index", "size": 100}}}});
    let found: Value =
        serde_json::from_str(&send(Method::POST, &format!("{start}-*/_search"), Some(&query))).unwrap();
    // A search that finds no index has no aggregations.
    let buckets = found["aggregations"]["indices"]["buckets"].as_array().cloned().unwrap_or_default();
    buckets.iter().map(|bucket| bucket["key"].as_str().unwrap().to_owned()).collect()
}
