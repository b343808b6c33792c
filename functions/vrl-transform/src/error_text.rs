//! Says in one sentence why a script failed, without what the payload holds.

use vrl::compiler::ExpressionError;

use crate::script_place::ScriptPlace;

/// The words that VRL's messages are made of, beside what they quote. What has other words may quote the payload.
const WORDS: &[&str] = &[
    "a",
    "add",
    "aborted",
    "an",
    "and",
    "any",
    "apply",
    "array",
    "as",
    "at",
    "base64",
    "boolean",
    "by",
    "calculate",
    "can't",
    "coerce",
    "column",
    "compare",
    "convert",
    "date",
    "decode",
    "divide",
    "elements",
    "error",
    "expected",
    "exceeded",
    "execution",
    "failed",
    "float",
    "format",
    "from",
    "got",
    "has",
    "have",
    "id",
    "in",
    "input",
    "integer",
    "into",
    "invalid",
    "is",
    "it",
    "json",
    "key",
    "length",
    "line",
    "match",
    "merge",
    "message",
    "most",
    "multiply",
    "must",
    "nan",
    "no",
    "not",
    "null",
    "object",
    "of",
    "operation",
    "or",
    "out",
    "parse",
    "pattern",
    "produce",
    "range",
    "recognized",
    "record",
    "refused",
    "regex",
    "remainder",
    "string",
    "subtract",
    "syslog",
    "the",
    "this",
    "time",
    "timestamp",
    "to",
    "too",
    "type",
    "types",
    "unable",
    "undefined",
    "value",
    "valid",
    "with",
    "would",
    "year",
    "zero",
    "zone",
    "machine's",
    "<",
    "<=",
    ">",
    ">=",
    "-",
];

/// One sentence about `error`, with the place in the script.
pub(crate) fn describe(script: &str, error: &ExpressionError) -> String {
    let (message, place) = match error {
        ExpressionError::Error { message, labels, .. } => {
            let place = labels.iter().find(|label| label.primary).map(|label| label.span);
            (message.as_str(), place)
        }
        ExpressionError::Abort { span, .. } | ExpressionError::Break { span } => ("aborted", Some(*span)),
        ExpressionError::Return { span, .. } => ("return", Some(*span)),
        ExpressionError::Fallible { span } | ExpressionError::Missing { span, .. } => ("error", Some(*span)),
        ExpressionError::Interrupted => ("interrupted", None),
    };
    let (functions, rest) = calls(message);
    let what = match functions.last() {
        Some(function) => format!("{function} failed"),
        None => "failed".to_owned(),
    };
    let at = place.map_or_else(String::new, |span| {
        let ScriptPlace { line, column } = ScriptPlace::of(script, span.start());
        format!(" at line {line}, column {column} of the script")
    });
    if is_of_known_words(rest) {
        format!("{what}{at}: {rest}")
    } else {
        format!("{what}{at} (the rest of VRL's message may quote the event and is left out)")
    }
}

/// The functions that `function call error for "a" at (1:2): function call error for "b" at (3:4): rest` names, and the rest.
fn calls(message: &str) -> (Vec<&str>, &str) {
    let mut functions = Vec::new();
    let mut rest = message;
    while let Some((function, inner)) = rest
        .strip_prefix("function call error for \"")
        .and_then(|after| after.split_once("\" at ("))
        .and_then(|(function, after)| Some((function, after.split_once("): ")?.1)))
    {
        functions.push(function);
        rest = inner;
    }
    (functions, rest)
}

fn is_of_known_words(text: &str) -> bool {
    let mut before = "";
    text.split([' ', ':', ',', ';', '(', ')']).filter(|word| !word.is_empty()).all(|word| {
        let lower = word.to_ascii_lowercase();
        let is_position =
            matches!(before, "line" | "column") && word.bytes().all(|byte| byte.is_ascii_digit());
        before = word;
        is_position || WORDS.contains(&lower.as_str())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(message: &str) -> ExpressionError {
        ExpressionError::from(message)
    }

    #[test]
    fn what_vrl_says_without_quoting_is_kept() {
        assert_eq!(
            describe(
                "",
                &failure(r#"function call error for "upcase" at (0:3): expected string, got integer"#)
            ),
            "upcase failed: expected string, got integer"
        );
        assert_eq!(describe("", &failure("can't divide by zero")), "failed: can't divide by zero");
        assert_eq!(
            describe("", &failure("unable to parse json: expected value at line 1 column 12")),
            "failed: unable to parse json: expected value at line 1 column 12"
        );
    }

    #[test]
    fn what_may_quote_the_payload_is_left_out() {
        for message in [
            r#"function call error for "to_int" at (0:3): Invalid integer "4111": invalid digit"#,
            r#"function call error for "to_int" at (0:3): 4111"#,
            r#"function call error for "to_int" at (0:3): function call error for "to_int" at (x:y): 4111"#,
        ] {
            assert_eq!(
                describe("", &failure(message)),
                "to_int failed (the rest of VRL's message may quote the event and is left out)"
            );
        }
    }
}
