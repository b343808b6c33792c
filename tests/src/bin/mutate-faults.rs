//! Takes out each protection of `tests/protections.yaml` in a copy of the tree, and runs the tests that have to fail then.
//!
//! `make mutate-faults` runs it beside a stack of its own. The copy and what is built of it stay in the state folder, so
//! that a second run only builds what changed.
#![expect(clippy::print_stdout, reason = "a run of an hour tells what it does")]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use integration_tests::protections::{self, Protection};

/// Shows that each protection is needed: without it, its tests fail.
#[derive(Parser)]
struct Arguments {
    /// Only protections and tests with this text in their name.
    #[arg(long)]
    only: Option<String>,
}

fn main() -> Result<ExitCode> {
    let only = Arguments::parse().only.unwrap_or_default();
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
    let copy = Copy::of(&repository)?;
    let tests = copy.build_tests()?;
    let mut survivors = Vec::new();
    let mut n_tests = 0;
    let mut before: Option<Protection> = None;
    for mut protection in protections::read(&copy.tree)? {
        if !protection.protection.contains(&only) {
            protection.tests.retain(|test| test.contains(&only));
        }
        if protection.tests.is_empty() {
            continue;
        }
        println!("\nwithout: {}", protection.protection);
        let originals = protection.take_out(&copy.tree)?;
        let passed = copy.run_tests(&tests, &protection, before.as_ref());
        for original in originals {
            original.put_back()?;
        }
        n_tests += protection.tests.len();
        survivors.extend(passed?);
        before = Some(protection);
    }
    ensure!(n_tests > 0, "no protection and no test has `{only}` in its name");
    println!("\n{} of {n_tests} tests fail without their protection", n_tests - survivors.len());
    for survivor in &survivors {
        println!("  passes all the same: {survivor}");
    }
    Ok(if survivors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A copy of the tree, with a folder for what is built of it.
struct Copy {
    tree: PathBuf,
    target: PathBuf,
    state: PathBuf,
    instance: String,
}

impl Copy {
    /// Copies what git knows or would know of a tree; files that are the same already are left alone, for cargo.
    fn of(repository: &Path) -> Result<Self> {
        let instance = std::env::var("STACK_INSTANCE").context(
            "STACK_INSTANCE is not set, so there are no servers to test on: run `make mutate-faults`",
        )?;
        let state = std::env::var_os("KAFKA_TO_SEARCH_STATE")
            .map_or_else(|| repository.join(".stack"), PathBuf::from);
        let (tree, target) = (state.join("mutations/tree"), state.join("mutations/target"));
        let mut list = Command::new("git");
        list.current_dir(repository).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
        for name in String::from_utf8(output(&mut list)?.stdout)?.split_terminator('\0') {
            let (from, to) = (repository.join(name), tree.join(name));
            // A file that was deleted, but is still known.
            let Ok(bytes) = std::fs::read(&from) else { continue };
            if std::fs::read(&to).is_ok_and(|there| there == bytes) {
                continue;
            }
            std::fs::create_dir_all(to.parent().context("a file is in a folder")?)?;
            std::fs::copy(&from, &to).with_context(|| to.display().to_string())?;
            // Not older than what was built of the file's last version.
            std::fs::File::options().write(true).open(&to)?.set_modified(std::time::SystemTime::now())?;
        }
        Ok(Self { tree, target, state, instance })
    }

    /// Builds the tests as they are; they stay so while protections are taken out.
    fn build_tests(&self) -> Result<PathBuf> {
        let mut command = self.command("cargo");
        command.args(["test", "--locked", "--profile", "local", "--package", "integration-tests"]);
        command.args(["--features", "live", "--test", "live", "--no-run"]);
        let told = String::from_utf8(output(&mut command)?.stderr)?;
        let line =
            told.lines().find(|line| line.trim_start().starts_with("Executable ")).context("it is built")?;
        let (_, path) = line.split_once('(').context("cargo tells where it is")?;
        Ok(PathBuf::from(path.trim_end_matches(')')))
    }

    /// Runs the tests of a protection that is taken out, as `before` was and is no longer; gives those that pass.
    fn run_tests(
        &self,
        tests: &Path,
        protection: &Protection,
        before: Option<&Protection>,
    ) -> Result<Vec<String>> {
        let began = Instant::now();
        let is_to_be_built =
            |folder| protection.touches(folder) || before.is_some_and(|it| it.touches(folder));
        if is_to_be_built("functions") {
            self.stack(&["deploy"])?;
        }
        if is_to_be_built("localstack/kafka-poller") {
            self.stack(&["start", "poller"])?;
        }
        println!("  built in {} s", began.elapsed().as_secs());
        let mut passed = Vec::new();
        for test in &protection.tests {
            let began = Instant::now();
            let failure = self.failure(tests, test)?;
            let seconds = began.elapsed().as_secs();
            match failure {
                Some(reason) => println!("  fails, as it has to: {test} ({seconds} s)\n      {reason}"),
                None => {
                    println!("  PASSES ALL THE SAME: {test} ({seconds} s)");
                    passed.push(format!("{test} without: {}", protection.protection));
                }
            }
        }
        Ok(passed)
    }

    /// Runs a test; tells how it fails, if it does.
    fn failure(&self, tests: &Path, test: &str) -> Result<Option<String>> {
        let output = self.command(tests).args(["--exact", test, "--nocapture"]).output()?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        if text.contains("test result: ok. 1 passed") {
            return Ok(None);
        }
        ensure!(text.contains("test result: FAILED. 0 passed; 1 failed"), "{test} did not run:\n{text}");
        let is_reason = |line: &&str| line.contains("Error: ") || line.contains(" panicked at ");
        let reason = text.lines().skip_while(|line| !is_reason(line)).take(4);
        Ok(Some(reason.collect::<Vec<_>>().join("\n      ")))
    }

    fn stack(&self, words: &[&str]) -> Result<()> {
        let (name, rest) = words.split_first().context("a command is named")?;
        let servers = self.tree.join("localstack/servers");
        let mut command = self.command(servers.join("python.sh"));
        command.arg(servers.join("stack.py")).args([*name, "--instance", &self.instance]).args(rest);
        output(&mut command).map(drop)
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(&self.tree)
            .env("CARGO_TARGET_DIR", &self.target)
            .env("KAFKA_TO_SEARCH_STATE", &self.state)
            // They are built once for each protection: quickly, not small.
            .env("CARGO_INCREMENTAL", "1")
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
        command
    }
}

fn output(command: &mut Command) -> Result<Output> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} ended with {}:\n{text}", output.status);
    Ok(output)
}
