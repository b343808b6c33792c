//! The template and the functions agree on how failed records are reported, on the names of variables, properties and metrics,
//! and on which function gets which credential.
#![expect(clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use index_events::config::{BatchFailures, Config};
use provision_cluster::config;
use provision_cluster::settings::PROPERTIES;
use serde_yaml_ng::Value;
use testing::environment::lookup;

/// The template as it is after `Fn::ForEach`, with values for its parameters.
struct Template {
    document: Value,
    parameters: Vec<(String, String)>,
}

impl Template {
    fn read() -> Self {
        Self::of("infra/expanded.yaml")
    }

    fn of(path: &str) -> Self {
        let text = std::fs::read_to_string(repository(path)).expect("the template is there");
        let mut document: Value = serde_yaml_ng::from_str(&text).expect("the template is YAML");
        document.apply_merge().expect("its merges are mappings");
        Self { document, parameters: Vec::new() }
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        assert!(!self.document["Parameters"][name].is_null(), "the template has a parameter {name}");
        self.parameters.insert(0, (name.to_owned(), value.to_owned()));
        self
    }

    /// The values that a parameter may have.
    fn allowed(&self, parameter: &str) -> Vec<String> {
        let values = self.document["Parameters"][parameter]["AllowedValues"].as_sequence();
        values.expect("its values are listed").iter().map(text).collect()
    }

    /// A value with CloudFormation's functions evaluated; null for `AWS::NoValue`.
    fn evaluate(&self, value: &Value) -> Value {
        match value {
            Value::Tagged(tagged) => {
                let arguments = tagged.value.as_sequence().cloned().unwrap_or_default();
                match tagged.tag.to_string().as_str() {
                    "!Ref" => self.parameter(&text(&tagged.value)),
                    "!If" => {
                        let [condition, then, otherwise] = arguments.as_slice() else {
                            panic!("!If takes three arguments: {value:?}")
                        };
                        self.evaluate(if self.condition(&text(condition)) { then } else { otherwise })
                    }
                    "!Sub" => {
                        let parts = text(&tagged.value);
                        let mut parts = parts.split("${");
                        let first = parts.next().unwrap_or_default().to_owned();
                        Value::String(parts.fold(first, |mut whole, part| {
                            let (name, rest) = part.split_once('}').expect("a name ends");
                            whole.push_str(&text(&self.parameter(name)));
                            whole + rest
                        }))
                    }
                    "!Split" => {
                        let [separator, whole] = arguments.as_slice() else {
                            panic!("!Split takes two arguments: {value:?}")
                        };
                        let whole = text(&self.evaluate(whole));
                        whole.split(text(separator).as_str()).map(Value::from).collect()
                    }
                    "!Select" => {
                        let [position, list] = arguments.as_slice() else {
                            panic!("!Select takes two arguments: {value:?}")
                        };
                        let list = self.evaluate(list);
                        list[position.as_u64().expect("a position is a number") as usize].clone()
                    }
                    "!FindInMap" => arguments.iter().fold(self.document["Mappings"].clone(), |found, key| {
                        let key = text(&self.evaluate(key));
                        assert!(!found[&key].is_null(), "{value:?}: no {key}");
                        found[&key].clone()
                    }),
                    // Attributes and other functions are not compared.
                    _ => Value::String(format!("{value:?}")),
                }
            }
            Value::Sequence(elements) => {
                let elements = elements.iter().map(|element| self.evaluate(element));
                elements.filter(|element| !element.is_null()).collect()
            }
            other => other.clone(),
        }
    }

    fn condition(&self, name: &str) -> bool {
        let condition = &self.document["Conditions"][name];
        assert!(!condition.is_null(), "the template has a condition {name}");
        self.holds(condition)
    }

    fn holds(&self, condition: &Value) -> bool {
        let Value::Tagged(tagged) = condition else { panic!("not a condition: {condition:?}") };
        let arguments = tagged.value.as_sequence().cloned().unwrap_or_default();
        match tagged.tag.to_string().as_str() {
            "!Equals" => text(&self.evaluate(&arguments[0])) == text(&self.evaluate(&arguments[1])),
            "!Not" => !self.holds(&arguments[0]),
            "!And" => arguments.iter().all(|argument| self.holds(argument)),
            "!Or" => arguments.iter().any(|argument| self.holds(argument)),
            "!Condition" => self.condition(&text(&tagged.value)),
            other => panic!("{other} is not a function for conditions"),
        }
    }

