//! The function's `bootstrap`: reads the configuration, creates the clients once, and serves invocations.

use std::process::ExitCode;
use std::sync::Arc;

use indexing::config::Config;
use indexing::rules::with_rules;
use lambda_runtime::{LambdaEvent, Runtime, service_fn};
use lambda_support::payload::{Payload, PayloadLayer};
use lambda_support::role::role_services;
use lambda_support::start::start;
use lambda_support::variables::variable;
#[cfg(not(feature = "vrl"))]
use pipeline_file::WithoutScripts as Compiler;
use replay_dead_letters::handler::Handler;
use replay_dead_letters::s3::S3Config;
#[cfg(feature = "vrl")]
use vrl_transform::VrlCompiler as Compiler;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    start(run()).await
}

async fn run() -> Result<(), lambda_runtime::Error> {
    let config = Config::parse(&variable)?;
    let secrets = role_services(&variable);
    let config = with_rules(config, &Compiler::default(), secrets.as_ref()).await?;
    let client = config.search.connect(&secrets).await?;
    let registry = match &config.registry {
        Some(registry) => Some(Arc::new(registry.connect(&secrets).await?)),
        None => None,
    };
    // Calls to S3 are signed with the role's credentials, which stay the same for the life of an execution environment.
    let objects = S3Config::read(&variable).connect()?;
    let name = variable("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default();
    let handler = Arc::new(Handler::new(client, objects, config, name).with_registry(registry));
    let service = service_fn(move |event: LambdaEvent<Payload>| {
        let handler = Arc::clone(&handler);
        async move { handler.handle(&event.payload.0, event.context.deadline).await }
    });
    Runtime::new(service).layer(PayloadLayer).run().await
}
