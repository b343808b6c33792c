//! What the tests of transforms share.

use event_pipeline::timestamp::Timestamp;
use event_pipeline::transform::{RecordContext, SharedTransform, TransformCompiler, Transformed};
use vrl_transform::VrlCompiler;

/// Compiles a script that has no problems.
pub(crate) fn compile(script: &str) -> SharedTransform {
    VrlCompiler::new().compile(script).unwrap_or_else(|problems| panic!("{script}: {problems:?}"))
}

/// What a script makes of a payload: its text, or a word and why. The record has everything that a record can have.
pub(crate) fn run(script: &str, payload: &str) -> String {
    match VrlCompiler::new().compile(script) {
        Ok(transform) => apply(&transform, payload),
        Err(problems) => {
            let texts = problems.iter().map(|p| format!("{}:{}: {}", p.line, p.column, p.message));
            format!("problem: {}", texts.collect::<Vec<_>>().join(" | "))
        }
    }
}

/// The same as [`run`] for a compiled script.
pub(crate) fn apply(transform: &SharedTransform, payload: &str) -> String {
    let headers =
        [("tenant", "acme"), ("x", "1"), ("x", "2")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let about = RecordContext {
        topic: "payments.events",
        service_name: "payments",
        partition: 3,
        offset: 1234,
        timestamp: Timestamp::from_millis(1_795_825_805_123),
        key: Some("k-1"),
        headers: &headers,
    };
    outcome(transform, &about, payload.as_bytes())
}

/// The same as [`run`] for a record without time, key and headers.
#[allow(dead_code, reason = "not every test of this crate has such records")]
pub(crate) fn run_bare(script: &str, payload: &str) -> String {
    outcome(&compile(script), &BARE, payload.as_bytes())
}

/// A record without time, key and headers.
pub(crate) const BARE: RecordContext<'_> = RecordContext {
    topic: "t",
    service_name: "t",
    partition: 0,
    offset: 0,
    timestamp: None,
    key: None,
    headers: &[],
};

/// What a transform makes of a payload.
pub(crate) fn outcome(transform: &SharedTransform, about: &RecordContext<'_>, payload: &[u8]) -> String {
    let mut out = b"before".to_vec();
    let result = transform.apply(about, payload, &mut out);
    assert!(out.starts_with(b"before"), "what was in the buffer is changed");
    let shaped = || String::from_utf8(out["before".len()..].to_vec()).unwrap();
    match result {
        Ok(Transformed::Payload) => shaped(),
        Ok(Transformed::RoundedPayload) => format!("rounded {}", shaped()),
        Ok(Transformed::Dropped) => "dropped".to_owned(),
        Err(error) => format!("error: {}", error.reason),
    }
}