    fn parameter(&self, name: &str) -> Value {
        if name == "AWS::NoValue" {
            return Value::Null;
        }
        if let Some((_, value)) = self.parameters.iter().find(|(known, _)| known == name) {
            return Value::String(value.clone());
        }
        match &self.document["Parameters"][name]["Default"] {
            Value::Null => Value::String(name.to_owned()),
            default => default.clone(),
        }
    }

    fn resource(&self, name: &str) -> &Value {
        let resource = &self.document["Resources"][name];
        assert!(!resource.is_null(), "the template has a resource {name}");
        &resource["Properties"]
    }

    /// The variables of a function.
    fn variables(&self, function: &str) -> BTreeMap<String, String> {
        self.evaluated(self.settings_of_variables(function))
    }

    /// The properties of the custom resource.
    fn properties(&self) -> BTreeMap<String, String> {
        let properties = self.resource("SearchCluster").as_mapping().into_iter().flatten();
        self.evaluated(properties.map(|(name, value)| (text(name), value)))
    }

    fn evaluated<'v>(
        &self,
        pairs: impl IntoIterator<Item = (String, &'v Value)>,
    ) -> BTreeMap<String, String> {
        let pairs = pairs.into_iter().map(|(name, value)| (name, self.evaluate(value)));
        pairs.filter(|(_, value)| !value.is_null()).map(|(name, value)| (name, text(&value))).collect()
    }

    /// The settings of a function's variables: those of all functions, and its own.
    fn settings_of_variables(&self, function: &str) -> Vec<(String, &Value)> {
        let shared = self.document["Globals"]["Function"]["Environment"]["Variables"].as_mapping();
        let own = self.resource(function)["Environment"]["Variables"].as_mapping();
        let variables = shared.into_iter().chain(own).flat_map(|variables| variables.iter());
        variables.map(|(name, value)| (text(name), value)).collect()
    }

    /// Every resource in a role's active policies, as text.
    fn reach(&self, role: &str) -> Vec<String> {
        let policies = self.evaluate(&self.resource(role)["Policies"]);
        let policies = policies.as_sequence().expect("a role has policies").iter();
        let statements = policies.flat_map(|policy| {
            let statements = self.evaluate(&policy["PolicyDocument"]["Statement"]);
            statements.as_sequence().expect("a policy has statements").clone()
        });
        let resources = statements.flat_map(|statement| match self.evaluate(&statement["Resource"]) {
            Value::Sequence(several) => several,
            one => vec![one],
        });
        resources.map(|resource| text(&resource)).collect()
    }

    /// The mappings of the function, by name.
    fn mappings(&self) -> Vec<(String, &Value)> {
        let resources = self.document["Resources"].as_mapping().expect("the template has resources");
        let mappings = resources
            .iter()
            .filter(|(_, resource)| text(&resource["Type"]) == "AWS::Lambda::EventSourceMapping");
        mappings.map(|(name, resource)| (text(name), &resource["Properties"])).collect()
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        other => format!("{other:?}"),
    }
}

