//! The table of protections: what keeps events from each fault, how to take it out, and which tests have to fail then.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// Something in the code that keeps events safe.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Protection {
    /// What it does.
    pub protection: String,
    /// The changes that take it out.
    pub without: Vec<Edit>,
    /// The live tests that fail without it, as `module::name`.
    pub tests: Vec<String>,
}

/// A change of one place in a file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// The file, from the repository's root.
    pub file: PathBuf,
    /// Text that stands in it exactly once.
    pub old: String,
    /// What stands there instead.
    pub new: String,
}

/// A file as it was before a protection was taken out.
#[derive(Debug)]
pub struct Original {
    path: PathBuf,
    text: String,
}

/// Reads the table of a tree.
///
/// # Errors
/// When it is not there or is not in form.
pub fn read(tree: &Path) -> Result<Vec<Protection>> {
    let path = tree.join("tests/protections.yaml");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    serde_yaml_ng::from_str(&text).with_context(|| path.display().to_string())
}

impl Protection {
    /// Takes the protection out of a tree; returns what has to be put back.
    ///
    /// # Errors
    /// When a place is not found exactly once; the tree is unchanged then.
    pub fn take_out(&self, tree: &Path) -> Result<Vec<Original>> {
        let mut changed: Vec<(PathBuf, String)> = Vec::new();
        let mut originals = Vec::new();
        for edit in &self.without {
            let path = tree.join(&edit.file);
            let position = changed.iter().position(|(known, _)| *known == path);
            let (path, text) = match position {
                Some(position) => changed.swap_remove(position),
                None => {
                    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
                    originals.push(Original { path: path.clone(), text: text.clone() });
                    (path, text)
                }
            };
            let n_found = text.matches(&edit.old).count();
            ensure!(
                n_found == 1,
                "`{}`: `{}` is {n_found} times in {}",
                self.protection,
                edit.old,
                path.display()
            );
            changed.push((path, text.replacen(&edit.old, &edit.new, 1)));
        }
        for (path, text) in changed {
            std::fs::write(&path, text).with_context(|| path.display().to_string())?;
        }
        Ok(originals)
    }

    /// Whether something in `folder` is changed.
    #[must_use]
    pub fn touches(&self, folder: &str) -> bool {
        self.without.iter().any(|edit| edit.file.starts_with(folder))
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
