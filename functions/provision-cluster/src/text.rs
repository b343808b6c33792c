//! Texts that must fit a limit.

/// Cuts a text to at most `max_bytes`, and marks the cut.
pub fn truncated(text: &str, max_bytes: usize) -> String {
    if text.len() <= max_bytes {
        return text.to_owned();
    }
    let mark = "…";
    let mut end = max_bytes.saturating_sub(mark.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{mark}", text.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(truncated("abc", 3), "abc");
        assert_eq!(truncated("ééé", 5), "é…");
    }
}
