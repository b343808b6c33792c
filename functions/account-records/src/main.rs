//! The function's `bootstrap`: reads the configuration, creates the clients once, and serves invocations.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use account_records::config::AccountConfig;
use account_records::handler::Handler;
use kafka_to_search::aws_api::Aws;
use kafka_to_search::msk_iam::MskIam;
use kafka_to_search::variables::VariableTexts;
use lambda_runtime::{LambdaEvent, Runtime, service_fn};
use lambda_support::payload::{Payload, PayloadLayer};
use lambda_support::role::role_services;
use lambda_support::start::start;
use lambda_support::variables::variable;

/// Longer than most refresh intervals: until then, what is written need not be found.
const CONFIRM_AFTER: Duration = Duration::from_secs(60);

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    start(run()).await
}

async fn run() -> Result<(), lambda_runtime::Error> {
    let pair = |(name, text): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, text.into_string().ok()?))
    };
    let all: VariableTexts = std::env::vars_os().filter_map(pair).collect();
    let config = AccountConfig::parse(&all)?;
    let (aws, secrets) = (Aws::new(variable)?, role_services(&variable));
    let text = |name: &str| variable(name).unwrap_or_default();
    let iam = MskIam::new(
        &text("AWS_ACCESS_KEY_ID"),
        &text("AWS_SECRET_ACCESS_KEY"),
        variable("AWS_SESSION_TOKEN").as_deref(),
        &text("AWS_REGION"),
    );
    let name = text("AWS_LAMBDA_FUNCTION_NAME");
    let handler = Arc::new(Handler::new(config, aws, iam, secrets, name, CONFIRM_AFTER));
    let service = service_fn(move |event: LambdaEvent<Payload>| {
        let handler = Arc::clone(&handler);
        async move { handler.handle(&event.payload.0, event.context.deadline).await }
    });
    Runtime::new(service).layer(PayloadLayer).run().await
}
