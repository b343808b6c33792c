//! Says in words what keeps records from being done, and what ends it: errors of invocations, of brokers, of destinations.

use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use crate::aws::CallError;
use crate::causes::with_causes;
use crate::destination::DestinationError;
use crate::stall::{ClientProblem, Obstacle};

/// As much of an error's text as a sentence takes.
const LONGEST_DETAIL: usize = 300;

/// A function that was not invoked.
#[must_use]
pub fn not_invoked(function: &str, error: &CallError) -> Obstacle {
    let status = match error {
        CallError::Refused { status, .. } => status.as_u16(),
        _ => 0,
    };
    let fix = match status {
        404 => "Deploy the function, or correct the mapping's function.",
        403 => "Check the poller's credentials.",
        429 => "The function is throttled: raise its concurrency, or let others finish.",
        400..=499 => "Correct what the Lambda API names.",
        500..=599 => "The Lambda API fails: its log says why. The invocation is repeated.",
        _ => "Start the Lambda API (LocalStack), or check the endpoint. The invocation is repeated.",
    };
    Obstacle { what: format!("{function} is not invoked: {}", short(&with_causes(error))), fix }
}

/// A function that failed, with its error as Lambda returned it.
#[must_use]
pub fn failed(function: &str, function_error: &str, response: &str) -> Obstacle {
    let what = format!("{function} fails ({function_error}): {}", short(response));
    Obstacle { what, fix: "Its log says why. The records are delivered again until it succeeds." }
}

/// A response that fails the whole batch.
#[must_use]
pub fn malformed(function: &str, error: &str) -> Obstacle {
    let what = format!("{function} returns what counts as a failure: {}", short(error));
    Obstacle {
        what,
        fix: "Correct the function's partial batch response, or the mapping's FunctionResponseTypes.",
    }
}

/// A function that reports the same records as failed.
#[must_use]
pub fn reported(function: &str, n_failures: usize) -> Obstacle {
    let records = if n_failures == 1 { "record" } else { "records" };
    let what = format!("{function} reports {n_failures} failed {records}");
    Obstacle { what, fix: "Its log says why. The records are delivered again until it succeeds." }
}

/// A destination that takes no records.
#[must_use]
pub fn refused(error: &DestinationError) -> Obstacle {
    let what = format!("the on-failure destination takes no records: {}", short(&with_causes(error)));
    Obstacle { what, fix: "Correct the destination. The records wait, and are sent to it again." }
}

/// Offsets that the broker did not take.
#[must_use]
pub fn not_committed(error: &KafkaError) -> Obstacle {
    let what = format!("offsets can't be committed: {}", short(&error.to_string()));
    Obstacle {
        what,
        fix: "See whether the brokers run and let the consumer group commit. The commit is repeated.",
    }
}

/// An error of the Kafka client, and how much it stands in the way.
#[must_use]
pub fn client(error: &KafkaError, reason: &str) -> (ClientProblem, Obstacle) {
    let (problem, fix) = match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::TopicAuthorizationFailed) => (
            ClientProblem::UntilProgress,
            "Give the mapping's user the rights to read and describe the topic.",
        ),
        Some(RDKafkaErrorCode::GroupAuthorizationFailed) => {
            (ClientProblem::UntilProgress, "Give the mapping's user the right to read as the consumer group.")
        }
        Some(RDKafkaErrorCode::SaslAuthenticationFailed | RDKafkaErrorCode::Authentication) => {
            (ClientProblem::WhileRepeated, "Correct the secret in the mapping's SourceAccessConfigurations.")
        }
        Some(RDKafkaErrorCode::AllBrokersDown) => {
            (ClientProblem::WhileRepeated, "Start the brokers, or correct their addresses in the mapping.")
        }
        _ => (ClientProblem::Reason, "See whether the brokers run. The client connects again by itself."),
    };
    let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    (problem, Obstacle { what: short(&format!("{error}{reason}")), fix })
}

fn short(text: &str) -> String {
    let mut short: String = text.chars().take(LONGEST_DETAIL).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn refused_with(status: StatusCode) -> Obstacle {
        let (code, message) = ("Code".to_owned(), "text".to_owned());
        not_invoked("f", &CallError::Refused { service: "lambda".to_owned(), status, code, message })
    }

    #[test]
    fn what_keeps_a_function_from_being_invoked_says_what_ends_it() {
        let missing = refused_with(StatusCode::NOT_FOUND);
        assert_eq!(missing.what, "f is not invoked: lambda returned 404 Not Found Code: text");
        assert!(missing.fix.contains("Deploy the function"));
        assert!(refused_with(StatusCode::TOO_MANY_REQUESTS).fix.contains("throttled"));
        assert!(refused_with(StatusCode::BAD_GATEWAY).fix.contains("its log"));
    }

    #[test]
    fn lost_rights_stand_in_the_way_of_all_reading_and_a_broker_alone_does_not() {
        let of = |code| client(&KafkaError::Global(code), "").0;
        assert_eq!(of(RDKafkaErrorCode::TopicAuthorizationFailed), ClientProblem::UntilProgress);
        assert_eq!(of(RDKafkaErrorCode::GroupAuthorizationFailed), ClientProblem::UntilProgress);
        assert_eq!(of(RDKafkaErrorCode::AllBrokersDown), ClientProblem::WhileRepeated);
        assert_eq!(of(RDKafkaErrorCode::BrokerTransportFailure), ClientProblem::Reason);
    }

    #[test]
    fn a_long_error_is_cut() {
        let obstacle = failed("f", "Unhandled", &"é".repeat(1_000));
        assert_eq!(obstacle.what.chars().count(), "f fails (Unhandled): ".len() + LONGEST_DETAIL + 1);
    }
}
