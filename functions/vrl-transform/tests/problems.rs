//! Scripts with problems: every one with its place and its fix.

use event_pipeline::transform::{ScriptProblem, TransformCompiler};
use vrl_transform::VrlCompiler;

fn problems(script: &str) -> Vec<String> {
    let Err(problems) = VrlCompiler::new().compile(script) else { return Vec::new() };
    let text = |ScriptProblem { line, column, message }| format!("{line}:{column}: {message}");
    problems.into_iter().map(text).collect()
}

#[test]
fn every_problem_is_reported_with_its_place_and_its_fix() {
    let cases: &[(&str, &[&str])] = &[
        (
            ".a = to_int(",
            &[
                r#"1:13: syntax error: unexpected end of program; expected one of: "identifier", "string literal", "raw string literal", "integer literal", "float literal", "regex literal", "timestamp literal", "function call", "reserved identifier", "path literal", "if", "else", "null", "true", "false", "abort", "return", "break", "\n", "!", "[", "{", "(", ")""#,
            ],
        ),
        (
            ".a = parse_json(.b)\n.c = to_int(.d)\n%kafka_topic = \"x\"",
            &[
                "1:6: unhandled fallible assignment: this expression is fallible because at least one argument's type cannot be verified to be valid; `.b` argument type is `string, integer, float, boolean, null, undefined, array or object` and this function expected a parameter `value` of type `string`; update the expression to be infallible by adding a `!`: `parse_json!(.b)`; or change this to an infallible assignment: .a, err = parse_json(.b) (https://errors.vrl.dev/103)",
                "2:6: unhandled fallible assignment: this expression is fallible because at least one argument's type cannot be verified to be valid; or change this to an infallible assignment: .c, err = to_int(.d) (https://errors.vrl.dev/103)",
                "3:1: mutation of read-only value: metadata can be read, not written; assign to a field of the payload",
            ],
        ),
        (
            "del(%headers.a)",
            &[
                "1:1: function compilation error: error[E315] mutation of read-only value: mutation of read-only value; %headers.a is read-only, and cannot be deleted: metadata can be read, not written; assign to a field of the payload",
            ],
        ),
        (
            ".é = now()",
            &[
                r#"1:2: syntax error: unexpected syntax token: "InvalidToken"; expected one of: ";", "\n", "|", "=", "|=", ",", "+", "*", "-", "/", "<", "<=", ">", ">=", "==", "!=", "|", "&&", "||", "??""#,
            ],
        ),
        (
            ".a = uuid_v4()\n.b = get_env_var!(\"A\")",
            &[
                "1:6: `uuid_v4` is refused: a record that is delivered again must become the same document; make an id of the event's own fields: sha2(.order_id), or of `%kafka_topic`, `%kafka_partition` and `%kafka_offset`",
                "2:6: `get_env_var` is refused: it reads the function's environment, where its credentials are",
            ],
        ),
        (
            ".a = foo(.b)",
            &[
                r#"1:6: call to undefined function: undefined function; did you mean "bool"? (https://errors.vrl.dev/105)"#,
            ],
        ),
        (
            ".a = redact(.b, filters: [\"credit_card\"])",
            &[
                r#"1:6: function compilation error: error[E403] invalid argument: invalid argument "filters"; received: "credit_card"; error: unknown filter name: a filter is a regular expression, for payment cards r'\b(?:\d[ -]?){12,18}\d\b', or "us_social_security_number""#,
            ],
        ),
        (
            "upcase(string!(.a))\n.b = 1",
            &[
                "1:1: unused result for function call `upcase(string(.a))`: help: use the result of this expression or remove it; this expression has no side-effects",
            ],
        ),
        (
            ".a = %kafka_tpoic",
            &[
                "1:6: records have no metadata `%kafka_tpoic`: there are %headers, %kafka_key, %kafka_offset, %kafka_partition, %kafka_timestamp, %kafka_topic, %service_name",
            ],
        ),
        (
            "if .a == 1 { . = \"x\" } else { . = 3 }",
            &[
                "1:31: `.` ends as string or integer, but a document is an object: assign an object to `.`, or the value to a field",
            ],
        ),
        (
            ". = 3",
            &[
                "1:1: `.` ends as integer, but a document is an object: assign an object to `.`, or the value to a field",
            ],
        ),
        (
            ". |= {\"a\": 1}\n. = [1]",
            &[
                "2:1: `.` ends as [integer], but a document is an object: assign an object to `.`, or the value to a field",
            ],
        ),
        (
            ".t = format_timestamp!(%kafka_timestamp, format: \"%T\", timezone: \"local\")",
            &[
                r#"1:6: function compilation error: error[E610] the machine's time zone is refused: name a zone, "Europe/Paris", or leave `timezone` out for UTC"#,
            ],
        ),
        (
            ".a = 1 +",
            &[
                r#"1:9: syntax error: unexpected end of program; expected one of: "identifier", "string literal", "raw string literal", "integer literal", "float literal", "regex literal", "timestamp literal", "function call", "path literal", "null", "true", "false", "\n", "!", "[", "{", "(""#,
            ],
        ),
        ("# redacts\n.a = \"", &["2:6: invalid string literal"]),
        (
            "if .a { .b = 1 }",
            &[
                "1:4: non-boolean predicate: this predicate must resolve to a boolean; instead it resolves to string, integer, float, boolean, null, undefined, array or object; hint: coerce the value to the required type using a coercion function; see documentation about if expressions at https://vrl.dev/expressions/#if (https://errors.vrl.dev/102)",
            ],
        ),
    ];
    let mut wrong = Vec::new();
    for (script, expected) in cases {
        let found = problems(script);
        if found != *expected {
            wrong.push(format!("{script}\n    {}", found.join("\n    ")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
