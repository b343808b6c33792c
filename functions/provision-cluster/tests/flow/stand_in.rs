//! Stand-ins for clusters with the plugins that no registry serves: they answer as the documentation of ISM, alerting, the
//! security plugin, Dashboards, ILM, Watcher and API keys shows, and keep what they are given. They are no real servers:
//! what is real about OpenSearch and Elasticsearch is met by `tests/tests/secured` and by the files' own tests in
//! `infra/search/tests`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use base64_simd::STANDARD;
use serde_json::{Map, Value, json};

use crate::server::{Asked, Reply, Server};

pub(crate) const ADMIN: (&str, &str) = ("admin", "admin-hunter2");

/// What a stand-in holds.
#[derive(Default)]
pub(crate) struct State {
    /// Everything that is put under its path: body and sequence number.
    pub(crate) held: BTreeMap<String, (Value, i64)>,
    /// Answers of `_ism/explain`, by index.
    pub(crate) indices: Map<String, Value>,
    /// Settings of the indices, by name.
    pub(crate) data: Map<String, Value>,
    /// API keys, as they are listed.
    pub(crate) keys: Vec<Value>,
    /// Secrets of the keys, by id.
    pub(crate) key_secrets: BTreeMap<String, String>,
    /// Paths, or methods with paths, that begin so are answered with this.
    pub(crate) refused: Vec<(String, u16, Value)>,
    /// Answer to an import of saved objects.
    pub(crate) import: Option<Value>,
    seq_no: i64,
}

#[derive(Clone)]
pub(crate) struct StandIn {
    pub(crate) state: Arc<Mutex<State>>,
    root: Value,
}

/// Answer of either product to a path that it has no handler for.
pub(crate) fn no_handler(asked: &Asked) -> Value {
    json!({"error": format!("no handler found for uri [/{}] and method [{}]", asked.path, asked.method)})
}

impl StandIn {
    pub(crate) fn opensearch(version: &str) -> Self {
        Self::new(
            json!({"name": "a script, not a server", "version": {"distribution": "opensearch", "number": version,
            "lucene_version": "10.3.1"}}),
        )
    }

    pub(crate) fn elasticsearch(version: &str) -> Self {
        Self::new(
            json!({"name": "a script, not a server", "version": {"number": version, "lucene_version": "9.12.2"},
            "tagline": "You Know, for Search"}),
        )
    }

    fn new(root: Value) -> Self {
        Self { state: Arc::default(), root }
    }

    pub(crate) fn change<A>(&self, change: impl FnOnce(&mut State) -> A) -> A {
        change(&mut self.state.lock().unwrap())
    }

    pub(crate) fn refuse(&self, path: &str, status: u16, body: Value) {
        self.change(|state| state.refused.push((path.to_owned(), status, body)));
    }

    pub(crate) async fn start(&self) -> Server {
        let stand_in = self.clone();
        Server::start(move |asked| stand_in.reply(asked)).await
    }

    pub(crate) fn reply(&self, asked: &Asked) -> Reply {
        let (status, body) = self.answer(asked);
        Reply::Answer(status, body)
    }

    fn answer(&self, asked: &Asked) -> (u16, Value) {
        let mut state = self.state.lock().unwrap();
        let path = asked.path.split('?').next().unwrap();
        let line = asked.line();
        let is_refused = |start: &str| path.starts_with(start) || line.starts_with(start);
        if let Some((_, status, body)) = state.refused.iter().find(|(start, ..)| is_refused(start)) {
            return (*status, body.clone());
        }
        let Some(user) = state.user_of(asked) else { return (401, json!("Unauthorized")) };
        if path.is_empty() {
            return (200, self.root.clone());
        }
        match (asked.method.as_str(), path) {
            ("GET", "_plugins/_security/authinfo" | "_security/_authenticate") => (200, user),
            ("GET", "_ilm/status") => (200, json!({"operation_mode": "RUNNING"})),
            ("POST", "api/saved_objects/_import") => state.import(asked),
            _ if path.starts_with("_plugins/_ism/") => state.ism(asked, path),
            _ if path.starts_with("_plugins/_alerting/monitors") => state.alerting(asked, path),
            _ if path.starts_with("_plugins/_security/api/apitokens") => state.tokens(asked, path),
            _ if path == "_security/api_key" => state.api_keys(asked),
            _ => state.plain(asked, path),
        }
    }
}

