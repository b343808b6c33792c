//! `parse_syslog` without a clock: dates of RFC 3164 have no year, and take the one of the record's time.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, Utc};
use syslog_loose::{IncompleteDate, Message, ProcId, Protocol, Variant, parse_message_with_year_exact_tz};
use vrl::compiler::function::{ArgumentList, Compiled, Example, FunctionCompileContext};
use vrl::compiler::state::{TypeInfo, TypeState};
use vrl::compiler::value::VrlValueConvert;
use vrl::compiler::{Context, Expression, ExpressionError, Function, Parameter, Resolved};
use vrl::path::OwnedTargetPath;
use vrl::stdlib;
use vrl::value::{KeyString, Value};

use crate::metadata;

/// The function of VRL with this name, but for the year.
#[derive(Debug)]
pub(crate) struct ParseSyslog;

impl Function for ParseSyslog {
    fn identifier(&self) -> &'static str {
        stdlib::ParseSyslog.identifier()
    }

    fn usage(&self) -> &'static str {
        stdlib::ParseSyslog.usage()
    }

    fn category(&self) -> &'static str {
        stdlib::ParseSyslog.category()
    }

    fn return_kind(&self) -> u16 {
        stdlib::ParseSyslog.return_kind()
    }

    fn examples(&self) -> &'static [Example] {
        stdlib::ParseSyslog.examples()
    }

    fn parameters(&self) -> &'static [Parameter] {
        stdlib::ParseSyslog.parameters()
    }

    fn compile(
        &self,
        state: &TypeState,
        context: &mut FunctionCompileContext,
        arguments: ArgumentList,
    ) -> Compiled {
        let value = arguments.required("value");
        let typed = stdlib::ParseSyslog.compile(state, context, arguments)?;
        Ok(Box::new(Call { value, typed }))
    }
}

#[derive(Debug, Clone)]
struct Call {
    value: Box<dyn Expression>,
    /// The call of VRL's function, which knows the types of the result.
    typed: Box<dyn Expression>,
}

impl Expression for Call {
    fn resolve(&self, context: &mut Context<'_>) -> Resolved {
        let value = self.value.resolve(context)?;
        let text = value.try_bytes_utf8_lossy()?;
        let time = OwnedTargetPath::metadata_root().with_field_appended(metadata::TIMESTAMP);
        let time = match context.target().target_get(&time) {
            Ok(Some(Value::Timestamp(time))) => Some(*time),
            _ => None,
        };
        let no_year = std::cell::Cell::new(false);
        let year = |date| match time {
            Some(time) => year_of(date, time),
            None => {
                no_year.set(true);
                0
            }
        };
        let message = parse_message_with_year_exact_tz(&text, year, Some(Utc), Variant::Either)?;
        if no_year.get() {
            return Err(ExpressionError::from("the date has no year, and the record has no time"));
        }
        Ok(to_value(message))
    }

    fn type_info(&self, state: &TypeState) -> TypeInfo {
        self.typed.type_info(state)
    }
}

/// The year that brings a date closest to the record's time, to the month.
fn year_of((month, ..): IncompleteDate, time: DateTime<Utc>) -> i32 {
    let months_later = i64::from(month) - i64::from(time.month());
    match months_later {
        7.. => time.year() - 1,
        ..=-7 => time.year() + 1,
        _ => time.year(),
    }
}

fn to_value(message: Message<&str>) -> Value {
    let mut members = BTreeMap::from([("message", Value::from(message.msg))]);
    members.extend(message.hostname.map(|host| ("hostname", host.into())));
    members.extend(message.severity.map(|severity| ("severity", severity.as_str().into())));
    members.extend(message.facility.map(|facility| ("facility", facility.as_str().into())));
    if let Protocol::RFC5424(version) = message.protocol {
        members.insert("version", version.into());
    }
    members.extend(message.appname.map(|name| ("appname", name.into())));
    members.extend(message.msgid.map(|id| ("msgid", id.into())));
    members.extend(message.timestamp.map(|time| ("timestamp", time.to_utc().into())));
    members.extend(message.procid.map(|id| {
        (
            "procid",
            match id {
                ProcId::PID(id) => id.into(),
                ProcId::Name(name) => name.into(),
            },
        )
    }));
    for element in &message.structured_data {
        let params = element.params().map(|(name, value)| (KeyString::from(*name), value.into()));
        members.insert(element.id, params.collect());
    }
    members.into_iter().map(|(name, value)| (KeyString::from(name), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_year_brings_a_date_closest_to_the_records_time() {
        let year = |month, time: &str| year_of((month, 1, 0, 0, 0), time.parse().unwrap());
        assert_eq!(year(12, "2026-01-01T00:00:10Z"), 2025);
        assert_eq!(year(1, "2026-12-31T23:59:50Z"), 2027);
        assert_eq!(year(6, "2026-12-31T23:59:50Z"), 2026);
        assert_eq!(year(7, "2026-01-31T00:00:00Z"), 2026);
    }
}
