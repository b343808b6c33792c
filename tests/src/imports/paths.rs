//! The paths that the items of a module are written with, those of inline modules excepted.

use proc_macro2::{TokenStream, TokenTree};
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{Attribute, ImplItem, Item, ItemMod, ItemUse, Macro, Meta, UseTree, Visibility};

/// A path as it is written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WrittenPath {
    pub(super) segments: Vec<String>,
    /// The line that it begins in, from 1.
    pub(super) line: usize,
}

/// One of the paths that a `use` imports.
pub(super) struct UseLeaf {
    /// The name that it gets here; none for `*` and `_`.
    pub(super) name: Option<String>,
    pub(super) segments: Vec<String>,
    line: usize,
}

/// All paths in code that is not for tests alone. A path of one segment is left out: it names what the module has anyway.
pub(super) fn paths_in(items: &[Item]) -> Vec<WrittenPath> {
    let mut collector = Collector::default();
    for item in items {
        collector.visit_item(item);
    }
    collector.paths
}

/// Whether an item is only compiled for tests.
pub(super) fn is_test_only(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => {
            list.parse_args::<Meta>().is_ok_and(|condition| holds_without_test(&condition) == Some(false))
        }
        meta => meta.path().segments.last().is_some_and(|last| last.ident == "test"),
    })
}

/// The paths of a `use`, each whole.
pub(super) fn use_leaves(item: &ItemUse) -> impl Iterator<Item = UseLeaf> {
    let mut leaves = Vec::new();
    add_leaves(&item.tree, &[], &mut leaves);
    leaves.into_iter()
}

/// Whether a condition holds where `test` does not; `None` where that depends on something else.
fn holds_without_test(condition: &Meta) -> Option<bool> {
    let Meta::List(list) = condition else {
        return if condition.path().is_ident("test") { Some(false) } else { None };
    };
    let parse = syn::punctuated::Punctuated::<Meta, syn::Token![,]>::parse_terminated;
    let parts = list.parse_args_with(parse).ok()?;
    let holds: Vec<_> = parts.iter().map(holds_without_test).collect();
    let all = |value| holds.iter().all(|part| *part == Some(value));
    let any = |value| holds.contains(&Some(value));
    match list.path.get_ident()?.to_string().as_str() {
        "not" => holds.first().copied().flatten().map(|value| !value),
        "all" if any(false) => Some(false),
        "any" if all(false) => Some(false),
        _ => None,
    }
}

fn add_leaves(tree: &UseTree, before: &[String], leaves: &mut Vec<UseLeaf>) {
    let line = tree.span().start().line;
    let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
    let mut add = |name: Option<String>, segments: Vec<String>| leaves.push(UseLeaf { name, segments, line });
    match tree {
        UseTree::Path(path) => add_leaves(&path.tree, &with(&path.ident), leaves),
        UseTree::Name(name) if name.ident == "self" => add(before.last().cloned(), before.to_vec()),
        UseTree::Name(name) => add(Some(name.ident.to_string()), with(&name.ident)),
        UseTree::Rename(rename) if rename.ident == "self" => {
            add(Some(rename.rename.to_string()), before.to_vec())
        }
        UseTree::Rename(rename) => add(Some(rename.rename.to_string()), with(&rename.ident)),
        UseTree::Glob(_) => add(None, before.to_vec()),
        UseTree::Group(group) => {
            for tree in &group.items {
                add_leaves(tree, before, leaves);
            }
        }
    }
}

#[derive(Default)]
struct Collector {
    paths: Vec<WrittenPath>,
}

impl Collector {
    /// Adds the paths in tokens that only a macro can read.
    fn add_tokens(&mut self, tokens: TokenStream) {
        let mut path: Option<WrittenPath> = None;
        let mut n_colons = 0;
        for token in tokens {
            match &token {
                TokenTree::Punct(punct) if punct.as_char() == ':' && path.is_some() => {
                    n_colons += 1;
                    continue;
                }
                TokenTree::Ident(ident) => {
                    let name = ident.to_string();
                    match &mut path {
                        Some(path) if n_colons == 2 => path.segments.push(name),
                        _ => {
                            self.add(path.take());
                            path =
                                Some(WrittenPath { segments: vec![name], line: ident.span().start().line });
                        }
                    }
                }
                other => {
                    self.add(path.take());
                    if let TokenTree::Group(group) = other {
                        self.add_tokens(group.stream());
                    }
                }
            }
            n_colons = 0;
        }
        self.add(path);
    }

    fn add(&mut self, path: Option<WrittenPath>) {
        self.paths.extend(path.filter(|path| path.segments.len() > 1));
    }
}

impl<'ast> Visit<'ast> for Collector {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_test_only(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let is_test_only = match item {
            ImplItem::Fn(function) => is_test_only(&function.attrs),
            _ => false,
        };
        if !is_test_only {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let leaves = use_leaves(item).map(|UseLeaf { segments, line, .. }| WrittenPath { segments, line });
        self.paths.extend(leaves);
    }

    /// An inline module is a module of its own.
    fn visit_item_mod(&mut self, _: &'ast ItemMod) {}

    /// `pub(crate)` is no import of the crate's root.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            let segments = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.add(Some(WrittenPath { segments, line: path.span().start().line }));
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.add_tokens(call.tokens.clone());
        visit::visit_macro(self, call);
    }
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(it) => &it.attrs,
        Item::Enum(it) => &it.attrs,
        Item::Fn(it) => &it.attrs,
        Item::Impl(it) => &it.attrs,
        Item::Macro(it) => &it.attrs,
        Item::Mod(it) => &it.attrs,
        Item::Static(it) => &it.attrs,
        Item::Struct(it) => &it.attrs,
        Item::Trait(it) => &it.attrs,
        Item::Type(it) => &it.attrs,
        Item::Use(it) => &it.attrs,
        _ => &[],
    }
}
