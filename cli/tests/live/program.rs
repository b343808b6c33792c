//! The program, and files for it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// A folder with a file of rules and one of variables.
pub(crate) struct Files {
    folder: TempDir,
}

impl Files {
    pub(crate) fn new(index_prefix: &str, rules: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("new.yaml"), rules).unwrap();
        let variables = format!("INDEX_PREFIX={index_prefix}\nDEAD_LETTER_PREFIX=dead-{index_prefix}\n");
        std::fs::write(folder.path().join("variables"), variables).unwrap();
        Self { folder }
    }

    /// Path of one of the files.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `simulate` with these files, in their folder.
    pub(crate) fn simulate(&self, topic: &str, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kafka-to-search"));
        command
            .current_dir(self.folder.path())
            .args(["simulate", "--topic", topic, "--since", "beginning"])
            .arg("--pipeline")
            .arg(self.file("new.yaml"))
            .arg("--env-file")
            .arg(self.file("variables"))
            .args(more);
        command
    }
}

/// `account` of a topic as a group of its own has read it, with these files and without AWS.
pub(crate) fn account(files: &Files, topic: &str, group: &str, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kafka-to-search"));
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"] {
        command.env_remove(name);
    }
    command
        .current_dir(files.folder.path())
        .args(["account", "--json", "--since", "beginning", "--topic", topic, "--group", group])
        .arg("--pipeline")
        .arg(files.file("new.yaml"))
        .arg("--env-file")
        .arg(files.file("variables"))
        .args(more);
    command
}

/// The JSON of an account that ends with this status.
pub(crate) fn accounted(command: &mut Command, status: i32) -> Value {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(status), "{}{text}", errors(&output));
    assert_eq!(errors(&output), "", "no progress bar in a file");
    serde_json::from_str(&text).unwrap()
}

/// Runs a command that succeeds with JSON.
pub(crate) fn json(command: &mut Command) -> Value {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", errors(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

pub(crate) fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A name that no other test has.
pub(crate) fn unique(about: &str) -> String {
    let folder = tempfile::Builder::new().rand_bytes(8).tempdir().unwrap();
    let random = Path::new(folder.path()).file_name().unwrap().to_string_lossy().to_lowercase();
    let letters: String = random.chars().filter(char::is_ascii_alphanumeric).collect();
    format!("{about}-{letters}")
}
