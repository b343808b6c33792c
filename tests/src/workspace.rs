//! The crates of the workspace, as cargo knows them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// A crate of the workspace.
#[derive(Clone, Debug, Deserialize)]
pub struct Crate {
    /// Its package's name.
    pub name: String,
    /// Its manifest.
    pub manifest_path: PathBuf,
    /// Its library, programs, tests and benchmarks.
    pub targets: Vec<Target>,
    /// What it depends on, of this workspace and of others.
    pub dependencies: Vec<Dependency>,
}

/// Something that cargo builds of a crate.
#[derive(Clone, Debug, Deserialize)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// What it is: `lib`, `bin`, `test`, `bench`.
    pub kind: Vec<String>,
    /// Its root file.
    pub src_path: PathBuf,
}

/// A dependency of a crate.
#[derive(Clone, Debug, Deserialize)]
pub struct Dependency {
    /// The other package's name.
    pub name: String,
    /// `dev` or `build`; `None` for a normal one.
    pub kind: Option<String>,
    /// The other crate's folder, if it is of this workspace.
    pub path: Option<PathBuf>,
}

impl Crate {
    /// The folder of its manifest.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.manifest_path.parent().unwrap_or(&self.manifest_path)
    }

    /// Names of the crates of this workspace that it depends on, whatever for.
    pub fn workspace_dependencies(&self) -> impl Iterator<Item = &Dependency> {
        self.dependencies.iter().filter(|dependency| dependency.path.is_some())
    }
}

/// The repository's folder.
///
/// # Errors
/// When this crate is not where it was built.
pub fn repository() -> Result<PathBuf> {
    Ok(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?)
}

/// Asks cargo for the crates of the workspace.
///
/// # Errors
/// When cargo can't read a manifest.
pub fn crates() -> Result<Vec<Crate>> {
    #[derive(Deserialize)]
    struct Metadata {
        packages: Vec<Crate>,
    }
    let output = Command::new(option_env!("CARGO").unwrap_or("cargo"))
        .args(["metadata", "--no-deps", "--offline", "--locked", "--format-version", "1"])
        .current_dir(repository()?)
        .output()
        .context("cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Metadata = serde_json::from_slice(&output.stdout)?;
    Ok(metadata.packages)
}
