//! Dependencies between the crates point one way, as ARCHITECTURE.md shows them.

use std::collections::BTreeMap;
use std::path::Path;

use integration_tests::workspace::{Crate, crates, repository};

/// The libraries that a crate which is not a function may stand on.
const LIBRARIES: [(&str, &[&str]); 11] = [
    ("record-formats", &[]),
    ("event-pipeline", &["record-formats"]),
    ("search-client", &[]),
    ("schema-registry", &["record-formats", "search-client"]),
    ("lambda-support", &["schema-registry", "search-client"]),
    ("pipeline-file", &["event-pipeline"]),
    ("vrl-transform", &["event-pipeline"]),
    (
        "indexing",
        &[
            "event-pipeline",
            "pipeline-file",
            "record-formats",
            "schema-registry",
            "search-client",
            "lambda-support",
        ],
    ),
    ("kafka-to-search", &OF_FUNCTIONS),
    ("kafka-poller", &["event-pipeline", "record-formats"]),
    ("event-producer", &[]),
];

/// What a function, and the program that shows what they do, may stand on.
const OF_FUNCTIONS: [&str; 8] = [
    "event-pipeline",
    "pipeline-file",
    "vrl-transform",
    "record-formats",
    "schema-registry",
    "search-client",
    "lambda-support",
    "indexing",
];

/// What the function that accounts for records may stand on: it counts as the command does.
const OF_ACCOUNTS: &[&str] = &[
    "event-pipeline",
    "pipeline-file",
    "vrl-transform",
    "search-client",
    "lambda-support",
    "indexing",
    "kafka-to-search",
];

/// Crates that are there for tests; they may stand on anything, and nothing that is shipped on them.
const OF_TESTS: [&str; 2] = ["integration-tests", "testing"];

/// Whether a crate is deployed as a function: one with a program, in `functions`.
fn is_function(each: &Crate, repository: &Path) -> bool {
    each.folder().starts_with(repository.join("functions"))
        && each.targets.iter().any(|target| target.kind.iter().any(|kind| kind == "bin"))
}

#[test]
fn no_function_depends_on_another_function() {
    let (all, repository) = (crates().unwrap(), repository().unwrap());
    let functions: Vec<&Crate> = all.iter().filter(|it| is_function(it, &repository)).collect();
    let names: Vec<&str> = functions.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["account-records", "index-events", "replay-dead-letters", "provision-cluster"]);
    for function in functions {
        // Not for its tests either.
        for dependency in function.workspace_dependencies() {
            assert!(!names.contains(&dependency.name.as_str()), "{} → {}", function.name, dependency.name);
        }
    }
}

#[test]
fn dependencies_point_one_way() {
    let (all, repository) = (crates().unwrap(), repository().unwrap());
    let libraries = BTreeMap::from(LIBRARIES);
    for each in &all {
        if OF_TESTS.contains(&each.name.as_str()) {
            continue;
        }
        let allowed = if each.name == "account-records" {
            OF_ACCOUNTS
        } else if is_function(each, &repository) {
            &OF_FUNCTIONS[..]
        } else {
            let rule = libraries.get(each.name.as_str());
            rule.unwrap_or_else(|| panic!("a rule says what {} may stand on", each.name))
        };
        for dependency in each.workspace_dependencies().filter(|it| it.kind.is_none()) {
            let name = dependency.name.as_str();
            assert!(allowed.contains(&name), "{} may not depend on {name}", each.name);
        }
    }
    for (name, _) in LIBRARIES {
        assert!(all.iter().any(|it| it.name == name), "{name} is a crate of the workspace");
    }
}