impl State {
    fn put(&mut self, path: &str, body: Value) -> i64 {
        self.seq_no += 1;
        self.held.insert(path.to_owned(), (body, self.seq_no));
        self.seq_no
    }

    /// Who asks, as either product says it; `None` if the credential is wrong.
    fn user_of(&self, asked: &Asked) -> Option<Value> {
        let (kind, credential) = asked.header("authorization")?.split_once(' ')?;
        if kind == "ApiKey" {
            // OpenSearch's token, and Elasticsearch's base64 of id and key.
            let text =
                STANDARD.decode_to_vec(credential).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let is_known =
                |id: &str, secret: &str| self.key_secrets.get(id).is_some_and(|held| held == secret);
            let known = text
                .as_ref()
                .and_then(|text| text.split_once(':'))
                .is_some_and(|(id, secret)| is_known(id, secret))
                || self.key_secrets.values().any(|held| held == credential);
            return known.then(|| json!({"roles": []}));
        }
        let text = String::from_utf8(STANDARD.decode_to_vec(credential).ok()?).ok()?;
        let (name, password) = text.split_once(':')?;
        if (name, password) == ADMIN {
            return Some(json!({"roles": ["all_access"]}));
        }
        for (path, member) in [
            ("_plugins/_security/api/internalusers", "opendistro_security_roles"),
            ("_security/user", "roles"),
        ] {
            if let Some((user, _)) = self.held.get(&format!("{path}/{name}")) {
                return (user["password"] == password).then(|| json!({"roles": user[member]}));
            }
        }
        None
    }

    /// Things that are put, got and deleted by their path. Each API wraps what it gives back in its own way.
    fn plain(&mut self, asked: &Asked, path: &str) -> (u16, Value) {
        if path.ends_with("-*/_settings") {
            return (200, self.data.clone().into());
        }
        match asked.method.as_str() {
            "DELETE" if self.data.remove(path).is_some() => (200, json!({"acknowledged": true})),
            "PUT" => {
                self.put(path, asked.json());
                (200, json!({"acknowledged": true}))
            }
            "DELETE" => match self.held.remove(path) {
                Some(_) => (200, json!({"acknowledged": true})),
                None => (404, json!({"status": "NOT_FOUND"})),
            },
            "GET" => match self.held.get(path) {
                Some((body, version)) => (200, wrapped(path, body, *version)),
                None => (404, json!({"error": {"reason": "not found"}, "status": 404})),
            },
            _ => (400, no_handler(asked)),
        }
    }

    /// <https://docs.opensearch.org/latest/im-plugin/ism/api/>
    fn ism(&mut self, asked: &Asked, path: &str) -> (u16, Value) {
        let rest = path.trim_start_matches("_plugins/_ism/");
        if let Some(name) = rest.strip_prefix("policies/") {
            return self.policy(asked, path, name);
        }
        if rest.starts_with("explain/") {
            let mut explained = self.indices.clone();
            explained.insert("total_managed_indices".into(), explained.len().into());
            return (200, explained.into());
        }
        let (api, names) = rest.split_once('/').unwrap();
        let policy = asked.json()["policy_id"].as_str().unwrap().to_owned();
        let seq_no = self.held[&format!("_plugins/_ism/policies/{policy}")].1;
        let mut failed = Vec::new();
        for name in names.split(',') {
            let state = self.indices.get_mut(name).unwrap();
            if api == "add" && state["policy_id"].is_string() {
                failed.push(json!({"index_name": name, "index_uuid": "u",
                    "reason": "This index already has a policy, use the update policy API to update index policies"}));
            } else if state["transitioning"] == true {
                failed.push(json!({"index_name": name, "index_uuid": "u",
                    "reason": "Cannot change policy while transitioning to new state"}));
            } else {
                *state = json!({"policy_id": policy, "policy_seq_no": seq_no, "enabled": true});
            }
        }
        let n = names.split(',').count() - failed.len();
        (200, json!({"updated_indices": n, "failures": !failed.is_empty(), "failed_indices": failed}))
    }

