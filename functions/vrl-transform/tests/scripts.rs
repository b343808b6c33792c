//! Scripts with the whole of what they make of a payload.

mod common;

use common::{run, run_bare};

const PAYLOAD: &str = r#"{"level":"info","message":"user=ann action=pay amount=12","card":"4111 1111 1111 1111","items":[{"sku":"a","n":2},{"sku":"b","n":3}],"context":"{\"ip\":\"10.0.0.1\"}","email":"ann@example.org","at":"24/Nov/2026 10:00:00"}"#;

/// A script, a payload, and what becomes of it.
type Case = (&'static str, &'static str, &'static str);

#[test]
fn scripts_shape_payloads() {
    let cases: &[Case] = &[
        (".", r#"{ "b": 1, "a": [ ] , "c": { } }"#, r#"{"a":[],"b":1,"c":{}}"#),
        (
            r#".card = redact!(.card, filters: [r'\d{4}'])"#,
            r#"{"card":"4111 1111"}"#,
            r#"{"card":"[REDACTED] [REDACTED]"}"#,
        ),
        (
            r#".ssn = redact(string!(.ssn), filters: ["us_social_security_number"], redactor: {"type": "text", "replacement": "***"})"#,
            r#"{"ssn":"id 123-45-6789"}"#,
            r#"{"ssn":"id ***"}"#,
        ),
        ("if .level == \"debug\" { abort }", r#"{"level":"debug"}"#, "dropped"),
        ("if .level == \"debug\" { abort \"too chatty\" }", r#"{"level":"debug"}"#, "dropped"),
        ("if .level == \"debug\" { abort }", r#"{"level":"info"}"#, r#"{"level":"info"}"#),
        (
            "fields = parse_key_value!(del(.message))\n. = merge(., fields)",
            r#"{"message":"user=ann amount=12","id":1}"#,
            r#"{"amount":"12","id":1,"user":"ann"}"#,
        ),
        (
            ".context = parse_json!(.context)",
            r#"{"context":"{\"ip\":\"10.0.0.1\",\"n\":1.50}"}"#,
            r#"{"context":{"ip":"10.0.0.1","n":1.5}}"#,
        ),
        (
            ".user = sha2(string!(.user), variant: \"SHA-256\")",
            r#"{"user":"a"}"#,
            r#"{"user":"ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"}"#,
        ),
        (".n = to_int(.n) ?? 0", r#"{"n":"x"}"#, r#"{"n":0}"#),
        (".n, err = to_int(.n)\nif err != null { .bad = true }", r#"{"n":"x"}"#, r#"{"bad":true,"n":0}"#),
        (
            "if .a == 1 { .b = \"one\" } else if .a == 2 { .b = \"two\" } else { .b = \"many\" }",
            r#"{"a":2}"#,
            r#"{"a":2,"b":"two"}"#,
        ),
        (
            "total = 0\nfor_each(array!(.items)) -> |_, item| { total = total + int!(item.n) }\n.total = total",
            r#"{"items":[{"n":2},{"n":3}]}"#,
            r#"{"items":[{"n":2},{"n":3}],"total":5}"#,
        ),
        (
            ".at = parse_timestamp!(.at, format: \"%d/%b/%Y %T\")",
            r#"{"at":"24/Nov/2026 10:00:00"}"#,
            r#"{"at":"2026-11-24T10:00:00Z"}"#,
        ),
        (
            ".at = parse_timestamp!(.at, format: \"%d/%b/%Y %T\", timezone: \"Europe/Paris\")",
            r#"{"at":"24/Nov/2026 10:00:00"}"#,
            r#"{"at":"2026-11-24T09:00:00Z"}"#,
        ),
        (
            ".at = parse_timestamp!(.at, format: \"%d/%b/%Y %T\", timezone: .zone)",
            r#"{"at":"24/Nov/2026 10:00:00","zone":"Asia/Tokyo"}"#,
            r#"{"at":"2026-11-24T01:00:00Z","zone":"Asia/Tokyo"}"#,
        ),
        (
            ". = {\"t\": %kafka_topic, \"s\": %service_name, \"p\": %kafka_partition, \"o\": %kafka_offset, \"k\": %kafka_key, \"h\": %headers, \"at\": %kafka_timestamp}",
            "{}",
            r#"{"at":"2026-11-28T00:30:05.123Z","h":{"tenant":"acme","x":"2"},"k":"k-1","o":1234,"p":3,"s":"payments","t":"payments.events"}"#,
        ),
        (".tenant = upcase(%headers.tenant) ?? \"none\"", "{}", r#"{"tenant":"ACME"}"#),
        (".tenant = %headers.nobody", "{}", r#"{"tenant":null}"#),
        (
            ". = parse_syslog!(.m)",
            r#"{"m":"<34>Jan 11 22:14:15 host su: failed"}"#,
            r#"{"appname":"su","facility":"auth","hostname":"host","message":"failed","severity":"crit","timestamp":"2027-01-11T22:14:15Z"}"#,
        ),
        (
            ". = parse_syslog!(.m)",
            r#"{"m":"<13>1 2020-03-13T20:45:38.119Z h non 2426 ID931 [e@1 a=\"1\"] hi"}"#,
            r#"{"appname":"non","e@1":{"a":"1"},"facility":"user","hostname":"h","message":"hi","msgid":"ID931","procid":2426,"severity":"notice","timestamp":"2020-03-13T20:45:38.119Z","version":1}"#,
        ),
        (".x = .a + 1 ?? 0", r#"{"a":1}"#, r#"{"a":1,"x":2}"#),
        (".r = r'a.b'", "{}", r#"{"r":"a.b"}"#),
        (".s = \"a\\\"\\\\\\n\\t\"", "{}", r#"{"s":"a\"\\\n\t"}"#),
        ("x = 1\nif x == 1 { return null }\n.never = true", r#"{"a":1}"#, r#"{"a":1}"#),
        ("", r#"{"a":1}"#, r#"{"a":1}"#),
    ];
    let mut wrong = Vec::new();
    for (script, payload, expected) in cases {
        let result = run(script, payload);
        if result != *expected {
            wrong.push(format!("{script}\n  {payload}\n  expected {expected}\n  got      {result}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_a_script_can_not_carry_through_is_an_error_without_values() {
    let cases: &[Case] = &[
        (".n = to_int!(.n)", r#"{"n":"4111"}"#, r#"{"n":4111}"#),
        (
            "\n.n = to_int!(.n)",
            r#"{"n":"secret"}"#,
            "error: to_int failed at line 2, column 6 of the script (the rest of VRL's message may quote the event and is left out)",
        ),
        (
            ".n = upcase!(.n)",
            r#"{"n":1}"#,
            "error: upcase failed at line 1, column 6 of the script: expected string, got integer",
        ),
        (
            ".n = parse_json!(.n)",
            r#"{"n":"{\"a\":"}"#,
            "error: parse_json failed at line 1, column 6 of the script (the rest of VRL's message may quote the event and is left out)",
        ),
        (". = .x", r#"{"x":[1]}"#, "error: the script leaves `.` as an array, not as an object"),
        (". = .x", r#"{"y":[1]}"#, "error: the script leaves `.` as null, not as an object"),
        (
            ".x = decode_base64!(.x)",
            r#"{"x":"/w=="}"#,
            "error: the script makes a string of bytes that are not UTF-8: encode_base64 makes text of them",
        ),
        (
            ".x = parse_timestamp!(.x, format: \"%T\", timezone: .zone)",
            r#"{"x":"10:00:00","zone":"local"}"#,
            "error: parse_timestamp failed at line 1, column 6 of the script: the machine's time zone is refused",
        ),
        (
            "assert!(.a == 1, message: .secret)",
            r#"{"a":2,"secret":"s3"}"#,
            "error: assert failed at line 1, column 1 of the script (the rest of VRL's message may quote the event and is left out)",
        ),
    ];
    let mut wrong = Vec::new();
    for (script, payload, expected) in cases {
        let result = run(script, payload);
        if result != *expected {
            wrong.push(format!("{script}\n  {payload}\n  expected {expected}\n  got      {result}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_date_without_a_year_needs_the_records_time() {
    assert_eq!(
        run_bare(". = parse_syslog!(.m)", r#"{"m":"<34>Jan 11 22:14:15 host su: failed"}"#),
        "error: parse_syslog failed at line 1, column 5 of the script: the date has no year, and the record has no time"
    );
}

#[test]
fn numbers_keep_their_digits() {
    let big = r#"{"a":18446744073709551615,"b":0.10000000000000001,"c":0.1,"d":[1e5,1.0,1.00,-0,1e400],"e":-9223372036854775808}"#;
    let moved = r#"{"id":18446744073709551615}"#;
    let cases: &[Case] = &[
        (".", big, big),
        (".x = 1", moved, r#"{"id":18446744073709551615,"x":1}"#),
        (".x = del(.id)", moved, r#"{"x":18446744073709551615}"#),
        // Two texts with one value, of which one moved: 0.1 for a double.
        (".x = del(.b)", r#"{"b":0.10000000000000001,"c":0.1}"#, r#"rounded {"c":0.1,"x":0.1}"#),
        (".x = del(.b)", r#"{"b":1.0,"c":1.00}"#, r#"{"c":1.00,"x":1.0}"#),
        (".id = to_string!(.id)", moved, r#"rounded {"id":"18446744073709552000"}"#),
        (
            ".text = to_string!(.id)",
            moved,
            r#"rounded {"id":18446744073709551615,"text":"18446744073709552000"}"#,
        ),
        (
            ".text = encode_json(.)",
            moved,
            r#"rounded {"id":18446744073709551615,"text":"{\"id\":1.8446744073709552e+19}"}"#,
        ),
        (".id = to_int!(.id)", moved, r#"rounded {"id":9223372036854775807}"#),
    ];
    let mut wrong = Vec::new();
    for (script, payload, expected) in cases {
        let result = run(script, payload);
        if result != *expected {
            wrong.push(format!("{script}\n  {payload}\n  expected {expected}\n  got      {result}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn unpaired_surrogates_stay() {
    let payload = r#"{"a":"x\ud83dy","b":"\udc00\ud800","c":"\ud83d\ude00","d":"\ud83d\u0041"}"#;
    assert_eq!(run(".", payload), r#"{"a":"x\ud83dy","b":"\udc00\ud800","c":"😀","d":"\ud83dA"}"#);
}

#[test]
fn one_record_sees_nothing_of_another() {
    let transform = common::compile(
        "seen = null\nif .set == true { seen = .x }\n.seen = seen\nif .fail == true { .x = to_int!(.x) }",
    );
    let first = common::apply(&transform, PAYLOAD);
    for payload in [r#"{"set":true,"x":1}"#, r#"{"fail":true,"x":"z","set":true}"#, r#"{"x":2}"#] {
        common::apply(&transform, payload);
        assert_eq!(common::apply(&transform, PAYLOAD), first);
    }
}
