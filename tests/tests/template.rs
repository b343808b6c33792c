//! The template and the function agree: on how failed records come back, and on the names of the variables.
#![expect(clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;

use index_events::config::{BatchFailures, Config};
use serde_yaml_ng::Value;

/// The template, with values for its parameters.
struct Template {
    document: Value,
    parameters: Vec<(String, String)>,
}

impl Template {
    fn read() -> Self {
        let text = std::fs::read_to_string(repository("infra/template.yaml")).expect("the template is there");
        Self {
            document: serde_yaml_ng::from_str(&text).expect("the template is YAML"),
            parameters: Vec::new(),
        }
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

    /// A value with the functions of CloudFormation carried out; null where it is `AWS::NoValue`.
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
                    // Attributes and other assembled texts are not what is compared.
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

    /// The variables that the function is given.
    fn variables(&self) -> Vec<(String, String)> {
        let variables = self.settings_of_variables("IndexEvents").into_iter();
        let variables = variables.map(|(name, value)| (name, self.evaluate(value)));
        variables.filter(|(_, value)| !value.is_null()).map(|(name, value)| (name, text(&value))).collect()
    }

    /// What sets a function's variables: what all functions share, and its own.
    fn settings_of_variables(&self, function: &str) -> Vec<(String, &Value)> {
        let shared = self.document["Globals"]["Function"]["Environment"]["Variables"].as_mapping();
        let own = self.resource(function)["Environment"]["Variables"].as_mapping();
        let variables = shared.into_iter().chain(own).flat_map(|variables| variables.iter());
        variables.map(|(name, value)| (text(name), value)).collect()
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

/// Every variable that the function asks for, whatever the others are set to.
fn known_variables() -> BTreeSet<String> {
    let asked = RefCell::new(BTreeSet::new());
    for auth in ["none", "basic", "api_key", "sigv4"] {
        for cluster in ["SEARCH_ENDPOINT", "SEARCH_DOMAIN"] {
            let _ = Config::parse(&|name| {
                asked.borrow_mut().insert(name.to_owned());
                match name {
                    "SEARCH_AUTH" => Some(auth.to_owned()),
                    _ if name == cluster => Some("https://search.example.com".to_owned()),
                    _ => None,
                }
            });
        }
    }
    // Lambda sets these for every function.
    asked.into_inner().into_iter().filter(|name| !name.starts_with("AWS_")).collect()
}

#[test]
fn the_mappings_ask_for_a_report_exactly_when_the_function_gives_one() {
    let allowed = Template::read().allowed("BatchFailures");
    assert_eq!(allowed, ["error", "report"]);
    for value in allowed {
        let template = Template::read()
            .with("BatchFailures", &value)
            .with("KafkaBootstrapServers", "kafka:9092")
            .with("SearchEndpoint", "http://search:9200");
        let variables = template.variables();
        let lookup =
            |name: &str| variables.iter().find(|(known, _)| known == name).map(|(_, text)| text.clone());
        let config = Config::parse(&lookup).expect("the template's own variables are valid");
        let expected = match config.batch_failures {
            BatchFailures::Report => vec!["ReportBatchItemFailures".to_owned()],
            BatchFailures::Error => Vec::new(),
        };
        assert_eq!(value == "report", config.batch_failures == BatchFailures::Report, "{value}");
        let mappings = template.mappings();
        assert_eq!(mappings.len(), 3, "a mapping a topic");
        for (name, mapping) in mappings {
            let types = template.evaluate(&mapping["FunctionResponseTypes"]);
            let types: Vec<String> = types.as_sequence().expect("a list").iter().map(text).collect();
            assert_eq!(types, expected, "{name} with BatchFailures={value}");
            assert_eq!(text(&template.evaluate(&mapping["FunctionName"])), "IndexEvents", "{name}");
        }
    }
}

#[test]
fn every_variable_of_the_template_is_one_that_the_function_reads() {
    let known = known_variables();
    let template = Template::read();
    for function in ["IndexEvents", "ReplayDeadLetters"] {
        let variables = template.settings_of_variables(function);
        assert!(variables.len() >= 15, "the template sets what {function} can be told");
        for (name, _) in variables {
            assert!(known.contains(&name), "the template sets {name}, which {function} does not read");
        }
    }
}

#[test]
fn every_variable_that_the_function_reads_stands_in_the_readme() {
    let readme = std::fs::read_to_string(repository("README.md")).expect("README.md is there");
    let rows: Vec<&str> = readme.lines().filter(|line| line.starts_with('|')).collect();
    for name in known_variables() {
        let quoted = format!("`{name}`");
        assert!(rows.iter().any(|row| row.contains(&quoted)), "no table in README.md has {quoted}");
    }
}