    fn policy(&mut self, asked: &Asked, path: &str, name: &str) -> (u16, Value) {
        let there = self.held.get(path).cloned();
        match (asked.method.as_str(), there) {
            ("GET", Some((body, seq_no))) => {
                let mut policy = body["policy"].clone();
                let added = json!({"policy_id": name, "last_updated_time": 1_577_990_934_044_u64, "schema_version": 21,
                    "error_notification": null, "user": {"name": "admin"}});
                policy.as_object_mut().unwrap().extend(added.as_object().unwrap().clone());
                for template in policy["ism_template"].as_array_mut().unwrap() {
                    template["last_updated_time"] = json!(1_577_990_934_044_u64);
                }
                (
                    200,
                    json!({"_id": name, "_version": 1, "_seq_no": seq_no, "_primary_term": 1, "policy": policy}),
                )
            }
            ("GET", None) => (404, json!({"error": {"reason": "Policy not found"}, "status": 404})),
            ("PUT", Some((_, seq_no)))
                if !asked.path.ends_with(&format!("?if_seq_no={seq_no}&if_primary_term=1")) =>
            {
                (409, json!({"error": {"reason": format!("[{name}]: version conflict")}, "status": 409}))
            }
            ("PUT", _) => {
                let seq_no = self.put(path, asked.json());
                (201, json!({"_id": name, "_version": 1, "_seq_no": seq_no, "_primary_term": 1}))
            }
            ("DELETE", there) => {
                self.held.remove(path);
                (if there.is_some() { 200 } else { 404 }, json!({"result": "deleted"}))
            }
            _ => (400, no_handler(asked)),
        }
    }

    /// <https://docs.opensearch.org/latest/observing-your-data/alerting/api/>
    fn alerting(&mut self, asked: &Asked, path: &str) -> (u16, Value) {
        const MONITORS: &str = "_plugins/_alerting/monitors";
        let held: Vec<_> = self.held.iter().filter(|(path, _)| path.starts_with(MONITORS)).collect();
        match (asked.method.as_str(), path.strip_prefix(MONITORS).unwrap()) {
            ("POST", "/_search") if held.is_empty() => {
                let reason = "Configured indices are not found: [.opendistro-alerting-config]";
                (404, json!({"error": {"type": "alerting_exception", "reason": reason}, "status": 404}))
            }
            ("POST", "/_search") => {
                // A match finds more than the name itself: here it finds all.
                let hits: Vec<_> = held
                    .iter()
                    .map(|(path, (body, seq_no))| {
                        let id = path.rsplit('/').next();
                        json!({"_id": id, "_seq_no": seq_no, "_primary_term": 1, "_source": as_alerting_gives(body)})
                    })
                    .collect();
                (200, json!({"hits": {"total": {"value": hits.len()}, "hits": hits}}))
            }
            ("POST", "") => {
                let id = format!("id{}", self.seq_no);
                let seq_no = self.put(&format!("{MONITORS}/{id}"), asked.json());
                (201, json!({"_id": id, "_version": 1, "_seq_no": seq_no, "_primary_term": 1}))
            }
            _ => self.plain(asked, path),
        }
    }

    /// <https://docs.opensearch.org/latest/api-reference/security/api-keys/create/>
    fn tokens(&mut self, asked: &Asked, path: &str) -> (u16, Value) {
        match asked.method.as_str() {
            "GET" => (200, self.keys.clone().into()),
            "POST" => {
                let body = asked.json();
                if self.keys.iter().any(|key| key["name"] == body["name"]) {
                    return (400, json!({"status": "BAD_REQUEST", "message": "the name is taken"}));
                }
                self.seq_no += 1;
                let (id, token) = (format!("key{}", self.seq_no), format!("os_hunter2{}", self.seq_no));
                self.key_secrets.insert(id.clone(), token.clone());
                // Far ahead of any clock.
                let mut key =
                    json!({"id": id, "iat": 4_000_000_000_000_u64, "expires_at": 4_007_776_000_000_u64});
                key.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
                self.keys.push(key);
                (200, json!({"id": id, "token": token}))
            }
            _ => {
                let id = path.rsplit('/').next().unwrap().to_owned();
                for key in self.keys.iter_mut().filter(|key| key["id"] == json!(id)) {
                    key["revoked_at"] = json!(4_000_000_000_001_u64);
                    self.key_secrets.remove(&id);
                }
                (200, json!({"message": format!("Token {id} revoked successfully.")}))
            }
        }
    }

