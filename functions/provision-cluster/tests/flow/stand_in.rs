//! Stand-ins for clusters with the plugins that no registry serves. They respond as alerting, the security plugin,
//! Dashboards, ILM, Watcher and API keys are documented, and keep what is put; `index_management.rs` responds for ISM. They are not real servers: those are tested
//! by `tests/tests/secured`, and by the tests of the files in `infra/search/tests`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use base64_simd::STANDARD;
use serde_json::{Map, Value, json};
use testing::http_server::{HttpServer, ReceivedRequest};

use crate::index_management::Indices;
use crate::server::{ScriptedResponse, start};

pub(crate) const ADMIN: (&str, &str) = ("admin", "admin-hunter2");

/// What a stand-in holds.
#[derive(Default)]
pub(crate) struct State {
    /// Resources by path, each with its sequence number.
    pub(crate) resources: BTreeMap<String, (Value, i64)>,
    /// Indices that index management knows.
    pub(crate) indices: Indices,
    /// Settings of indices, by name.
    pub(crate) data: Map<String, Value>,
    /// Indices whose mapping has the fields of the pipeline's events.
    pub(crate) of_events: BTreeSet<String>,
    /// API keys, as the APIs list them.
    pub(crate) keys: Vec<Value>,
    /// Secrets of the API keys, by id.
    pub(crate) key_secrets: BTreeMap<String, String>,
    /// Errors for requests whose path, or method and path, starts so.
    pub(crate) refused: Vec<(String, u16, Value)>,
    /// Response to an import of saved objects.
    pub(crate) import: Option<Value>,
    seq_no: i64,
}

#[derive(Clone)]
pub(crate) struct StandIn {
    pub(crate) state: Arc<Mutex<State>>,
    root: Value,
}

/// Response of either product to a path without a handler.
pub(crate) fn no_handler(method: &str, path: &str) -> Value {
    json!({"error": format!("no handler found for uri [/{path}] and method [{method}]")})
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

    pub(crate) async fn start(&self) -> HttpServer {
        let stand_in = self.clone();
        start(move |request| stand_in.respond(request)).await
    }

    pub(crate) fn respond(&self, request: &ReceivedRequest) -> ScriptedResponse {
        let (status, body) = self.response_to(request);
        ScriptedResponse::Json(status, body)
    }

    fn response_to(&self, request: &ReceivedRequest) -> (u16, Value) {
        let mut state = self.state.lock().unwrap();
        let path = request.path();
        let line = request.line();
        let is_refused = |start: &str| path.starts_with(start) || line.starts_with(start);
        if let Some((_, status, body)) = state.refused.iter().find(|(start, ..)| is_refused(start)) {
            return (*status, body.clone());
        }
        let Some(user) = state.user_of(request) else { return (401, json!("Unauthorized")) };
        if path.is_empty() {
            return (200, self.root.clone());
        }
        match (request.head.method.as_str(), path) {
            ("GET", "_plugins/_security/authinfo" | "_security/_authenticate") => (200, user),
            ("GET", "_ilm/status") => (200, json!({"operation_mode": "RUNNING"})),
            ("POST", "api/saved_objects/_import") => state.import(request),
            ("GET", "_cluster/settings") => {
                let limit = state.resources.get(path).map(|(body, _)| &body["persistent"]);
                let limit = limit.and_then(|it| it["indices.query.bool.max_clause_count"].as_u64());
                let level = |value: u64| json!({"indices": {"query": {"bool": {"max_clause_count": value.to_string()}}}});
                let persistent = limit.map_or(json!({}), level);
                (200, json!({"persistent": persistent, "transient": {}, "defaults": level(1024)}))
            }
            _ if path.starts_with("_plugins/_ism/") => state.ism(request, path),
            _ if path.starts_with("_plugins/_alerting/monitors") => state.alerting(request, path),
            _ if path.starts_with("_plugins/_security/api/apitokens") => state.tokens(request, path),
            _ if path == "_security/api_key" => state.api_keys(request),
            _ => state.resource(request, path),
        }
    }
}

impl State {
    fn put(&mut self, path: &str, body: Value) -> i64 {
        self.seq_no += 1;
        self.resources.insert(path.to_owned(), (body, self.seq_no));
        self.seq_no
    }

