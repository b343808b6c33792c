//! The function's `bootstrap`: reads the configuration, creates the clients once, and serves invocations.

use std::process::ExitCode;
use std::sync::Arc;

use index_events::config::Config;
use index_events::handler::Handler;
use indexing::rules::with_rules;
use lambda_runtime::{LambdaEvent, Runtime, service_fn};
use lambda_support::payload::{Payload, PayloadLayer};
use lambda_support::role::role_services;
use lambda_support::start::start;
use lambda_support::variables::variable;
#[cfg(not(feature = "vrl"))]
use pipeline_file::WithoutScripts as Compiler;
#[cfg(feature = "vrl")]
use vrl_transform::VrlCompiler as Compiler;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    start(run()).await
}

async fn run() -> Result<(), lambda_runtime::Error> {
    let mut config = Config::parse(&variable)?;
    let secrets = role_services(&variable);
    config.indexing = with_rules(config.indexing, &Compiler::default(), secrets.as_ref()).await?;
    let client = config.indexing.search.connect(&secrets).await?;
    let registry = match &config.indexing.registry {
        Some(registry) => Some(Arc::new(registry.connect(&secrets).await?)),
        None => None,
    };
    let name = variable("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default();
    let handler = Arc::new(Handler::new(client, registry, config, name));
    let service = service_fn(move |event: LambdaEvent<Payload>| {
        let handler = Arc::clone(&handler);
        async move { handler.handle(&event.payload.0, event.context.deadline).await }
    });
    Runtime::new(service).layer(PayloadLayer).run().await
}
