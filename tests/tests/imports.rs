//! No two files of a crate import each other, directly or by way of others.

use integration_tests::imports::{circles, imports};
use integration_tests::workspace::crates;

#[test]
fn no_files_of_a_crate_import_each_other() {
    let mut found = Vec::new();
    let mut n_imports = 0;
    for each in crates().unwrap() {
        for target in &each.targets {
            let imports = imports(each.folder(), &target.src_path).unwrap();
            n_imports += imports.len();
            found.extend(circles(&imports).iter().map(|circle| format!("{}: {circle}", each.name)));
        }
    }
    assert!(n_imports > 100, "the sources are read: {n_imports} imports");
    assert!(found.is_empty(), "{} circles of imports:\n{}", found.len(), found.join("\n"));
}
