//! Measures the whole stack: events through Kafka, the poller and the deployed function into OpenSearch, compared with bulk
//! bodies of the same events that are built in advance and sent straight to the same OpenSearch. `make bench-e2e` starts a stack
//! for it.

#![expect(clippy::print_stdout, reason = "printing its figures is what a benchmark is for")]

use anyhow::Result;
use clap::Parser;
use event_pipeline::settings::Settings;
use integration_tests::live::backlog::index_backlog;
use integration_tests::live::flow::FlowOptions;
use integration_tests::live::prebuilt::{Prebuilt, median, send};
use integration_tests::live::world::{World, now_ms};
use reqwest::Method;

/// Compares indexing through the function with prebuilt bulk bodies.
#[derive(Parser)]
struct Arguments {
    /// Events in a round: enough for the rate of a steady stream, without its start and end.
    #[arg(long, default_value_t = 200_000)]
    events: usize,
    /// Measured rounds, each with both ways in turn; the result is the median of their ratios.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Connections for prebuilt bodies, and partitions of the topic: enough that OpenSearch never waits.
    #[arg(long, default_value_t = 6)]
    parallel: usize,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let world = World::ready().await?;
    let endpoint = &world.stack.search_endpoint;
    let options = FlowOptions {
        partitions: arguments.parallel.try_into()?,
        // As many as fit the payload's 6 MB.
        batch_size: 10_000,
        ..FlowOptions::default()
    };
    let flow = world.flow("bench", options).await?;
    let mut prebuilt = Prebuilt::new(Settings::default());
    let (mut straight_rates, mut function_rates, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    // The first round warms up the servers and the function and does not count.
    for round in 0..=arguments.rounds {
        empty(&world).await?;
        let bodies = prebuilt.bodies(arguments.events, now_ms)?;
        let straight_rate = send(endpoint, bodies, arguments.parallel).await?;
        empty(&world).await?;
        let function_rate = index_backlog(&world, arguments.events, |records| flow.publish(records)).await?;
        let ratio = function_rate / straight_rate;
        let name = if round == 0 { "warm-up".to_owned() } else { format!("round {round}") };
        println!(
            "{name}: prebuilt {straight_rate:.0} events/s, through the function {function_rate:.0}, ratio {ratio:.2}"
        );
        if round > 0 {
            straight_rates.push(straight_rate);
            function_rates.push(function_rate);
            ratios.push(ratio);
        }
    }
    flow.finish().await?;
    println!(
        "medians of {}: prebuilt {:.0} events/s, through the function {:.0}, ratio {:.2}",
        arguments.rounds,
        median(&straight_rates),
        median(&function_rates),
        median(&ratios),
    );
    Ok(())
}

/// Deletes the daily indices, so that every round starts the same: otherwise merges of one round's data slow the next.
async fn empty(world: &World) -> Result<()> {
    world.search.request(Method::DELETE, "microservices-*", None).await.map(drop)
}