    /// <https://www.elastic.co/guide/en/elasticsearch/reference/current/security-api-create-api-key.html>
    fn api_keys(&mut self, asked: &Asked) -> (u16, Value) {
        let body = asked.json();
        if asked.method == "POST" {
            self.seq_no += 1;
            let (id, secret) = (format!("key{}", self.seq_no), format!("hunter2-{}", self.seq_no));
            self.key_secrets.insert(id.clone(), secret.clone());
            self.keys.push(json!({"id": id, "name": body["name"], "invalidated": false}));
            return (200, json!({"id": id, "name": body["name"], "api_key": secret}));
        }
        let mut ids = Vec::new();
        for key in &mut self.keys {
            if key["name"] == body["name"] && key["invalidated"] == false {
                key["invalidated"] = true.into();
                self.key_secrets.remove(key["id"].as_str().unwrap());
                ids.push(key["id"].clone());
            }
        }
        (200, json!({"invalidated_api_keys": ids, "previously_invalidated_api_keys": [], "error_count": 0}))
    }

    /// <https://www.elastic.co/guide/en/kibana/current/saved-objects-api-import.html>
    fn import(&self, asked: &Asked) -> (u16, Value) {
        if asked.header("osd-xsrf").or_else(|| asked.header("kbn-xsrf")).is_none() {
            return (400, json!({"statusCode": 400, "message": "Request must contain a xsrf header."}));
        }
        let n = asked.text.lines().filter(|line| line.starts_with('{')).count();
        (200, self.import.clone().unwrap_or_else(|| json!({"success": true, "successCount": n})))
    }
}

/// A monitor as alerting gives it back: with what it adds, and its query written out.
fn as_alerting_gives(body: &Value) -> Value {
    let mut monitor = body.clone();
    let added = json!({"schema_version": 8, "enabled_time": 1_562_703_611_363_u64, "owner": "alerting",
        "last_update_time": 1_562_703_611_363_u64, "data_sources": {"query_index": ".opensearch-alerting-queries"},
        "user": {"name": "admin", "roles": ["all_access"]}, "delete_query_index_in_every_run": false});
    monitor.as_object_mut().unwrap().extend(added.as_object().unwrap().clone());
    write_out(&mut monitor);
    monitor
}

/// Queries come back with their defaults written out.
fn write_out(value: &mut Value) {
    match value {
        Value::Object(members) => {
            if members.contains_key("include_lower")
                || members.contains_key("should")
                || members.contains_key("filter")
            {
                members.insert("boost".into(), json!(1.0));
            }
            if members.contains_key("should") {
                members.insert("adjust_pure_negative".into(), json!(true));
            }
            members.values_mut().for_each(write_out);
        }
        Value::Array(elements) => elements.iter_mut().for_each(write_out),
        _ => {}
    }
}

fn wrapped(path: &str, body: &Value, version: i64) -> Value {
    let (api, name) = path.rsplit_once('/').unwrap();
    match api {
        "_component_template" => json!({"component_templates": [{"name": name, "component_template": body}]}),
        "_index_template" => json!({"index_templates": [{"name": name, "index_template": body}]}),
        "_watcher/watch" => {
            json!({"found": true, "_id": name, "_seq_no": version, "_primary_term": 1, "watch": body,
                "status": {"state": {"active": true}}})
        }
        "_ilm/policy" => json!({name: {"version": 1, "modified_date": "x", "policy": body["policy"]}}),
        _ => json!({name: body}),
    }
}
