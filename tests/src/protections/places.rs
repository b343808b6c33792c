//! Finds a place in a crate by the function that it is in and its code, wherever the function has moved to.

use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{Attribute, Block, ImplItemFn, ItemFn, ItemMod, Signature, TraitItemFn};

/// Where some code stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: PathBuf,
    /// In bytes.
    pub(super) range: Range<usize>,
}

/// Finds `code` in the functions of a crate that are called `function`.
pub(super) fn find(folder: &Path, function: &str, code: &str) -> Result<Place> {
    let mut found = Vec::new();
    let mut elsewhere = Vec::new();
    let mut is_known = false;
    let definition = format!("fn {function}");
    let files = rust_files(&folder.join("src"))?;
    for file in files {
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        if !text.contains(&definition) && occurrences(&text, 0..text.len(), code).is_empty() {
            continue;
        }
        let parsed = syn::parse_file(&text).with_context(|| file.display().to_string())?;
        let mut bodies = Bodies::default();
        bodies.visit_file(&parsed);
        for (name, body) in bodies.found {
            let ranges = occurrences(&text, body, code);
            if name == function {
                is_known = true;
                found.extend(ranges.into_iter().map(|range| Place { file: file.clone(), range }));
            } else if !ranges.is_empty() {
                elsewhere.push(format!("`{name}` of {}", file.display()));
            }
        }
    }
    ensure!(is_known || !elsewhere.is_empty(), "{} has no function `{function}`", folder.display());
    match (found.pop(), found.len()) {
        (Some(place), 0) => Ok(place),
        (Some(_), more) => bail!("`{code}` is {} times in `{function}` of {}", more + 1, folder.display()),
        (None, _) if elsewhere.is_empty() => bail!("`{code}` is not in {}", folder.display()),
        (None, _) => bail!("`{code}` is not in `{function}`, but in {}", elsewhere.join(" and ")),
    }
}

/// The bodies of functions, tests excepted, in bytes. A function inside another one counts as part of that.
#[derive(Default)]
struct Bodies {
    found: Vec<(String, Range<usize>)>,
}

impl Bodies {
    fn add(&mut self, signature: &Signature, body: &Block) {
        self.found.push((signature.ident.to_string(), body.span().byte_range()));
    }
}

impl<'ast> Visit<'ast> for Bodies {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if !is_for_tests(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        self.add(&item.sig, &item.block);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        self.add(&item.sig, &item.block);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast TraitItemFn) {
        if let Some(body) = &item.default {
            self.add(&item.sig, body);
        }
    }
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Path>().is_ok_and(|condition| condition.is_ident("test"))
    })
}

/// Where `code` stands in a part of `text`, white space aside.
fn occurrences(text: &str, within: Range<usize>, code: &str) -> Vec<Range<usize>> {
    let wanted: Vec<char> = code.chars().filter(|it| !it.is_whitespace()).collect();
    let part = text.get(within.clone()).unwrap_or_default();
    let characters: Vec<(usize, char)> =
        part.char_indices().filter(|(_, character)| !character.is_whitespace()).collect();
    let is_wanted = |window: &&[(usize, char)]| window.iter().map(|(_, it)| it).eq(&wanted);
    let range = |window: &[(usize, char)]| {
        let ((start, _), (last, character)) = (window.first()?, window.last()?);
        Some(within.start + start..within.start + last + character.len_utf8())
    };
    characters.windows(wanted.len().max(1)).filter(is_wanted).filter_map(range).collect()
}

/// All Rust files below a folder, in the order of their names.
fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "fn a() -> u8 { one(1,\n    2) }\nstruct S;\nimpl S { fn b(&self) { two(); two() } }\n\
        mod inner { pub fn a() { three() } }\n#[cfg(test)] mod tests { fn a() { one(1, 2) } }\n";

    fn found(function: &str, code: &str) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("src/deep")).unwrap();
        std::fs::write(folder.path().join("src/lib.rs"), "fn c() { three() }").unwrap();
        std::fs::write(folder.path().join("src/deep/part.rs"), CODE).unwrap();
        let place = find(folder.path(), function, code);
        let text =
            |place: Place| std::fs::read_to_string(place.file).unwrap().get(place.range).unwrap().to_owned();
        let named = |error: anyhow::Error| {
            format!("{error:#}").replace(&format!("{}", folder.path().display()), "crate")
        };
        place.map(text).map_err(named)
    }

    #[test]
    fn a_place_is_found_in_any_file_and_however_it_is_laid_out() {
        assert_eq!(found("a", "one(1, 2)"), Ok("one(1,\n    2)".into()));
        assert_eq!(found("a", "three()"), Ok("three()".into()));
        assert_eq!(found("c", "three()"), Ok("three()".into()));
    }

    #[test]
    fn a_place_that_is_not_found_once_is_reported_with_where_its_code_is() {
        assert_eq!(found("b", "two()"), Err("`two()` is 2 times in `b` of crate".into()));
        assert_eq!(found("a", "four()"), Err("`four()` is not in crate".into()));
        assert_eq!(found("d", "four()"), Err("crate has no function `d`".into()));
        assert_eq!(
            found("d", "one(1, 2)"),
            Err("`one(1, 2)` is not in `d`, but in `a` of crate/src/deep/part.rs".into())
        );
    }
}