fn repository(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Every variable that the function reads, for any value of the others.
fn known_variables() -> BTreeSet<String> {
    let read = RefCell::new(BTreeSet::new());
    for auth in ["none", "basic", "api_key", "sigv4"] {
        for cluster in ["SEARCH_ENDPOINT", "SEARCH_DOMAIN"] {
            let _ = Config::parse(&|name| {
                read.borrow_mut().insert(name.to_owned());
                match name {
                    "SEARCH_AUTH" => Some(auth.to_owned()),
                    _ if name == cluster => Some("https://search.example.com".to_owned()),
                    _ => None,
                }
            });
        }
    }
    // Lambda sets these for every function.
    read.into_inner().into_iter().filter(|name| !name.starts_with("AWS_")).collect()
}

#[test]
fn the_mappings_expect_a_report_exactly_when_the_function_returns_one() {
    let allowed = Template::read().allowed("BatchFailures");
    assert_eq!(allowed, ["error", "report"]);
    for value in allowed {
        let template = Template::read()
            .with("BatchFailures", &value)
            .with("KafkaBootstrapServers", "kafka:9092")
            .with("SearchEndpoint", "http://search:9200");
        let variables = template.variables("IndexEvents");
        let config = Config::parse(&lookup(variables)).expect("the template's own variables are valid");
        let expected = match config.batch_failures {
            BatchFailures::Report => vec!["ReportBatchItemFailures".to_owned()],
            BatchFailures::Error => Vec::new(),
        };
        assert_eq!(value == "report", config.batch_failures == BatchFailures::Report, "{value}");
        let mappings = template.mappings();
        assert_eq!(mappings.len(), 3, "one mapping per topic");
        for (name, mapping) in mappings {
            let types = template.evaluate(&mapping["FunctionResponseTypes"]);
            let types: Vec<String> = types.as_sequence().expect("a list").iter().map(text).collect();
            assert_eq!(types, expected, "{name} with BatchFailures={value}");
            assert_eq!(text(&template.evaluate(&mapping["FunctionName"])), "IndexEvents", "{name}");
        }
    }
}

/// The memory tests set it too: `functions/index-events/tests/memory`.
const ARENAS: &str = "MALLOC_ARENA_MAX";

#[test]
fn the_functions_keep_freed_memory_in_one_arena() {
    for function in ["IndexEvents", "ReplayDeadLetters"] {
        assert_eq!(Template::read().variables(function)[ARENAS], "1", "{function}");
    }
}

#[test]
fn the_function_reads_every_variable_of_the_template() {
    let mut known = known_variables();
    // By the C library.
    known.insert(ARENAS.to_owned());
    let template = Template::read();
    for function in ["IndexEvents", "ReplayDeadLetters"] {
        let variables = template.settings_of_variables(function);
        assert!(variables.len() >= 15, "the template sets the variables of {function}");
        for (name, _) in variables {
            assert!(known.contains(&name), "the template sets {name}, which {function} does not read");
        }
    }
}

/// Parameter values for each way to authenticate.
const LOGINS: [&[(&str, &str)]; 6] = [
    &[],
    &[("SearchAuth", "basic"), ("SearchSecretArn", "own-secret")],
    &[("SearchAuth", "basic"), ("AdminSecretArn", "admin-secret")],
    &[("SearchAuth", "api_key"), ("AdminSecretArn", "admin-secret")],
    &[("SearchAuth", "basic"), ("AdminSecretArn", "admin-secret"), ("SearchSecretArn", "own-secret")],
    &[("SearchAuth", "sigv4"), ("SearchDomainArn", "arn:aws:es:eu-central-1:123456789012:domain/d")],
];

fn with_login(login: &[(&str, &str)]) -> Template {
    let template = Template::read()
        .with("KafkaBootstrapServers", "kafka:9092")
        .with("SearchEndpoint", "https://search.example.com");
    login.iter().fold(template, |template, (name, value)| template.with(name, value))
}

#[test]
fn the_replay_makes_the_same_documents_as_index_events() {
    for login in LOGINS {
        let template = with_login(login);
        let (mut index, mut replay) =
            (template.variables("IndexEvents"), template.variables("ReplayDeadLetters"));
        assert!(index.remove("BATCH_FAILURES").is_some());
        for variables in [&mut index, &mut replay] {
            let has_secret = variables.remove("SEARCH_SECRET_ID").is_some();
            assert_eq!(has_secret, ["basic", "api_key"].contains(&variables["SEARCH_AUTH"].as_str()));
        }
        assert_eq!(index, replay);
    }
}

#[test]
fn the_custom_resource_sets_every_setting_and_each_has_a_valid_value() {
    for login in LOGINS {
        let template = with_login(login)
            .with("ReaderBackendRoles", "people")
            .with("DashboardsEndpoint", "https://dashboards.example.com");
        let (properties, environment) = (template.properties(), template.variables("ProvisionCluster"));
        let properties = properties
            .into_iter()
            .map(|(name, text)| {
                // Only CloudFormation knows attributes.
                let is_role = name.ends_with("RoleArn");
                let text = if is_role { "arn:aws:iam::123456789012:role/r".to_owned() } else { text };
                (name, serde_json::Value::from(text))
            })
            .collect();
        let mut environment = environment;
        for (name, value) in
            [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "key"), ("AWS_REGION", "eu-central-1")]
        {
            environment.insert(name.to_owned(), value.to_owned());
        }
        // The layer is unpacked there.
        let pipeline = environment.get("PIPELINE_FILE").map(String::as_str);
        assert_eq!(pipeline, Some("/opt/pipeline.yaml"));
        let in_repository = repository("infra/pipeline.yaml");
        environment.insert("PIPELINE_FILE".to_owned(), in_repository.to_string_lossy().into_owned());
        let config = config::Config::of_custom_resource(&properties, &lookup(environment));
        let settings = config.unwrap_or_else(|error| panic!("{login:?}: {error}")).settings;
        let gives = |name: &str| login.iter().any(|(given, _)| *given == name);
        let makes_credentials = gives("AdminSecretArn") && !gives("SearchSecretArn");
        assert_eq!(settings.writer_secret_id.is_some(), makes_credentials, "{login:?}");
        assert_eq!(settings.replayer_secret_id.is_some(), makes_credentials, "{login:?}");
        assert_eq!(settings.writer_role_arn.is_some(), login.contains(&("SearchAuth", "sigv4")), "{login:?}");
    }
    let template = Template::read();
    let set: BTreeSet<String> = template
        .resource("SearchCluster")
        .as_mapping()
        .into_iter()
        .flatten()
        .map(|(name, _)| text(name))
        .collect();
    for name in PROPERTIES {
        assert!(set.contains(name), "the template does not set {name}");
    }
}

