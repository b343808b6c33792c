//! The cluster of the tests.

use kafka_to_search::evaluate::{Decision, Evaluator};
use kafka_to_search::record::Record;
use kafka_to_search::simulate::cluster::call;
use kafka_to_search::variables::VariableTexts;
use reqwest::Method;
use search_client::auth::Auth;
use search_client::client::{BulkCompression, ClientOptions, SearchClient};
use search_client::endpoint::Endpoint;
use serde_json::{Value, json};

use crate::kafka::TIME_MS;

fn send(method: Method, path: &str, body: Option<&Value>) -> String {
    let url = std::env::var("SEARCH_ENDPOINT").expect("SEARCH_ENDPOINT names a cluster");
    let client = SearchClient::new(ClientOptions {
        endpoint: Endpoint::parse(&url).unwrap(),
        auth: Auth::None,
        credentials: None,
        ca_certificate: None,
        compression: BulkCompression::None,
    })
    .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let response = runtime.block_on(call(&client, method, path, body)).unwrap();
    String::from_utf8(response.to_vec()).unwrap()
}

/// Gives all indices whose names begin with `start` a template in which `n` is a number.
pub(crate) fn put_template(start: &str) {
    let body = json!({
        "index_patterns": [format!("{start}-*")],
        "template": {"mappings": {"properties": {"n": {"type": "long"}}}},
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
