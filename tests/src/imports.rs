//! The imports between the files of a crate, and the circles among them.
//!
//! A file imports another when one of its paths leads there: in a `use`, an expression, a type or the arguments of a macro.
//! A `mod` declaration is no import, and code behind `#[cfg(test)]` is not looked at.

mod modules;
mod paths;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Result;

use self::modules::ModuleTree;
use self::paths::paths_in;

/// A line of a file that imports another file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Import {
    /// The importing file.
    pub from: PathBuf,
    /// The imported file.
    pub to: PathBuf,
    /// The line's number, from 1.
    pub line: usize,
    /// The line without its indentation.
    pub text: String,
}

/// Files that import each other, one after the other and the first again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Circle {
    /// The first import of each step.
    pub imports: Vec<Import>,
}

impl fmt::Display for Circle {
    /// Writes `a.rs → b.rs → a.rs`, and the importing lines below.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.imports.iter().map(|import| &import.from);
        let again = self.imports.last().map(|import| &import.to);
        let names: Vec<String> = first.chain(again).map(|file| file.display().to_string()).collect();
        write!(f, "{}", names.join(" → "))?;
        for Import { from, line, text, .. } in &self.imports {
            write!(f, "\n    {}:{line}: {text}", from.display())?;
        }
        Ok(())
    }
}

/// The first line of each file that imports another one, for all files of the crate whose root file is `root`. Names of
/// files are relative to `folder`.
///
/// # Errors
/// When a file is missing or is not Rust.
pub fn imports(folder: &Path, root: &Path) -> Result<Vec<Import>> {
    let tree = ModuleTree::read(root)?;
    let mut first: BTreeMap<(PathBuf, PathBuf), Import> = BTreeMap::new();
    let relative = |file: &Path| file.strip_prefix(folder).unwrap_or(file).to_owned();
    for module in tree.modules() {
        for path in paths_in(&module.items) {
            for to in tree.files_of(module, &path.segments) {
                if to == module.file {
                    continue;
                }
                let text = module.source.lines().nth(path.line.saturating_sub(1)).unwrap_or_default();
                let (from, to) = (relative(&module.file), relative(to));
                let import = Import {
                    from: from.clone(),
                    to: to.clone(),
                    line: path.line,
                    text: text.trim().to_owned(),
                };
                let known = first.entry((from, to)).or_insert_with(|| import.clone());
                if import.line < known.line {
                    *known = import;
                }
            }
        }
    }
    Ok(first.into_values().collect())
}

/// The shortest circle through each import that is part of one, every circle once.
#[must_use]
pub fn circles(imports: &[Import]) -> Vec<Circle> {
    let mut from: BTreeMap<&Path, Vec<&Import>> = BTreeMap::new();
    for import in imports {
        from.entry(&import.from).or_default().push(import);
    }
    let circles: BTreeSet<Circle> = imports
        .iter()
        .filter_map(|import| {
            let mut steps = vec![import.clone()];
            steps.extend(way(&from, &import.to, &import.from)?);
            let start = (0..steps.len()).min_by_key(|position| steps.get(*position))?;
            steps.rotate_left(start);
            Some(Circle { imports: steps })
        })
        .collect();
    circles.into_iter().collect()
}

