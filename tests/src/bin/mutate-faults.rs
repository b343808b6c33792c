//! Removes each protection of `tests/protections.yaml` from a copy of the tree, and runs the tests that have to fail then.
//!
//! `make mutate-faults` and `make mutate-cluster-faults` run it with a stack of its own. The copy and its build stay in the state folder, so a second run
//! only builds what changed.
#![expect(clippy::print_stdout, reason = "a run of an hour reports its progress")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use integration_tests::protections::{self, Protection, Suite};
use integration_tests::workspace::repository;

/// Shows that each protection is needed: without it, its tests fail.
#[derive(Parser)]
struct Arguments {
    /// Only checks that the code compiles without each protection. Needs no servers.
    #[arg(long)]
    check: bool,
    /// Runs the tests on clusters instead of those on one broker and one OpenSearch node.
    #[arg(long)]
    clusters: bool,
    /// Only protections and tests with this text in their name.
    #[arg(long)]
    only: Option<String>,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let only = arguments.only.unwrap_or_default();
    let copy = Copy::of(&repository()?)?;
    if arguments.check {
        return copy.check(&only);
    }
    // Before a build of minutes.
    instance()?;
    let suite = if arguments.clusters { Suite::Clusters } else { Suite::Live };
    let tests = copy.build_tests(suite)?;
    let mut survivors = Vec::new();
    let mut n_tests = 0;
    let mut before: Option<Protection> = None;
    for mut protection in protections::read(&copy.tree)? {
        protection.keep_tests_of(&copy.tree, suite)?;
        if !protection.protection.contains(&only) {
            protection.tests.retain(|test| test.contains(&only));
        }
        if protection.tests.is_empty() {
            continue;
        }
        println!("\nwithout: {}", protection.protection);
        let originals = protection.remove_from(&copy.tree)?;
        let passed = copy.run_tests(&tests, &protection, before.as_ref());
        for original in originals {
            original.put_back()?;
        }
        n_tests += protection.tests.len();
        survivors.extend(passed?);
        before = Some(protection);
    }
    ensure!(n_tests > 0, "no protection and no test of this stack has `{only}` in its name");
    println!("\n{} of {n_tests} tests fail without their protection", n_tests - survivors.len());
    for survivor in &survivors {
        println!("  still passes: {survivor}");
    }
    Ok(if survivors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A copy of the tree, with a folder for what is built of it.
struct Copy {
    tree: PathBuf,
    target: PathBuf,
    state: PathBuf,
}

impl Copy {
    /// Copies the files of a tree that git does not ignore, and removes those that a previous run copied and that have gone
    /// since. Unchanged files are left alone, so that cargo rebuilds nothing.
    fn of(repository: &Path) -> Result<Self> {
        let state = std::env::var_os("KAFKA_TO_SEARCH_STATE")
            .map_or_else(|| repository.join(".stack"), PathBuf::from);
        let (tree, target) = (state.join("mutations/tree"), state.join("mutations/target"));
        std::fs::create_dir_all(&tree)?;
        let mut list = Command::new("git");
        list.current_dir(repository).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
        let listed = String::from_utf8(output(&mut list)?.stdout)?;
        // A file that was deleted, but is still known to git, does not exist.
        let names: BTreeSet<&str> =
            listed.split_terminator('\0').filter(|name| repository.join(name).is_file()).collect();
        let record = state.join("mutations/files");
        for gone in std::fs::read_to_string(&record).unwrap_or_default().split_terminator('\0') {
            let file = tree.join(gone);
            if !names.contains(gone) && file.exists() {
                std::fs::remove_file(&file).with_context(|| file.display().to_string())?;
            }
        }
        let known: Vec<&str> = names.iter().copied().collect();
        std::fs::write(&record, known.join("\0"))?;
        for name in names {
            let (from, to) = (repository.join(name), tree.join(name));
            let bytes = std::fs::read(&from).with_context(|| from.display().to_string())?;
            if std::fs::read(&to).is_ok_and(|there| there == bytes) {
                continue;
            }
            std::fs::create_dir_all(to.parent().context("a file is in a folder")?)?;
            std::fs::copy(&from, &to).with_context(|| to.display().to_string())?;
            // Newer than the build of the file's last version.
            std::fs::File::options().write(true).open(&to)?.set_modified(std::time::SystemTime::now())?;
        }
        Ok(Self { tree, target, state })
    }

    /// Checks that each crate compiles without each of its protections.
    fn check(&self, only: &str) -> Result<ExitCode> {
        let mut n_broken = 0;
        for protection in protections::read(&self.tree)? {
            if !protection.protection.contains(only) {
                continue;
            }
            let originals = protection.remove_from(&self.tree)?;
            let crates: BTreeSet<&PathBuf> = protection.without.iter().map(|edit| &edit.in_crate).collect();
            let checked = crates.into_iter().try_for_each(|each| {
                let mut command = self.command("cargo");
                command.args(["check", "--quiet", "--offline", "--manifest-path"]);
                output(command.arg(self.tree.join(each).join("Cargo.toml"))).map(drop)
            });
            for original in originals {
                original.put_back()?;
            }
            match checked {
                Ok(()) => println!("compiles without: {}", protection.protection),
                Err(error) => {
                    n_broken += 1;
                    println!("DOES NOT COMPILE without: {}\n{error:#}", protection.protection);
                }
            }
        }
        Ok(if n_broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Builds the tests once, before any protection is removed.
    fn build_tests(&self, suite: Suite) -> Result<PathBuf> {
        let mut command = self.command("cargo");
        command.args(["test", "--locked", "--profile", "local", "--package", "integration-tests"]);
        command.args(["--features", "live", "--test", suite.name(), "--no-run"]);
        let log = String::from_utf8(output(&mut command)?.stderr)?;
        let line =
            log.lines().find(|line| line.trim_start().starts_with("Executable ")).context("it is built")?;
        let (_, path) = line.split_once('(').context("cargo names the file")?;
        Ok(PathBuf::from(path.trim_end_matches(')')))
    }

    /// Runs the tests of a removed protection and returns those that pass. `before` is the one removed before it, whose
    /// crates must be rebuilt too.
    fn run_tests(
        &self,
        tests: &Path,
        protection: &Protection,
        before: Option<&Protection>,
    ) -> Result<Vec<String>> {
        let began = Instant::now();
        let is_outdated = |folder| protection.touches(folder) || before.is_some_and(|it| it.touches(folder));
        if is_outdated("functions") {
            self.stack(&["deploy"])?;
        }
        if is_outdated("localstack/kafka-poller") {
            self.stack(&["start", "poller"])?;
        }
        println!("  built in {} s", began.elapsed().as_secs());
        let mut passed = Vec::new();
        for test in &protection.tests {
            let began = Instant::now();
            let failure = self.failure(tests, test)?;
            let seconds = began.elapsed().as_secs();
            match failure {
                Some(reason) => println!("  fails, as it should: {test} ({seconds} s)\n      {reason}"),
                None => {
                    println!("  STILL PASSES: {test} ({seconds} s)");
                    passed.push(format!("{test} without: {}", protection.protection));
                }
            }
        }
        Ok(passed)
    }

    /// Runs a test and returns the error it fails with, or nothing if it passes.
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
        command.arg(servers.join("stack.py")).args([*name, "--instance", &instance()?]).args(rest);
        output(&mut command).map(drop)
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(&self.tree)
            .env("CARGO_TARGET_DIR", &self.target)
            .env("KAFKA_TO_SEARCH_STATE", &self.state)
            // Each protection means a build: it should be quick, not small.
            .env("CARGO_INCREMENTAL", "1")
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
        command
    }
}

/// The stack to test on.
fn instance() -> Result<String> {
    std::env::var("STACK_INSTANCE")
        .context("STACK_INSTANCE is not set, so there are no servers to test on: run `make mutate-faults`")
}

fn output(command: &mut Command) -> Result<Output> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} ended with {}:\n{text}", output.status);
    Ok(output)
}
