//! Logs: one line of JSON each on standard output, as in Lambda's JSON log format.

use tracing::Level;
use tracing_subscriber::fmt;

/// Starts logging at `level`, the text of `AWS_LAMBDA_LOG_LEVEL` or `RUST_LOG`; at info if it is not a level.
///
/// <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-logformat.html>
pub fn init_logs(level: Option<&str>) {
    let level = level.and_then(|text| text.parse::<Level>().ok()).unwrap_or(Level::INFO);
    // Err means that a test has set a subscriber of its own.
    let _ = fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_target(false)
        .with_max_level(level)
        .try_init();
}
