//! Errors of an invocation's event, with texts that show how to fix it.

use thiserror::Error;

/// What is wrong with the event, and how to fix it.
#[derive(Debug, Error)]
pub enum RequestError {
    /// The event does not have the documented form.
    #[error(
        "the event is not a replay request: {0}; give for example {{\"service\": \"order\", \"dry_run\": true}}"
    )]
    Form(#[source] serde_json::Error),
    /// `after` was not made by an earlier invocation.
    #[error("`after` is not the {0} of an earlier response's `next`: invoke with that `next`, unchanged")]
    After(&'static str),
    /// Without any condition, everything would be replayed.
    #[error(
        "the event names no dead letters: give `service`, `error_type`, `from`, `to` or `ids`, or `\"all\": true` for \
         every dead letter"
    )]
    NoCondition,
    /// `all` and a condition.
    #[error("the event has `\"all\": true` and `{0}`: leave one of them out")]
    AllWithCondition(&'static str),
    /// `s3` and a condition for dead letters.
    #[error("the event has `s3` and `{0}`: objects are replayed whole, invoke once for each")]
    ObjectsWithCondition(&'static str),
    /// A list without elements matches nothing, which is hardly meant.
    #[error("`{0}` is an empty list: leave it out, or name at least one")]
    EmptyList(&'static str),
    /// Neither a day nor a time.
    #[error(
        "`{name}` is `{text}`: give a day (2026-03-01), a time with its zone (2026-03-01T10:00:00Z), or one that counts \
         from now (now-2d)"
    )]
    Time {
        /// The member.
        name: &'static str,
        /// Its value.
        text: String,
    },
    /// A condition that only dead letters or only conflicts have.
    #[error("`{0}` is a condition for {1}: leave it out")]
    OtherCondition(&'static str, &'static str),
    /// A fix of `conflicts` without any condition.
    #[error(
        "the event names no conflicts to fix: give `service`, `field`, `index`, `from`, `to` or `ids`, or `\"all\": true` \
         for every one"
    )]
    NoConflictCondition,
    /// Neither one object nor a prefix.
    #[error("`s3` needs `bucket`, and either `key` (one object) or `prefix` (all below it)")]
    Objects,
}
