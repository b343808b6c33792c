//! What `plan` prints, as docs/SIZING.md shows it.

use std::process::{Command, Output};
use std::{env, fs};

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/SIZING.md");
const PLOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/images/scaling.svg");

fn plan(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kafka-to-search"))
        .arg("plan")
        .args(arguments)
        .output()
        .expect("the program")
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn the_sizing_page_shows_what_the_program_prints_and_draws() {
    let folder = tempfile::tempdir().expect("a folder");
    let plot = folder.path().join("scaling.svg");
    let output =
        plan(&["--rate", "20000", "--bytes", "500", "--peak", "5", "--plot", plot.to_str().expect("UTF-8")]);
    assert!(output.status.success(), "{output:?}");
    let (printed, drawn) = (text(output.stdout), fs::read_to_string(&plot).expect("the plot"));
    if env::var_os("UPDATE").is_some() {
        let docs = fs::read_to_string(DOCS).expect("docs/SIZING.md");
        let (before, rest) = docs.split_once("```text\n").expect("a block of text");
        let (_, after) = rest.split_once("```").expect("its end");
        fs::write(DOCS, format!("{before}```text\n{printed}```{after}")).expect("docs/SIZING.md");
        fs::write(PLOT, &drawn).expect("docs/images/scaling.svg");
    }
    let docs = fs::read_to_string(DOCS).expect("docs/SIZING.md");
    let hint = "UPDATE=1 cargo test -p kafka-to-search --test plan writes it again";
    assert!(docs.contains(&printed), "docs/SIZING.md shows another plan than this. {hint}\n{printed}");
    assert!(
        fs::read_to_string(PLOT).is_ok_and(|shown| shown == drawn),
        "docs/images/scaling.svg is not what is drawn. {hint}"
    );
}

#[test]
fn what_is_in_the_way_is_the_first_thing_said_and_the_status_is_1() {
    let output = plan(&["--rate", "20,000", "--partitions", "3"]);
    assert_eq!(output.status.code(), Some(1));
    let printed = text(output.stdout);
    let obstacle = printed.lines().nth(2).expect("a third line");
    assert!(obstacle.starts_with("in the way: 3 partitions process "), "{printed}");
}

#[test]
fn json_has_the_same_plan() {
    let output = plan(&["--rate", "20000", "--peak", "5", "--output", "json"]);
    let plan: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(plan["sizing"]["shards"], 34);
    assert_eq!(plan["costs"][2]["way"], "OpenSearch Ingestion");
    assert_eq!(plan["hours"][0]["scenario"]["mode"], "OnDemand");
}

#[test]
fn a_file_of_figures_that_is_not_there_is_named() {
    let output = plan(&["--rate", "1", "--figures", "/nowhere/mine.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        text(output.stderr),
        "kafka-to-search: /nowhere/mine.yaml: No such file or directory (os error 2)\n"
    );
}
