//! What is left when a simulation is interrupted.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::program::{Files, unique};
use crate::{cluster, kafka};

const DEADLINE: Duration = Duration::from_secs(60);

#[test]
fn an_interrupted_simulation_hides_its_scratch_index_and_removes_it() {
    let (topic, start) = (unique("simulated"), unique("sim"));
    let prefix = format!("{start}-none");
    cluster::put_template(&start);
    kafka::publish(&topic, (0..200_000).map(|number| json!({"n": number, "t": "x".repeat(200)}).to_string()));
    let files = Files::new(&prefix, "topics: []\n");
    let child = files
        .simulate(&topic, &["--output", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let began = Instant::now();
    // Polled without a pause: each look is a request.
    let scratch = loop {
        if let Some(name) = cluster::indices(&start).pop() {
            break name;
        }
        assert!(began.elapsed() < DEADLINE, "no scratch index within {DEADLINE:?}");
    };
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
