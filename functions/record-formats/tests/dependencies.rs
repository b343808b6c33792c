//! No dependency of this crate does IO.

use std::process::Command;

#[test]
fn the_dependency_tree_has_no_io() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--package", "record-formats", "--edges", "normal", "--prefix", "none"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    assert!(tree.contains("serde_json v"), "the tree is that of this crate: {tree}");
    for refused in ["tokio v", "reqwest v", "hyper v", "aws-sdk", "aws-config", "mio v", "tracing v"] {
        assert!(!tree.contains(refused), "record-formats must not depend on {refused}:\n{tree}");
    }
}
