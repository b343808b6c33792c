//! Functions with a time zone, without `local`: the machine's zone is no property of the record.

use std::borrow::Cow;
use std::fmt;

use vrl::compiler::function::{ArgumentList, Compiled, Example, FunctionCompileContext};
use vrl::compiler::state::{TypeInfo, TypeState};
use vrl::compiler::{Context, Expression, ExpressionError, Function, Parameter, Resolved};
use vrl::diagnostic::{DiagnosticMessage, Label, Span};
use vrl::value::Value;

/// A function with a parameter `timezone` that refuses the machine's own.
#[derive(Debug)]
pub(crate) struct FixedZone<F>(pub(crate) F);

impl<F: Function> Function for FixedZone<F> {
    fn identifier(&self) -> &'static str {
        self.0.identifier()
    }

    fn usage(&self) -> &'static str {
        self.0.usage()
    }

    fn category(&self) -> &'static str {
        self.0.category()
    }

    fn return_kind(&self) -> u16 {
        self.0.return_kind()
    }

    fn examples(&self) -> &'static [Example] {
        self.0.examples()
    }

    fn parameters(&self) -> &'static [Parameter] {
        self.0.parameters()
    }

    fn compile(
        &self,
        state: &TypeState,
        context: &mut FunctionCompileContext,
        arguments: ArgumentList,
    ) -> Compiled {
        let zone = arguments.optional("timezone");
        let is_field = matches!(arguments.optional_query("timezone"),
            Ok(Some(query)) if query.external_path().is_some());
        let function = self.0.compile(state, context, arguments)?;
        let Some(zone) = zone else { return Ok(function) };
        match zone.resolve_constant(state) {
            Some(constant) if is_local(&constant) => Err(Box::new(ZoneError::Local(context.span()))),
            Some(_) => Ok(function),
            // A field can be read twice, an expression that changes something can't.
            None if is_field => Ok(Box::new(CheckedZone { zone, function })),
            None => Err(Box::new(ZoneError::Expression(context.span()))),
        }
    }
}

/// A call with a zone that is known only when it runs.
#[derive(Debug, Clone)]
struct CheckedZone {
    zone: Box<dyn Expression>,
    function: Box<dyn Expression>,
}

impl Expression for CheckedZone {
    fn resolve(&self, context: &mut Context<'_>) -> Resolved {
        if is_local(&self.zone.resolve(context)?) {
            return Err(ExpressionError::from("the machine's time zone is refused"));
        }
        self.function.resolve(context)
    }

    fn type_info(&self, state: &TypeState) -> TypeInfo {
        let mut info = self.function.type_info(state);
        info.result = info.result.fallible();
        info
    }
}

/// What VRL takes for the machine's zone.
fn is_local(zone: &Value) -> bool {
    let text = match zone {
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes),
        Value::String(text) => Cow::Borrowed(&**text),
        _ => return false,
    };
    matches!(&*text, "" | "local")
}

#[derive(Debug)]
enum ZoneError {
    Local(Span),
    Expression(Span),
}

impl fmt::Display for ZoneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local(_) => "the machine's time zone is refused",
            Self::Expression(_) => "the time zone is neither a literal nor a field",
        })
    }
}

impl std::error::Error for ZoneError {}

impl DiagnosticMessage for ZoneError {
    fn code(&self) -> usize {
        vrl::compiler::codes::CompilerCode::FunctionCompilation as usize
    }

    fn labels(&self) -> Vec<Label> {
        match self {
            Self::Local(span) => {
                vec![Label::primary("name a zone, \"Europe/Paris\", or leave `timezone` out for UTC", span)]
            }
            Self::Expression(span) => vec![Label::primary(
                "write it as \"Europe/Paris\", or put it into a field first, and name the field",
                span,
            )],
        }
    }
}
