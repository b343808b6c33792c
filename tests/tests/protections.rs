//! The table of protections fits the sources, the tests and the table of faults, so that none of them can rot.

use std::collections::BTreeSet;

use integration_tests::protections::{self, Protection, Suite};
use integration_tests::workspace::repository;

fn table() -> Vec<Protection> {
    protections::read(&repository().expect("the repository exists")).expect("the table is well-formed")
}

/// All tests that the table names; each once.
fn tests(table: &[Protection]) -> BTreeSet<&str> {
    let names: Vec<&str> = table.iter().flat_map(|it| &it.tests).map(String::as_str).collect();
    let set: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(set.len(), names.len(), "a test stands below one protection");
    set
}

#[test]
fn every_place_of_a_protection_is_found_once() {
    let repository = repository().unwrap();
    let mut problems = Vec::new();
    for protection in table() {
        assert!(!protection.without.is_empty(), "`{}` can be removed", protection.protection);
        match protection.removed(&repository) {
            Ok(texts) => {
                for (file, text) in texts {
                    let original = std::fs::read_to_string(&file).unwrap();
                    assert_ne!(text, original, "`{}` changes its file", protection.protection);
                }
            }
            Err(error) => problems.push(format!("{error:#}")),
        }
    }
    assert!(problems.is_empty(), "{} protections have moved:\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn a_removed_protection_can_be_put_back() {
    let tree = tempfile::tempdir().unwrap();
    let file = tree.path().join("part/src/lib.rs");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "fn a() { one(); two() }").unwrap();
    std::fs::create_dir(tree.path().join("tests")).unwrap();
    let table = "- protection: both\n  tests: [m::t]\n  without:\n    \
        - {crate: part, function: a, old: one(), new: first()}\n    - {crate: part, function: a, old: two(), new: second()}\n";
    std::fs::write(tree.path().join("tests/protections.yaml"), table).unwrap();
    let [protection] = protections::read(tree.path()).unwrap().try_into().unwrap();
    let originals = protection.remove_from(tree.path()).unwrap();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "fn a() { first(); second() }");
    assert!(protection.touches("part") && !protection.touches("other"));
    for original in originals {
        original.put_back().unwrap();
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "fn a() { one(); two() }");
}

#[test]
fn every_test_that_has_to_fail_exists() {
    for test in tests(&table()) {
        let (module, name) = test.split_once("::").expect("a test is named by module and name");
        let suite = Suite::of(&repository().unwrap(), test).unwrap();
        let file = repository().unwrap().join(suite.file(module));
        let source =
            std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let lines: Vec<&str> = source.lines().collect();
        let line = lines.iter().position(|line| line.starts_with(&format!("async fn {name}()")));
        let attribute = line.and_then(|line| lines.get(line.checked_sub(1)?));
        assert!(attribute.is_some_and(|line| line.starts_with("#[tokio::test(")), "{test} is a test");
    }
}

#[test]
fn a_module_is_in_one_suite() {
    let modules = |suite: Suite| -> BTreeSet<String> {
        let folder = repository().unwrap().join("tests/tests").join(suite.name());
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let names = files.filter_map(|file| Some(file.file_stem()?.to_str()?.to_owned()));
        names.filter(|name| name != "main").collect()
    };
    let [live, clusters] = Suite::ALL.map(modules);
    assert!(!live.is_empty() && !clusters.is_empty());
    assert_eq!(live.intersection(&clusters).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn each_table_of_faults_has_the_tests_of_its_suite_and_no_others() {
    let faults = std::fs::read_to_string(repository().unwrap().join("docs/FAULTS.md")).unwrap();
    for (suite, heading) in [(Suite::Live, "\n## Table\n"), (Suite::Clusters, "\n## Clusters\n")] {
        let (_, section) = faults.split_once(heading).expect("FAULTS.md has a table for each suite");
        let section = section.split("\n## ").next().unwrap_or_default();
        let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
        let named: Vec<&str> = rows.map(test_of_row).collect();
        let set: BTreeSet<&str> = named.iter().copied().collect();
        assert_eq!(set.len(), named.len(), "a test stands in one row");
        let mut table = table();
        for protection in &mut table {
            protection.keep_tests_of(&repository().unwrap(), suite).unwrap();
        }
        assert_eq!(set, tests(&table), "{}", suite.name());
    }
}

/// The test that stands in a row's last cell.
fn test_of_row(row: &str) -> &str {
    row.trim_end_matches([' ', '|', '`']).rsplit('`').next().unwrap_or_default()
}