    /// Returns the user of a request as either product describes it; `None` if the credential is wrong.
    fn user_of(&self, request: &ReceivedRequest) -> Option<Value> {
        let (kind, credential) = request.header("authorization")?.split_once(' ')?;
        if kind == "ApiKey" {
            // The token of OpenSearch, or base64 of id and key for Elasticsearch.
            let text =
                STANDARD.decode_to_vec(credential).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let is_known =
                |id: &str, secret: &str| self.key_secrets.get(id).is_some_and(|known| known == secret);
            let known = text
                .as_ref()
                .and_then(|text| text.split_once(':'))
                .is_some_and(|(id, secret)| is_known(id, secret))
                || self.key_secrets.values().any(|known| known == credential);
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
            if let Some((user, _)) = self.resources.get(&format!("{path}/{name}")) {
                return (user["password"] == password).then(|| json!({"roles": user[member]}));
            }
        }
        None
    }

    /// Resources that are put, got and deleted by their path. Each API wraps them differently when it returns them.
    fn resource(&mut self, request: &ReceivedRequest, path: &str) -> (u16, Value) {
        if let Some(pattern) = path.strip_suffix("/_settings").filter(|pattern| pattern.ends_with("-*")) {
            let settings = json!({"settings": {"index": {"uuid": "u"}}});
            let mut all = self.data.clone();
            all.extend(self.indices.matching(pattern).into_iter().map(|name| (name, settings.clone())));
            return (200, all.into());
        }
        if let Some((pattern, "kafka_topic")) = path.split_once("/_mapping/field/") {
            let field = json!({"mappings": {"kafka_topic": {"full_name": "kafka_topic", "mapping": {}}}});
            let names = self.indices.matching(pattern).into_iter().chain(self.data.keys().cloned());
            let fields = names.map(|name| match self.of_events.contains(&name) {
                true => (name, field.clone()),
                false => (name, json!({"mappings": {}})),
            });
            return (200, fields.collect::<Map<_, _>>().into());
        }
        match request.head.method.as_str() {
            "DELETE" if self.data.remove(path).is_some() => (200, json!({"acknowledged": true})),
            "PUT" => {
                self.put(path, request.json());
                (200, json!({"acknowledged": true}))
            }
            "DELETE" => match self.resources.remove(path) {
                Some(_) => (200, json!({"acknowledged": true})),
                None => (404, json!({"status": "NOT_FOUND"})),
            },
            "GET" => match self.resources.get(path) {
                Some((body, version)) => (200, wrapped(path, body, *version)),
                None => (404, json!({"error": {"reason": "not found"}, "status": 404})),
            },
            _ => (400, no_handler(request.head.method.as_str(), request.path_and_query())),
        }
    }

    fn ism(&mut self, request: &ReceivedRequest, path: &str) -> (u16, Value) {
        let rest = path.trim_start_matches("_plugins/_ism/");
        let (api, names) = rest.split_once('/').unwrap();
        match api {
            "policies" => return self.policy(request, path, names),
            "explain" => return self.indices.explain(names),
            _ => {}
        }
        let policy = request.json()["policy_id"].as_str().unwrap().to_owned();
        let Some((_, seq_no)) = self.resources.get(&format!("_plugins/_ism/policies/{policy}")) else {
            let reason = format!("Could not find policy={policy}");
            return (404, json!({"error": {"type": "status_exception", "reason": reason}, "status": 404}));
        };
        match api {
            "add" => self.indices.add(names, &policy),
            "change_policy" => self.indices.change_policy(names, &policy, *seq_no),
            _ => (400, no_handler(request.head.method.as_str(), request.path_and_query())),
        }
    }

    fn policy(&mut self, request: &ReceivedRequest, path: &str, name: &str) -> (u16, Value) {
        let existing = self.resources.get(path).cloned();
        match (request.head.method.as_str(), existing) {
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
                if !request.path_and_query().ends_with(&format!("?if_seq_no={seq_no}&if_primary_term=1")) =>
            {
                (409, json!({"error": {"reason": format!("[{name}]: version conflict")}, "status": 409}))
            }
            ("PUT", _) => {
                let seq_no = self.put(path, request.json());
                (201, json!({"_id": name, "_version": 1, "_seq_no": seq_no, "_primary_term": 1}))
            }
            ("DELETE", existing) => {
                self.resources.remove(path);
                (if existing.is_some() { 200 } else { 404 }, json!({"result": "deleted"}))
            }
            _ => (400, no_handler(request.head.method.as_str(), request.path_and_query())),
        }
    }

