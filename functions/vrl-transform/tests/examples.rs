//! The examples of docs/PIPELINE.md do what the page says.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and reads the page"
)]

mod common;

use std::fs;

use common::run;
use vrl_transform::functions::REFUSED;

fn page() -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/PIPELINE.md")).unwrap()
}

/// The code blocks of a language, in the page's order.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let start = format!("```{language}\n");
    let parts = page.split(&start).skip(1);
    parts.map(|part| part.split("\n```").next().unwrap().to_owned()).collect()
}

#[test]
fn each_example_gives_the_document_behind_it() {
    let page = page();
    let (scripts, texts) = (blocks(&page, "coffee"), blocks(&page, "json"));
    assert_eq!((scripts.len(), texts.len()), (3, 6));
    for (script, texts) in scripts.iter().zip(texts.chunks(2)) {
        let [payload, expected] = texts else { panic!("a script has a payload and a document") };
        let expected: serde_json::Value = serde_json::from_str(expected).unwrap();
        let shaped = run(script, payload);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shaped).ok(), Some(expected), "{shaped}");
    }
}

#[test]
fn the_page_lists_the_functions_that_are_refused() {
    let page = page();
    let rows = page.split("| refused |").nth(1).unwrap().split("\n\n").next().unwrap();
    let mut listed: Vec<&str> = rows
        .lines()
        .filter_map(|row| row.strip_prefix("| `")?.split(" | ").next())
        .flat_map(|cell| cell.trim_end_matches('`').split("`, `"))
        .collect();
    listed.sort_unstable();
    assert_eq!(listed, REFUSED.iter().map(|refused| refused.name).collect::<Vec<_>>());
}
