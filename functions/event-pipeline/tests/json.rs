//! Our JSON scanner accepts what serde_json accepts and nothing else, and does not panic on any bytes.

use event_pipeline::json::Scanner;
use event_pipeline::name_table::NameTable;
use event_pipeline::object::ObjectScanner;
use proptest::prelude::*;
use serde_json::Value;

fn json_like() -> impl Strategy<Value = String> {
    let tokens = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"a\"",
        "\"b\"",
        "\"\\u0061\"",
        "\"\\ud800\"",
        "\"\\x\"",
        "\"\t\"",
        "1",
        "-0",
        "01",
        "1.5e+3",
        "1.",
        "-",
        "true",
        "nul",
        "null",
        " ",
        "\n",
        "\"é\"",
        "\"long text with spaces\"",
    ]);
    prop::collection::vec(tokens, 0..14).prop_map(|tokens| tokens.concat())
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(".*", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn accepts(text: &[u8]) -> bool {
    let mut scanner = Scanner::new(text);
    scanner.value().and_then(|_| scanner.end()).is_ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_scanner_accepts_what_serde_json_accepts(text in json_like()) {
        let raw: Result<&serde_json::value::RawValue, _> = serde_json::from_str(&text);
        prop_assert_eq!(accepts(text.as_bytes()), raw.is_ok(), "{}", text);
    }

    #[test]
    fn every_value_is_accepted(value in json_value()) {
        for text in [serde_json::to_string(&value).unwrap(), serde_json::to_string_pretty(&value).unwrap()] {
            prop_assert!(accepts(text.as_bytes()));
            let object = ObjectScanner::default().scan(text.as_bytes(), &NameTable::default());
            prop_assert_eq!(object.is_ok(), value.is_object(), "{}", text);
        }
    }

    #[test]
    fn no_bytes_cause_a_panic(text in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = accepts(&text);
        let _ = ObjectScanner::default().scan(&text, &NameTable::new(["a"]));
    }
}
