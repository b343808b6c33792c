//! The start of a function's process.

use std::process::ExitCode;

use tracing::error;

use crate::telemetry::init_logs;

/// Gives an environment variable's text by its name.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Starts logging and runs a function until its environment ends; what keeps it from starting is logged.
pub async fn start(run: impl Future<Output = Result<(), lambda_runtime::Error>>) -> ExitCode {
    init_logs(variable("AWS_LAMBDA_LOG_LEVEL").or_else(|| variable("RUST_LOG")).as_deref());
    match run.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            error!(reason = %reason, "function could not start");
            ExitCode::FAILURE
        }
    }
}
