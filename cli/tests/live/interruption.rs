//! What is left when a simulation is interrupted.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::program::{self, Files, unique};
use crate::{cluster, kafka};

const DEADLINE: Duration = Duration::from_secs(60);

/// Starts a simulation.
fn begin(files: &Files, topic: &str) -> Child {
    let mut command = files.simulate(topic, &["--output", "json"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits until there is an index whose name begins with `start`, besides those that are known.
fn new_index(start: &str, known: &[&String]) -> String {
    let began = Instant::now();
    // Polled without a pause: each look is a request.
    loop {
        if let Some(name) = cluster::indices(start).into_iter().find(|name| !known.contains(&name)) {
            return name;
        }
        assert!(began.elapsed() < DEADLINE, "no scratch index within {DEADLINE:?}");
    }
}

fn publish_many(topic: &str) {
    kafka::publish(topic, (0..200_000).map(|number| json!({"n": number, "t": "x".repeat(200)}).to_string()));
}

#[test]
fn the_next_simulation_removes_what_a_killed_one_left_and_nothing_else() {
    let (topic, start) = (unique("simulated"), unique("sim"));
    let prefix = format!("{start}-none");
    publish_many(&topic);
    let files = Files::new(&prefix, "topics: []\n");
    let mut killed = begin(&files, &topic);
    let scratch = new_index(&start, &[]);
    killed.kill().unwrap();
    killed.wait().unwrap();
    let others = format!("{prefix}-simulation-of-others");
    cluster::make(&others);
    assert_eq!(cluster::indices(&start), sorted([&scratch, &others]), "the killed one could not remove it");

    let mut running = begin(&files, &topic);
    let scratch_of_running = new_index(&start, &[&scratch, &others]);
    assert_eq!(cluster::indices(&start), sorted([&scratch_of_running, &others]), "the left one is gone");

    let report = program::json(&mut files.simulate(&topic, &["--output", "json", "--max", "1"]));
    assert_eq!(report["notes"], json!([]), "that of a running simulation is not left");
    assert!(cluster::indices(&start).contains(&scratch_of_running));
    running.kill().unwrap();
    running.wait().unwrap();
    let report = program::json(&mut files.simulate(&topic, &["--output", "json", "--max", "1"]));
    let note = format!("scratch indices that a killed simulation left are deleted: {scratch_of_running}");
    assert_eq!(report["notes"], json!([note]));
    assert_eq!(cluster::indices(&start), [others]);
}

fn sorted(names: [&String; 2]) -> Vec<String> {
    let mut names = names.map(Clone::clone).to_vec();
    names.sort();
    names
}

#[test]
fn an_interrupted_simulation_hides_its_scratch_index_and_removes_it() {
    let (topic, start) = (unique("simulated"), unique("sim"));
    let prefix = format!("{start}-none");
    cluster::put_template(&start);
    publish_many(&topic);
    let files = Files::new(&prefix, "topics: []\n");
    let child = begin(&files, &topic);
    let scratch = new_index(&start, &[]);
    assert!(scratch.starts_with(&format!("{prefix}-simulation-")), "{scratch}");
    let described = cluster::described(&start);
    let index = &described[&scratch];
    assert_eq!(index["settings"]["index"]["hidden"], "true");
    assert_eq!(index["mappings"]["properties"]["n"]["type"], "long", "it is made with the template");
    assert_eq!(cluster::visible(&start), Vec::<String>::new());

    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["stopped"], "interrupted");
    assert!(report["counts"]["events"].as_u64().unwrap() < 200_000);
    assert_eq!(cluster::indices(&start), Vec::<String>::new());
}
