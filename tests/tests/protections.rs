//! The table of protections fits the sources, the tests and README's table of faults, so that none of them can rot.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use integration_tests::protections::{self, Protection};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .expect("the repository is above the tests")
}

fn table() -> Vec<Protection> {
    protections::read(&repository()).expect("the table is in form")
}

/// All tests that the table names; each once.
fn tests(table: &[Protection]) -> BTreeSet<&str> {
    let names: Vec<&str> = table.iter().flat_map(|it| &it.tests).map(String::as_str).collect();
    let set: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(set.len(), names.len(), "a test stands below one protection");
    set
}

#[test]
fn every_place_that_is_changed_is_found_once() {
    for protection in table() {
        assert!(!protection.without.is_empty(), "`{}` can be taken out", protection.protection);
        let tree = tempfile::tempdir().unwrap();
        for edit in &protection.without {
            let copy = tree.path().join(&edit.file);
            std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
            std::fs::copy(repository().join(&edit.file), &copy).unwrap();
        }
        let originals = protection.take_out(tree.path()).unwrap();
        for edit in &protection.without {
            let text = std::fs::read_to_string(tree.path().join(&edit.file)).unwrap();
            assert!(text.contains(&edit.new) && edit.old != edit.new, "`{}` is changed", edit.old);
        }
        for original in originals {
            original.put_back().unwrap();
        }
        for edit in &protection.without {
            let read = |root: &Path| std::fs::read_to_string(root.join(&edit.file)).unwrap();
            assert_eq!(read(tree.path()), read(&repository()), "what was changed is put back");
        }
    }
}

#[test]
fn every_test_that_has_to_fail_exists() {
    for test in tests(&table()) {
        let (module, name) = test.split_once("::").expect("a test is named by module and name");
        let file = repository().join(format!("tests/tests/live/{module}.rs"));
        let source =
            std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let lines: Vec<&str> = source.lines().collect();
        let line = lines.iter().position(|line| line.starts_with(&format!("async fn {name}()")));
        let attribute = line.and_then(|line| lines.get(line.checked_sub(1)?));
        assert!(attribute.is_some_and(|line| line.starts_with("#[tokio::test(")), "{test} is a test");
    }
}

#[test]
fn the_table_of_faults_has_these_tests_and_no_others() {
    let page = std::fs::read_to_string(repository().join("docs/FAULTS.md")).unwrap();
    let (_, section) = page.split_once("## Table\n").expect("docs/FAULTS.md has a section with the table");
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
    let named: Vec<&str> = rows.map(test_of_row).collect();
    let table = table();
    let set: BTreeSet<&str> = named.iter().copied().collect();
    assert_eq!(set.len(), named.len(), "a test stands in one row");
    assert_eq!(set, tests(&table));
}

/// The test that stands in a row's last cell.
fn test_of_row(row: &str) -> &str {
    row.trim_end_matches([' ', '|', '`']).rsplit('`').next().unwrap_or_default()
}
