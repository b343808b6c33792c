//! Keeps the words of exact fields searchable.
//!
//! The index template maps ids and times as `keyword` alone: a second index of their words would take a fifth of the
//! index and a quarter of the indexing rate, for values that are one word each. Where such a value does have words, they go
//! to `event_text` as well, which free text searches.

use std::borrow::Cow;

use crate::json_string::has_other_than_visible_ascii;

/// The longest word of free text, in characters: analyzers cut longer ones.
pub(crate) const LONGEST_WORD: usize = 255;
/// The longest key or correlation id whose words are kept, in bytes. With escapes it can take six times as much.
const LONGEST_ID: usize = 65_536;

/// Whether the field of this name finds only the whole `value`, a JSON string with its quotes, although that has words.
pub(crate) fn hides_words(name: &str, value: &[u8]) -> bool {
    is_exact(name) && serde_json::from_slice::<Cow<'_, str>>(value).map_or(true, |text| has_words(&text))
}

/// Whether [`is_exact`] may hold, which takes longer.
pub(crate) fn may_be_exact(name: &[u8]) -> bool {
    matches!(
        name,
        [.., b'i' | b'I', b'd' | b'D']
            | [.., b'm' | b'M', b'p' | b'P']
            | [.., b't' | b'T', b's' | b'S']
            | [.., b'A' | b'_', b't']
            | [.., b'_', b'a' | b'A' | b'o' | b'O', b't' | b'T' | b'n' | b'N']
            | [.., b'i' | b'I', b'm' | b'M', b'e' | b'E']
            | [.., b'a' | b'A', b't' | b'T', b'e' | b'E']
    )
}

/// Whether the index template maps strings of this name as `keyword` alone: its dynamic templates `ids_string` and `times`
/// in `infra/search/index-template.json`.
fn is_exact(name: &str) -> bool {
    let leaf = name.rsplit('.').next().unwrap_or_default();
    leaf == "id"
        || ["Id", "ID", "_id", "Uuid", "_uuid", "At", "Time", "Date", "Timestamp"]
            .iter()
            .any(|end| leaf.ends_with(end))
        || {
            let leaf = leaf.to_ascii_lowercase();
            let word = leaf.rsplit('_').next().unwrap_or_default();
            matches!(word, "timestamp" | "time" | "date" | "datetime" | "ts")
                || leaf.ends_with("_at")
                || leaf.ends_with("_on")
        }
}

/// Whether the words of a key or a correlation id are kept in addition to its whole value.
pub(crate) fn id_has_words(id: &str) -> bool {
    id.len() <= LONGEST_ID && has_words(id)
}

/// Whether a value has words that differ from the whole value: it is not one word of visible ASCII, or too long to be one.
fn has_words(text: &str) -> bool {
    text.len() > LONGEST_WORD || has_other_than_visible_ascii(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::string::string_regex;
    use serde_json::Value;

    use super::*;

    /// The patterns of names whose strings the index template maps as `keyword` alone.
    fn exact_patterns() -> Vec<String> {
        let template: Value =
            serde_json::from_str(include_str!("../../../infra/search/index-template.json")).unwrap();
        let templates = template["template"]["mappings"]["dynamic_templates"].as_array().unwrap();
        let templates = templates.iter().flat_map(|it| it.as_object().unwrap().values());
        let is_exact = |it: &&Value| {
            it["match_mapping_type"] == "string"
                && it["mapping"]["type"] == "keyword"
                && it["mapping"]["fields"].is_null()
        };
        templates.filter(is_exact).map(|it| it["match"].as_str().unwrap().to_owned()).collect()
    }

    proptest! {
        #[test]
        fn every_name_that_the_template_maps_as_keyword_alone_is_exact(
            name in prop::sample::select(exact_patterns()).prop_flat_map(|it| string_regex(&it).unwrap())
        ) {
            // `(?i)` is of all Unicode here, and of ASCII alone in the clusters.
            prop_assume!(!name.contains(['\u{17f}', '\u{212a}']));
            prop_assert!(is_exact(&name));
            prop_assert!(may_be_exact(name.as_bytes()));
        }
    }

    #[test]
    fn there_are_ids_and_times_in_the_template() {
        assert_eq!(exact_patterns().len(), 2);
    }

    #[test]
    fn ids_and_times_are_exact() {
        for name in [
            "id",
            "orderId",
            "ORDERID",
            "user_id",
            "requestUuid",
            "request_uuid",
            "order.id",
            "a.b.orderId",
            "time",
            "TIME",
            "Timestamp",
            "event_time",
            "event.ts",
            "createdAt",
            "created_at",
            "CREATED_ON",
            "dueDate",
            "deliveryTime",
            "endTimestamp",
            "birth_date",
        ] {
            assert!(is_exact(name), "{name}");
        }
        for name in [
            "",
            "i",
            "paid",
            "grid",
            "format",
            "chat",
            "update",
            "candidate",
            "runtime",
            "status",
            "msg",
            "id.x",
            "position",
        ] {
            assert!(!is_exact(name), "{name}");
        }
    }

    #[test]
    fn a_value_has_words_unless_it_is_one_term() {
        for text in
            ["ord-4711", "a0331984-052c-4531-969c-c01e6973c5d8", "2026-11-28T00:30:05.123Z", "auth0|5f", ""]
        {
            assert!(!has_words(text), "{text}");
        }
        for text in ["customer 42", "a\nb", "顧客42", "\u{a0}", &"x".repeat(LONGEST_WORD + 1)] {
            assert!(has_words(text), "{text}");
        }
    }

    #[test]
    fn an_exact_field_hides_the_words_of_its_value() {
        assert!(hides_words("createdAt", br#""when the moon is full""#));
        assert!(hides_words("orderId", br#""customer\u0020two""#));
        assert!(!hides_words("orderId", br#""a\u002db""#));
        assert!(!hides_words("createdAt", br#""2026-11-28T00:30:05\u002B01:00""#));
        assert!(!hides_words("note", br#""two words""#));
    }
}
