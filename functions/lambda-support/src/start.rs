//! The start of a function's process.

use std::process::ExitCode;

use tracing::error;

use crate::logs::init_logs;
use crate::variables::variable;

/// Starts logging and runs a function until its execution environment ends. Logs why a function could not start.
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
