//! The table of protections: what keeps events from each fault, how to remove it, and which tests have to fail then.

mod places;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use self::places::find;

/// Something in the code that keeps events safe.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Protection {
    /// What it does.
    pub protection: String,
    /// The changes that remove it.
    pub without: Vec<Edit>,
    /// The tests that fail without it, of either suite, as `module::name`.
    pub tests: Vec<String>,
}

/// A change of one place in a crate.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// The crate's folder, from the repository's root.
    #[serde(rename = "crate")]
    pub in_crate: PathBuf,
    /// The function that the place is in, in whichever file.
    pub function: String,
    /// Code that the crate's functions of this name have exactly once. White space does not count.
    pub old: String,
    /// The code that replaces it.
    pub new: String,
}

/// Tests that share a stack. A module's name is in one suite only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// Those on one broker and one OpenSearch node.
    Live,
    /// Those on three of each.
    Clusters,
}

/// A file as it was before a protection was removed.
#[derive(Debug)]
pub struct Original {
    path: PathBuf,
    text: String,
}

/// Reads the table of a tree.
///
/// # Errors
/// When it is missing or malformed.
pub fn read(tree: &Path) -> Result<Vec<Protection>> {
    let path = tree.join("tests/protections.yaml");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    serde_yaml_ng::from_str(&text).with_context(|| path.display().to_string())
}

impl Suite {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Live, Self::Clusters];

    /// Cargo's name of the tests, which is that of their folder.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Clusters => "clusters",
        }
    }

    /// The file of a module, from the repository's root.
    #[must_use]
    pub fn file(self, module: &str) -> PathBuf {
        Path::new("tests/tests").join(self.name()).join(format!("{module}.rs"))
    }

    /// The suite in a tree that has a test, by the test's module.
    ///
    /// # Errors
    /// When no suite, or more than one, has the module.
    pub fn of(tree: &Path, test: &str) -> Result<Self> {
        let (module, _) = test.split_once("::").with_context(|| format!("`{test}` is no module::name"))?;
        let mut suites = Self::ALL.into_iter().filter(|suite| tree.join(suite.file(module)).is_file());
        let suite = suites.next().with_context(|| format!("no suite has a module `{module}`"))?;
        ensure!(suites.next().is_none(), "more than one suite has a module `{module}`");
        Ok(suite)
    }
}

impl Protection {
    /// Keeps only the tests of a suite.
    ///
    /// # Errors
    /// As [`Suite::of`].
    pub fn keep_tests_of(&mut self, tree: &Path, suite: Suite) -> Result<()> {
        let mut kept = Vec::new();
        for test in std::mem::take(&mut self.tests) {
            if Suite::of(tree, &test)? == suite {
                kept.push(test);
            }
        }
        self.tests = kept;
        Ok(())
    }

    /// The files of a tree that the protection is in, with their texts without it.
    ///
    /// # Errors
    /// When places are not found exactly once, or what is left is not Rust; names every such place.
    pub fn removed(&self, tree: &Path) -> Result<BTreeMap<PathBuf, String>> {
        let mut problems = Vec::new();
        let mut places = BTreeMap::new();
        for edit in &self.without {
            match find(&tree.join(&edit.in_crate), &edit.function, &edit.old) {
                Ok(place) => {
                    let edits: &mut Vec<_> = places.entry(place.file).or_default();
                    edits.push((place.range, edit.new.as_str()));
                }
                Err(error) => problems.push(format!("{error:#}")),
            }
        }
        let mut texts = BTreeMap::new();
        for (file, mut edits) in places {
            let mut text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
            // From the end, so that the ranges before an edit stay right.
            edits.sort_by_key(|(range, _)| std::cmp::Reverse(range.start));
            for (range, new) in edits {
                text.replace_range(range, new);
            }
            if let Err(error) = syn::parse_file(&text) {
                problems.push(format!("{} is no Rust without it: {error}", file.display()));
            }
            texts.insert(file, text);
        }
        if problems.is_empty() {
            return Ok(texts);
        }
        let problems = problems.join("; ").replace(&format!("{}/", tree.display()), "");
        bail!("`{}`: {problems}", self.protection)
    }

    /// Removes the protection from a tree; returns the original files.
    ///
    /// # Errors
    /// As [`Protection::removed`], and when a file can't be written.
    pub fn remove_from(&self, tree: &Path) -> Result<Vec<Original>> {
        let mut originals = Vec::new();
        for (path, text) in self.removed(tree)? {
            let original = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            std::fs::write(&path, text).with_context(|| path.display().to_string())?;
            originals.push(Original { path, text: original });
        }
        Ok(originals)
    }

    /// Whether a crate in `folder` is changed.
    #[must_use]
    pub fn touches(&self, folder: &str) -> bool {
        self.without.iter().any(|edit| edit.in_crate.starts_with(folder))
    }
}

impl Original {
    /// Puts the file back as it was.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn put_back(&self) -> Result<()> {
        std::fs::write(&self.path, &self.text).with_context(|| self.path.display().to_string())
    }
}
