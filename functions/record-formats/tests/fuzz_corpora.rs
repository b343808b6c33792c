//! Runs the checks of the fuzz targets (`fuzz`, `make fuzz`) on their corpora, and on random bytes.

#![expect(clippy::disallowed_methods, reason = "a test reads its inputs")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "the output of a failed test names the input")]

#[path = "../fuzz/checks/mod.rs"]
mod checks;

use std::fs;
use std::path::Path;

use proptest::prelude::*;

/// Checks the inputs of a corpus, and each one again with bytes missing and cut off.
fn run(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 10, "the corpus of {target} is there");
    for path in files {
        println!("{}", path.display());
        let input = fs::read(path).unwrap();
        check(&input);
        for place in (0..input.len().min(400)).step_by(11) {
            check(&input[..place]);
            check(&[&input[..place], &input[place + 1..]].concat());
        }
    }
}

macro_rules! targets {
    ($($name:ident, $random:ident: $target:ident, $cases:literal;)+) => {
        $(#[test]
        fn $name() {
            run(stringify!($target), checks::$target::check);
        })+

        $(proptest! {
            #![proptest_config(ProptestConfig { cases: $cases, max_shrink_iters: 2000, failure_persistence: None, ..ProptestConfig::default() })]
            #[test]
            fn $random(data in prop::collection::vec(any::<u8>(), 0..600)) {
                checks::$target::check(&data);
            }
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

targets! {
    avro_is_read_as_apache_avro_reads_it, random_avro_is_read_as_apache_avro_reads_it: avro, 600;
    protobuf_is_read_as_prost_reflect_reads_it, random_protobuf_is_read_as_prost_reflect_reads_it: protobuf, 300;
    any_bytes_are_json_or_an_error, random_bytes_are_json_or_an_error: frame, 2000;
}