    /// <https://docs.opensearch.org/latest/observing-your-data/alerting/api/>
    fn alerting(&mut self, request: &ReceivedRequest, path: &str) -> (u16, Value) {
        const MONITORS: &str = "_plugins/_alerting/monitors";
        let monitors: Vec<_> = self.resources.iter().filter(|(path, _)| path.starts_with(MONITORS)).collect();
        match (request.head.method.as_str(), path.strip_prefix(MONITORS).unwrap()) {
            ("POST", "/_search") if monitors.is_empty() => {
                let reason = "Configured indices are not found: [.opendistro-alerting-config]";
                (404, json!({"error": {"type": "alerting_exception", "reason": reason}, "status": 404}))
            }
            ("POST", "/_search") => {
                // A match query finds more than the exact name. Here it finds all monitors.
                let hits: Vec<_> = monitors
                    .iter()
                    .map(|(path, (body, seq_no))| {
                        let id = path.rsplit('/').next();
                        json!({"_id": id, "_seq_no": seq_no, "_primary_term": 1, "_source": as_alerting_returns(body)})
                    })
                    .collect();
                (200, json!({"hits": {"total": {"value": hits.len()}, "hits": hits}}))
            }
            ("POST", "") => {
                let id = format!("id{}", self.seq_no);
                let seq_no = self.put(&format!("{MONITORS}/{id}"), request.json());
                (201, json!({"_id": id, "_version": 1, "_seq_no": seq_no, "_primary_term": 1}))
            }
            _ => self.resource(request, path),
        }
    }

    /// <https://docs.opensearch.org/latest/api-reference/security/api-keys/create/>
    fn tokens(&mut self, request: &ReceivedRequest, path: &str) -> (u16, Value) {
        match request.head.method.as_str() {
            "GET" => (200, self.keys.clone().into()),
            "POST" => {
                let body = request.json();
                if self.keys.iter().any(|key| key["name"] == body["name"]) {
                    return (400, json!({"status": "BAD_REQUEST", "message": "the name is taken"}));
                }
                self.seq_no += 1;
                let (id, token) = (format!("key{}", self.seq_no), format!("os_hunter2{}", self.seq_no));
                self.key_secrets.insert(id.clone(), token.clone());
                // Far in the future.
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
    fn api_keys(&mut self, request: &ReceivedRequest) -> (u16, Value) {
        let body = request.json();
        let has_rights = |roles: &Value| roles.as_object().is_some_and(|roles| !roles.is_empty());
        let is_of_key = request.header("authorization").is_some_and(|login| login.starts_with("ApiKey"));
        if request.head.method == "POST" && is_of_key && has_rights(&body["role_descriptors"]) {
            // `TransportCreateApiKeyAction.java` of Elasticsearch 8.19.
            let reason = "creating derived api keys requires an explicit role descriptor that is empty (has no privileges)";
            let error = json!({"type": "illegal_argument_exception", "reason": reason});
            return (400, json!({"error": error, "status": 400}));
        }
        if request.head.method == "POST" {
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
    fn import(&self, request: &ReceivedRequest) -> (u16, Value) {
        if request.header("osd-xsrf").or_else(|| request.header("kbn-xsrf")).is_none() {
            return (400, json!({"statusCode": 400, "message": "Request must contain a xsrf header."}));
        }
        let n = request.text().lines().filter(|line| line.starts_with('{')).count();
        (200, self.import.clone().unwrap_or_else(|| json!({"success": true, "successCount": n})))
    }
}

/// Returns a monitor as alerting does, with added members and with its query's defaults written out.
fn as_alerting_returns(body: &Value) -> Value {
    let mut monitor = body.clone();
    let added = json!({"schema_version": 8, "enabled_time": 1_562_703_611_363_u64, "owner": "alerting",
        "last_update_time": 1_562_703_611_363_u64, "data_sources": {"query_index": ".opensearch-alerting-queries"},
        "user": {"name": "admin", "roles": ["all_access"]}, "delete_query_index_in_every_run": false});
    monitor.as_object_mut().unwrap().extend(added.as_object().unwrap().clone());
    write_defaults(&mut monitor);
    monitor
}

/// Writes out the defaults of queries.
fn write_defaults(value: &mut Value) {
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
            members.values_mut().for_each(write_defaults);
        }
        Value::Array(elements) => elements.iter_mut().for_each(write_defaults),
        _ => {}
    }
}

/// Returns a resource as its API wraps it.
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
