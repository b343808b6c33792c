//! The repair of what is nearly JSON: the same value as serde_json's where that reads one, else a sound object or nothing.

use event_pipeline::nearly_json::repair;
use serde_json::Value;

use super::reading::{is_json, value_and_duplicates};

pub(crate) fn check(data: &[u8]) {
    let repaired = repair(data);
    let Ok(text) = std::str::from_utf8(data) else { return };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let theirs = value_and_duplicates(text.as_bytes());
    let Some(repaired) = repaired else {
        let is_object = is_json(text.as_bytes()) && text.trim_start().starts_with('{');
        assert!(!is_object, "an object is not taken: {text}");
        return;
    };
    let repaired_text = String::from_utf8_lossy(&repaired.text);
    assert!(is_json(&repaired.text), "{repaired_text}");
    let again = repair(&repaired.text).unwrap();
    assert_eq!(again.text, repaired.text, "a second repair finds nothing");
    assert!(!again.had_duplicate_key && !again.had_nonfinite, "{repaired_text}");
    if let Some((value, has_duplicates)) = theirs {
        assert!(value.is_object());
        let Some((ours, false)) = value_and_duplicates(&repaired.text) else { panic!("{repaired_text}") };
        assert_eq!(ours, value);
        assert_eq!((repaired.had_duplicate_key, repaired.had_nonfinite), (has_duplicates, false));
    } else if !is_json(text.as_bytes()) {
        assert!(repaired.had_nonfinite, "not JSON, and nothing to repair: {text}");
        check_nonfinite(text, &repaired.text);
    }
}

/// Where no string has the words, putting null for them in the text gives the same value.
fn check_nonfinite(text: &str, repaired: &[u8]) {
    let with_null = text.replace("-Infinity", "null").replace("Infinity", "null").replace("NaN", "null");
    let words_in_strings = text.contains('"')
        && text.split('"').skip(1).step_by(2).any(|text| text.contains("NaN") || text.contains("Infinity"));
    if text.contains('\\') || words_in_strings {
        return;
    }
    if let Some((theirs, _)) = value_and_duplicates(with_null.as_bytes()) {
        let ours: Value = serde_json::from_slice(repaired).unwrap();
        assert_eq!(ours, theirs);
    }
}
