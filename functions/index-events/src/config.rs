//! The function's configuration: the table "Configuration" in docs/CONFIGURATION.md.

use lambda_support::variables::{ConfigError, Variables};

/// How records that could not be written are returned to the event source mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchFailures {
    /// A failed record makes the invocation an error: right with and without `ReportBatchItemFailures`.
    Error,
    /// Failed records are listed in a partial batch response: right only with `ReportBatchItemFailures`. Without it the
    /// mapping takes the response for a success.
    Report,
}

/// All settings of the function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// How records are indexed.
    pub indexing: indexing::config::Config,
    /// How failed records are reported.
    pub batch_failures: BatchFailures,
}

impl Config {
    /// Reads the configuration by `lookup`, which returns a variable's text by its name.
    ///
    /// # Errors
    /// [`ConfigError`] with every bad variable.
    pub fn parse(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut variables = Variables::new(lookup);
        let batch_failures = variables.one_of_or(
            "BATCH_FAILURES",
            BatchFailures::Error,
            &[("error", BatchFailures::Error), ("report", BatchFailures::Report)],
        );
        let indexing = indexing::config::Config::read(&mut variables);
        variables.finish(indexing.map(|indexing| Self { indexing, batch_failures }))
    }
}

#[cfg(test)]
mod tests {
    use testing::environment::lookup;

    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::parse(&lookup(pairs.iter().copied()))
    }

    #[test]
    fn failed_records_make_the_invocation_an_error_unless_a_report_is_asked_for() {
        let endpoint = ("SEARCH_ENDPOINT", "http://localhost:9200");
        assert_eq!(parse(&[endpoint]).unwrap().batch_failures, BatchFailures::Error);
        let config = parse(&[endpoint, ("BATCH_FAILURES", "report")]).unwrap();
        assert_eq!(config.batch_failures, BatchFailures::Report);
    }

    #[test]
    fn bad_variables_of_both_parts_are_reported_at_once() {
        let error = parse(&[("BATCH_FAILURES", "maybe"), ("INDEX_PREFIX", "Foo")]).unwrap_err();
        let named: Vec<_> = error.0.iter().map(|problem| problem.split(':').next().unwrap()).collect();
        assert_eq!(named, ["BATCH_FAILURES", "INDEX_PREFIX", "SEARCH_ENDPOINT"]);
    }
}