#[test]
fn only_provision_cluster_reads_the_administrators_secret() {
    for login in LOGINS {
        let template = with_login(login);
        let is_admin = |text: &String| text.contains("admin-secret");
        for (function, role) in
            [("IndexEvents", "IndexEventsRole"), ("ReplayDeadLetters", "ReplayDeadLettersRole")]
        {
            assert!(!template.variables(function).values().any(is_admin), "{function} with {login:?}");
            assert!(!template.reach(role).iter().any(is_admin), "{role} with {login:?}");
        }
        let has_admin = login.iter().any(|(name, _)| *name == "AdminSecretArn");
        let environment = template.variables("ProvisionCluster");
        assert_eq!(environment.get("SEARCH_SECRET_ID").is_some_and(is_admin), has_admin, "{login:?}");
        assert_eq!(template.reach("ProvisionClusterRole").iter().any(is_admin), has_admin, "{login:?}");
    }
    let made = with_login(LOGINS[2]);
    let reach = |role: &str| -> Vec<String> {
        made.reach(role).into_iter().filter(|resource| resource.ends_with("Secret")).collect()
    };
    assert_eq!(reach("IndexEventsRole"), ["WriterSecret"]);
    assert_eq!(reach("ReplayDeadLettersRole"), ["ReplayerSecret"]);
    assert_eq!(reach("ProvisionClusterRole"), ["WriterSecret", "ReplayerSecret"]);
    let own = with_login(LOGINS[4]);
    assert_eq!(own.variables("IndexEvents")["SEARCH_SECRET_ID"], "own-secret");
    assert_eq!(own.variables("ReplayDeadLetters")["SEARCH_SECRET_ID"], "own-secret");
}

#[test]
fn the_mappings_wait_until_the_cluster_is_provisioned() {
    for (name, mapping) in Template::read().mappings() {
        let function = format!("{:?}", mapping["FunctionName"]);
        assert!(function.contains("SearchCluster"), "{name} starts before the index templates exist");
    }
}

#[test]
fn the_dashboard_shows_metrics_that_the_functions_record() {
    let template = Template::of("infra/monitoring.yaml");
    let body = template.resource("Dashboard")["DashboardBody"].clone();
    let Value::Tagged(sub) = body else { panic!("the body is a !Sub: {body:?}") };
    let body = text(&sub.value[0]);
    let body = body.split("${").enumerate().fold(String::new(), |whole, (position, part)| {
        let text = if position == 0 { part } else { part.split_once('}').expect("a name ends").1 };
        whole + if position == 0 { "" } else { "1" } + text
    });
    let body: serde_json::Value = serde_json::from_str(&body).expect("the dashboard is JSON");
    let recorded: String = ["index-events", "replay-dead-letters"]
        .map(|function| {
            let path = repository(&format!("functions/{function}/src/metrics.rs"));
            std::fs::read_to_string(path).expect("the metrics are there")
        })
        .concat();
    let mut shown = BTreeSet::new();
    for widget in body["widgets"].as_array().expect("the dashboard has widgets") {
        let mut namespace = "";
        for metric in widget["properties"]["metrics"].as_array().into_iter().flatten() {
            let part = |position: usize| metric[position].as_str().unwrap_or_default();
            if part(0) == "..." {
                continue;
            }
            namespace = if part(0) == "." { namespace } else { part(0) };
            if namespace == "KafkaToSearch" {
                assert!(recorded.contains(&format!("\"{}\"", part(1))), "no function records {}", part(1));
                shown.insert(part(1).to_owned());
            }
        }
    }
    for name in [
        "EventsIndexed",
        "EventsRescued",
        "EventsDuplicate",
        "EventsDeadLettered",
        "EventsFailed",
        "BulkLatency",
        "BulkRetries",
        "BulkBytes",
        "OldestEventAge",
    ] {
        assert!(shown.contains(name), "the dashboard does not show {name}");
    }
}

#[test]
fn every_variable_that_the_function_reads_is_documented() {
    let text = std::fs::read_to_string(repository("docs/CONFIGURATION.md")).expect("the page exists");
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
    for name in known_variables() {
        let quoted = format!("`{name}`");
        assert!(
            rows.iter().any(|row| row.contains(&quoted)),
            "no table in docs/CONFIGURATION.md has {quoted}"
        );
    }
}
