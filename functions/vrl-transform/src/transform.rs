//! A compiled script, which shapes payloads.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use event_pipeline::transform::{RecordContext, Transform, TransformError, Transformed};
use vrl::compiler::runtime::{Runtime, Terminate};
use vrl::compiler::state::RuntimeState;
use vrl::compiler::{ExpressionError, Program, TargetValue, TimeZone};
use vrl::value::{ObjectMap, Secrets, Value};

use crate::digits::Digits;
use crate::error_text::describe;
use crate::json_reader::read_payload;
use crate::json_writer::write_payload;
use crate::limits::MAX_EXPRESSIONS;
use crate::metadata;

/// A compiled script.
///
/// Each record has a `Runtime` of its own. It is a map of the script's variables and nothing else; an empty one costs
/// nothing, and no record can see the variables of another, whatever way the script ended.
#[derive(Debug)]
pub(crate) struct VrlTransform {
    script: String,
    program: Program,
    zone: TimeZone,
    /// Whether the script can read metadata; for most it need not be made.
    reads_metadata: bool,
}

impl VrlTransform {
    pub(crate) fn new(script: &str, program: Program) -> Self {
        Self {
            script: script.to_owned(),
            program,
            zone: TimeZone::parse("UTC").expect("UTC is a zone"),
            reads_metadata: script.contains('%') || script.contains("parse_syslog"),
        }
    }

    fn run(
        &self,
        about: &RecordContext<'_>,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Transformed, TransformError> {
        let mut digits = Digits::default();
        let value = read_payload(payload, &mut digits).map_err(|error| failed(error.to_string()))?;
        let metadata =
            if self.reads_metadata { metadata::of(about) } else { Value::Object(ObjectMap::new()) };
        let mut target = TargetValue { value, metadata, secrets: Secrets::new() };
        let mut left = MAX_EXPRESSIONS;
        let mut control = || match left.checked_sub(1) {
            Some(fewer) => {
                left = fewer;
                ControlFlow::Continue(())
            }
            None => ControlFlow::Break(()),
        };
        let mut runtime = Runtime::new(RuntimeState::default());
        match runtime.resolve_with_control(&mut target, &self.program, &self.zone, &mut control) {
            Ok(_) => {}
            Err(Terminate::Abort(ExpressionError::Abort { .. })) => return Ok(Transformed::Dropped),
            Err(Terminate::Abort(error) | Terminate::Error(error)) => {
                return Err(failed(describe(&self.script, &error)));
            }
            Err(Terminate::Interrupted) => {
                return Err(failed(format!("the script evaluates more than {MAX_EXPRESSIONS} expressions")));
            }
        }
        write_payload(&target.value, &mut digits, out).map_err(|error| failed(error.to_string()))?;
        Ok(if digits.are_lost() { Transformed::RoundedPayload } else { Transformed::Payload })
    }
}

impl Transform for VrlTransform {
    fn apply(
        &self,
        about: &RecordContext<'_>,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Transformed, TransformError> {
        // What the closure changes is of no use after an error.
        catch_unwind(AssertUnwindSafe(|| self.run(about, payload, out)))
            .unwrap_or_else(|_| Err(failed("VRL panicked, which is a defect of VRL")))
    }
}

fn failed(reason: impl Into<String>) -> TransformError {
    TransformError { reason: reason.into() }
}
