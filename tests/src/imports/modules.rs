//! The modules of a crate: which file each is in, and which names lead on to others.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result, ensure};
use syn::{Attribute, Expr, ExprLit, Item, ItemMod, Lit, Meta, Visibility};

use super::paths::{is_test_only, use_leaves};

/// A crate's modules; the first is its root.
pub(super) struct ModuleTree {
    modules: Vec<Module>,
}

/// A module, or one of the variants that a `cfg_attr` chooses from.
pub(super) struct Module {
    /// The file that it is in, which an inline module shares with its parent.
    pub(super) file: PathBuf,
    /// The file's text.
    pub(super) source: Rc<str>,
    pub(super) items: Vec<Item>,
    id: usize,
    parent: Option<usize>,
    children: BTreeMap<String, Vec<usize>>,
    /// Names that others can import from here, with the path that each stands for.
    re_exports: BTreeMap<String, Vec<String>>,
}

/// Re-exports of re-exports that are followed, at most.
const MAX_RE_EXPORTS: usize = 8;

impl ModuleTree {
    /// Reads a crate from its root file on.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut tree = Self { modules: Vec::new() };
        let folder = root.parent().context("a file is in a folder")?;
        tree.add_file(root, folder, None)?;
        Ok(tree)
    }

    pub(super) fn modules(&self) -> &[Module] {
        &self.modules
    }

    /// The files that a path written in `module` leads to; none outside the crate.
    pub(super) fn files_of(&self, module: &Module, path: &[String]) -> Vec<&Path> {
        let found = self.resolve(module.id, path, 0);
        found.into_iter().filter_map(|id| self.modules.get(id)).map(|it| it.file.as_path()).collect()
    }

    fn resolve(&self, start: usize, path: &[String], n_re_exports: usize) -> Vec<usize> {
        let Some((first, rest)) = path.split_first() else { return vec![start] };
        let Some(module) = self.modules.get(start) else { return Vec::new() };
        match first.as_str() {
            "crate" => self.member(0, rest, n_re_exports),
            "self" => self.member(start, rest, n_re_exports),
            "super" => match module.parent {
                Some(parent) if rest.first().is_some_and(|next| next == "super") => {
                    self.resolve(parent, rest, n_re_exports)
                }
                Some(parent) => self.member(parent, rest, n_re_exports),
                None => Vec::new(),
            },
            // A name that is imported is an import by its `use`.
            name if module.children.contains_key(name) => self.member(start, path, n_re_exports),
            _ => Vec::new(),
        }
    }

    /// The modules that `path` leads to as a member of `module`.
    fn member(&self, module: usize, path: &[String], n_re_exports: usize) -> Vec<usize> {
        let (Some((first, rest)), Some(here)) = (path.split_first(), self.modules.get(module)) else {
            return vec![module];
        };
        if let Some(children) = here.children.get(first) {
            return children.iter().flat_map(|child| self.member(*child, rest, n_re_exports)).collect();
        }
        if let Some(target) = here.re_exports.get(first).filter(|_| n_re_exports < MAX_RE_EXPORTS) {
            let found = self.resolve(module, &[target, rest].concat(), n_re_exports + 1);
            if !found.is_empty() {
                return found;
            }
        }
        vec![module]
    }

    /// Adds the module of a file, whose children's files are below `folder`.
    fn add_file(&mut self, file: &Path, folder: &Path, parent: Option<usize>) -> Result<usize> {
        let source = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let parsed = syn::parse_file(&source).with_context(|| file.display().to_string())?;
        self.add(Place { file, folder, source: source.into() }, parsed.items, parent)
    }

    fn add(&mut self, place: Place<'_>, items: Vec<Item>, parent: Option<usize>) -> Result<usize> {
        let id = self.modules.len();
        let mut re_exports = BTreeMap::new();
        for item in &items {
            if let Item::Use(item) = item
                && !matches!(item.vis, Visibility::Inherited)
            {
                re_exports.extend(use_leaves(item).filter_map(|leaf| Some((leaf.name?, leaf.segments))));
            }
        }
        self.modules.push(Module {
            file: place.file.to_owned(),
            source: Rc::clone(&place.source),
            items: items.clone(),
            id,
            parent,
            children: BTreeMap::new(),
            re_exports,
        });
        for item in items {
            if let Item::Mod(item) = item
                && !is_test_only(&item.attrs)
            {
                let children = self.add_declared(&place, &item, id)?;
                if let Some(module) = self.modules.get_mut(id) {
                    module.children.entry(item.ident.to_string()).or_default().extend(children);
                }
            }
        }
        Ok(id)
    }

    /// Adds the module of a `mod`: the inline one, or one for each file that it may be in.
    fn add_declared(&mut self, place: &Place<'_>, item: &ItemMod, parent: usize) -> Result<Vec<usize>> {
        let name = item.ident.to_string();
        let below = place.folder.join(&name);
        if let Some((_, items)) = &item.content {
            let place = Place { file: place.file, folder: &below, source: Rc::clone(&place.source) };
            return Ok(vec![self.add(place, items.clone(), Some(parent))?]);
        }
        let mut files =
            vec![(below.with_extension("rs"), below.clone()), (below.join("mod.rs"), below.clone())];
        let own_folder = place.file.parent().context("a file is in a folder")?;
        for path in path_attributes(&item.attrs) {
            // The modules of a file that a path names are beside it, whatever it is called:
            // https://doc.rust-lang.org/reference/items/modules.html#the-path-attribute
            let file = own_folder.join(path);
            let folder = file.parent().context("a file is in a folder")?.to_owned();
            files.push((file, folder));
        }
        files.retain(|(file, _)| file.exists());
        ensure!(!files.is_empty(), "{}: no file of `mod {name}`", place.file.display());
        files.iter().map(|(file, folder)| self.add_file(file, folder, Some(parent))).collect()
    }
}

/// Where a module's items stand.
struct Place<'p> {
    file: &'p Path,
    folder: &'p Path,
    source: Rc<str>,
}

/// The paths of `#[path = "…"]`, also where a `cfg_attr` sets it.
fn path_attributes(attributes: &[Attribute]) -> impl Iterator<Item = String> {
    let metas = attributes.iter().flat_map(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg_attr") => {
            let parse = syn::punctuated::Punctuated::<Meta, syn::Token![,]>::parse_terminated;
            list.parse_args_with(parse).map(|metas| metas.into_iter().collect()).unwrap_or_default()
        }
        meta => vec![meta.clone()],
    });
    metas.filter_map(|meta| match meta {
        Meta::NameValue(pair) if pair.path.is_ident("path") => match pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    })
}
