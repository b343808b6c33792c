//! JSON with line ends and indentation, its texts and numbers as they are.

/// Returns `json`, which is valid, with each member and element on its own line.
pub fn pretty(json: &str, indentation: usize) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = 0_usize;
    let mut chars = json.chars().peekable();
    let line_end = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n(' ', indentation + 2 * depth));
    };
    while let Some(character) = chars.next() {
        match character {
            '"' => {
                out.push('"');
                while let Some(inner) = chars.next() {
                    out.push(inner);
                    match inner {
                        '\\' => out.extend(chars.next()),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            '{' | '[' => {
                out.push(character);
                while chars.next_if(|next| next.is_ascii_whitespace()).is_some() {}
                if let Some(close) = chars.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(close);
                    continue;
                }
                depth += 1;
                line_end(&mut out, depth);
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line_end(&mut out, depth);
                out.push(character);
            }
            ',' => {
                out.push(',');
                line_end(&mut out, depth);
            }
            ':' => out.push_str(": "),
            space if space.is_ascii_whitespace() => {}
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_member_has_a_line_and_texts_and_numbers_stay() {
        let json = r#"{"a":[1.00,{ }, []],"b":"x\",{\\","c":{"d":12345678901234567890123}}"#;
        let expected = r#"{
  "a": [
    1.00,
    {},
    []
  ],
  "b": "x\",{\\",
  "c": {
    "d": 12345678901234567890123
  }
}"#;
        assert_eq!(pretty(json, 0), expected);
        assert_eq!(pretty(json, 2), expected.replace('\n', "\n  "));
    }
}
