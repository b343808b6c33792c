//! Runs the checks of the fuzz targets (`fuzz`, `make fuzz`) on their corpora: inputs that once failed, and some of each kind.

#![expect(clippy::disallowed_methods, reason = "a test reads its inputs")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "the output of a failed test names the input")]

#[path = "../fuzz/checks/mod.rs"]
mod checks;

use std::fs;
use std::path::{Path, PathBuf};

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 10, "the corpus of {target} is there");
    files.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// Checks the inputs of a corpus, and each one again with any of its bytes missing and cut off at any place.
fn run(target: &str, check: fn(&[u8])) {
    for (path, input) in corpus(target) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        println!("{target}/{name}");
        check(&input);
        for place in 0..input.len().min(400) {
            check(&input[..place]);
            check(&[&input[..place], &input[place + 1..]].concat());
        }
    }
}

macro_rules! corpora {
    ($($name:ident: $target:ident;)+) => {
        $(#[test]
        fn $name() {
            run(stringify!($target), checks::$target::check);
        })+

        #[test]
        fn every_target_has_a_test_and_is_part_of_the_crate() {
            let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/Cargo.toml")).unwrap();
            let targets = [$(stringify!($target)),+];
            assert_eq!(manifest.matches("[[bin]]").count(), targets.len());
            for target in targets {
                assert!(manifest.contains(&format!("name = \"{target}\"")), "{target}");
            }
        }
    };
}

corpora! {
    batches_are_read_as_serde_json_reads_them: batch;
    documents_have_what_serde_json_reads_in_the_payload: document;
    times_are_read_as_chrono_reads_them: times;
    items_count_as_written_only_if_serde_json_reads_them_so: bulk_response;
    repaired_objects_are_what_serde_json_reads: nearly_json;
    every_form_of_a_rejected_document_has_the_whole_payload: rescue;
}