/// The shortest chain of imports from one file to another.
fn way(from: &BTreeMap<&Path, Vec<&Import>>, start: &Path, end: &Path) -> Option<Vec<Import>> {
    let mut ways: VecDeque<(&Path, Vec<Import>)> = VecDeque::from([(start, Vec::new())]);
    let mut seen = BTreeSet::from([start]);
    while let Some((file, way)) = ways.pop_front() {
        if file == end {
            return Some(way);
        }
        for import in from.get(file).into_iter().flatten() {
            if seen.insert(&import.to) {
                let mut longer = way.clone();
                longer.push((*import).clone());
                ways.push_back((&import.to, longer));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The circles of a crate of these files, each as its first line.
    fn circles_of(files: &[(&str, &str)]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let file = folder.path().join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        let imports = imports(folder.path(), &folder.path().join("lib.rs")).unwrap();
        circles(&imports).iter().map(|circle| circle.to_string().lines().next().unwrap().to_owned()).collect()
    }

    const LIB: (&str, &str) = ("lib.rs", "pub mod a; pub mod b; pub mod c;");

    #[test]
    fn files_that_import_each_other_are_a_circle() {
        let found =
            circles_of(&[LIB, ("a.rs", "use crate::b::B;"), ("b.rs", "use crate::a::A;"), ("c.rs", "")]);
        assert_eq!(found, ["a.rs → b.rs → a.rs"]);
        let longer =
            [LIB, ("a.rs", "use crate::b;"), ("b.rs", "use super::c::*;"), ("c.rs", "use crate::a;")];
        assert_eq!(circles_of(&longer), ["a.rs → b.rs → c.rs → a.rs"]);
    }

    #[test]
    fn a_circle_names_its_lines() {
        let import = |from: &str, to: &str, line| Import {
            from: from.into(),
            to: to.into(),
            line,
            text: format!("use crate::{to};"),
        };
        let found = circles(&[import("b", "a", 7), import("a", "b", 3), import("a", "c", 4)]);
        let texts: Vec<String> = found.iter().map(Circle::to_string).collect();
        assert_eq!(texts, ["a → b → a\n    a:3: use crate::b;\n    b:7: use crate::a;"]);
    }

    #[test]
    fn imports_in_one_direction_are_none() {
        let files = [LIB, ("a.rs", "use crate::{b::B, c};"), ("b.rs", "use crate::c::C;"), ("c.rs", "")];
        assert!(circles_of(&files).is_empty());
    }

    #[test]
    fn paths_in_expressions_types_and_macros_count() {
        for back in [
            "fn f() { crate::a::g() }",
            "fn f(a: super::a::A) {}",
            "impl crate::a::Trait for X {}",
            "fn f() { println!(\"{}\", [crate::a::g()]) }",
            "fn f() { use crate::a::g; g() }",
            "mod inner { fn f() { super::super::a::g() } }",
        ] {
            let found = circles_of(&[LIB, ("a.rs", "use crate::b;"), ("b.rs", back), ("c.rs", "")]);
            assert_eq!(found, ["a.rs → b.rs → a.rs"], "{back}");
        }
    }

    #[test]
    fn a_child_that_imports_what_its_parent_defines_makes_a_circle_with_it() {
        let parent = "mod child; pub struct P; fn f() { child::g() }";
        let files = [("lib.rs", "mod a;"), ("a.rs", parent), ("a/child.rs", "use super::P; fn g() {}")];
        assert_eq!(circles_of(&files), ["a/child.rs → a.rs → a/child.rs"]);
        let declared =
            [("lib.rs", "mod a;"), ("a.rs", "mod child; pub struct P;"), ("a/child.rs", "use super::P;")];
        assert!(circles_of(&declared).is_empty(), "a declaration is no import");
        let folder = [("lib.rs", "mod a;"), ("a/mod.rs", parent), ("a/child.rs", "use super::P; fn g() {}")];
        assert_eq!(circles_of(&folder), ["a/child.rs → a/mod.rs → a/child.rs"]);
    }

    #[test]
    fn tests_may_import_what_they_test() {
        let test = "#[cfg(test)] mod tests { use crate::a::A; } #[cfg(test)] use crate::a::A; #[test] fn t() { crate::a::g() }";
        assert!(circles_of(&[LIB, ("a.rs", "use crate::b;"), ("b.rs", test), ("c.rs", "")]).is_empty());
        let not_test = "#[cfg(not(test))] use crate::a::A;";
        assert_eq!(circles_of(&[LIB, ("a.rs", "use crate::b;"), ("b.rs", not_test), ("c.rs", "")]).len(), 1);
    }

    #[test]
    fn a_re_export_leads_to_the_file_behind_it() {
        let lib = ("lib.rs", "mod a; mod b; pub use a::A;");
        assert_eq!(
            circles_of(&[lib, ("a.rs", "use crate::b;"), ("b.rs", "use crate::A;")]),
            ["a.rs → b.rs → a.rs"]
        );
        assert!(circles_of(&[lib, ("a.rs", "pub struct A;"), ("b.rs", "use crate::A;")]).is_empty());
    }

    #[test]
    fn either_file_of_a_module_counts() {
        let lib = ("lib.rs", "#[cfg_attr(not(feature = \"x\"), path = \"other.rs\")] mod a; mod b;");
        let files = [lib, ("a.rs", ""), ("other.rs", "use crate::b;"), ("b.rs", "use crate::a;")];
        assert_eq!(circles_of(&files), ["b.rs → other.rs → b.rs"]);
    }

    #[test]
    fn modules_of_a_file_that_a_path_names_are_beside_it() {
        let lib = ("lib.rs", "#[path = \"other/root.rs\"] mod a;");
        let files = [
            lib,
            ("other/root.rs", "mod b; mod c;"),
            ("other/b.rs", "use super::c;"),
            ("other/c.rs", "use super::b;"),
        ];
        assert_eq!(circles_of(&files), ["other/b.rs → other/c.rs → other/b.rs"]);
    }

    #[test]
    fn visibilities_are_no_imports() {
        let lib = ("lib.rs", "mod a; fn f() { a::g() }");
        assert!(circles_of(&[lib, ("a.rs", "pub(crate) fn g() {} pub(in crate) struct S;")]).is_empty());
    }
}
