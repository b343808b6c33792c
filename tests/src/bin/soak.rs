//! Random faults for a while, from a seed, on a stream of events through the whole system; ends with the account.
#![expect(clippy::print_stdout, reason = "a run of minutes tells what it does")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Parser;
use fastrand::Rng;
use integration_tests::flow::{Flow, FlowOptions, Function, World};
use integration_tests::poll::{Look, until};
use integration_tests::proxy::{Fault, Proxy, Reached};
use integration_tests::search::INDICES;
use integration_tests::stack::{SecondPoller, Server};
use integration_tests::stream::Stream;
use reqwest::Method;
use serde_json::json;

/// Longest wait for the system to come to rest after the last fault.
const RECOVERY: Duration = Duration::from_secs(300);

/// Strikes a stack with random faults while events flow, and keeps the account.
#[derive(Parser)]
struct Arguments {
    /// How long faults go on.
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// The same seed gives the same faults in the same order.
    #[arg(long)]
    seed: Option<u64>,
    /// Events a second.
    #[arg(long, default_value_t = 100)]
    rate: u32,
}

/// What can happen.
#[derive(Clone, Copy, Debug)]
enum Event {
    KillPoller,
    RestartPoller,
    SecondPoller,
    KillFunction,
    ReplaceFunction,
    KillOpenSearch,
    StopOpenSearch,
    BlockIndices,
    KillKafka,
    RestartKafka,
    BreakAnswers,
}

/// The faults that cost little come more often.
const EVENTS: [Event; 18] = [
    Event::KillPoller,
    Event::KillPoller,
    Event::RestartPoller,
    Event::SecondPoller,
    Event::SecondPoller,
    Event::KillFunction,
    Event::KillFunction,
    Event::ReplaceFunction,
    Event::KillOpenSearch,
    Event::StopOpenSearch,
    Event::BlockIndices,
    Event::BlockIndices,
    Event::KillKafka,
    Event::RestartKafka,
    Event::BreakAnswers,
    Event::BreakAnswers,
    Event::BreakAnswers,
    Event::BreakAnswers,
];

/// The faults of answers. Slow ones are slower than the function may wait.
const FAULTS: [(Fault, Reached); 10] = [
    (Fault::Reset, Reached::Written),
    (Fault::Reset, Reached::NotWritten),
    (Fault::CutShort, Reached::Written),
    (Fault::CutShort, Reached::NotWritten),
    (Fault::NotJson, Reached::NotWritten),
    (Fault::WrongItemCount, Reached::NotWritten),
    (Fault::Status(503), Reached::Written),
    (Fault::Status(429), Reached::NotWritten),
    (Fault::Slow(15_000), Reached::Written),
    (Fault::Silence, Reached::NotWritten),
];

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..));
    println!("soak: {} minutes, --seed {seed}", arguments.minutes);
    let world = World::ready().await?;
    let proxy = Proxy::start(&world.stack.search_endpoint).await?;
    let endpoint = proxy.endpoint();
    let options = FlowOptions {
        partitions: 4,
        function: Function::Own(&[("SEARCH_ENDPOINT", &endpoint)], 20),
        batch_size: 50,
        ..FlowOptions::default()
    };
    let flow = world.flow("soak", options).await?;
    let stream = Stream::start(&world, &flow, arguments.rate)?;
    let mut soak = Soak { world, proxy, flow, second: None, rng: Rng::with_seed(seed) };

    let started = Instant::now();
    let mut n_events = 0;
    while started.elapsed() < Duration::from_secs(60 * arguments.minutes) {
        let event = *soak.rng.choice(&EVENTS).unwrap_or(&Event::KillPoller);
        println!("{:>5} s  {event:?}", started.elapsed().as_secs());
        soak.strike(event).await?;
        n_events += 1;
        // Some faults strike while the last one is not mended yet, some when all is well again.
        if soak.rng.bool() {
            soak.wait_for_progress().await?;
        }
    }
    if let Some(second) = soak.second.take() {
        second.stop().await?;
    }
    let sent = stream.stop().await?;
    println!(
        "{:>5} s  {n_events} faults, {sent} events published; waiting for the end",
        started.elapsed().as_secs()
    );
    let drained = soak.flow.drained(RECOVERY).await;
    let account = soak.flow.account().await?;
    let (injected, passed) = soak.proxy.injected();
    println!("{} answers broken, {passed} passed", injected.len());
    println!("{account}");
    let whole = account.is_whole() && account.records == sent;
    drained?;
    soak.flow.finish().await?;
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

struct Soak {
    world: World,
    proxy: Proxy,
    flow: Flow,
    second: Option<SecondPoller>,
    rng: Rng,
}

impl Soak {
    async fn strike(&mut self, event: Event) -> Result<()> {
        let stack = self.world.stack.clone();
        match event {
            Event::KillPoller => self.restart(Server::Poller, Stop::Kill).await,
            Event::RestartPoller => self.restart(Server::Poller, Stop::Ask).await,
            Event::KillOpenSearch => self.restart(Server::OpenSearch, Stop::Kill).await,
            Event::StopOpenSearch => self.restart(Server::OpenSearch, Stop::Ask).await,
            Event::KillKafka => self.restart(Server::Kafka, Stop::Kill).await,
            Event::RestartKafka => self.restart(Server::Kafka, Stop::Ask).await,
            Event::SecondPoller => match self.second.take() {
                Some(second) => second.stop().await,
                None => {
                    let log = stack.log_folder()?.join("soak-second-poller.log");
                    self.second = Some(stack.second_poller(&log).await?);
                    Ok(())
                }
            },
            Event::KillFunction => stack.kill_function(&self.flow.function).await.map(drop),
            Event::ReplaceFunction => self.world.lambda.update_code(&self.flow.function).await,
            Event::BlockIndices => self.block_indices().await,
            Event::BreakAnswers => {
                let count = self.rng.usize(1..6);
                let faults: Vec<_> = (0..count).filter_map(|_| self.rng.choice(FAULTS)).collect();
                self.proxy.plan(faults);
                Ok(())
            }
        }
    }

    async fn restart(&mut self, server: Server, stop: Stop) -> Result<()> {
        match stop {
            Stop::Kill => self.world.stack.kill(server).await?,
            Stop::Ask => self.world.stack.stop(server).await?,
        }
        self.world.stack.start(server).await
    }

    async fn block_indices(&mut self) -> Result<()> {
        let block = |value| json!({"index.blocks.write": value});
        let path = format!("{INDICES}/_settings");
        self.world.search.request(Method::PUT, &path, Some(&block(json!(true)))).await?;
        let seconds = self.rng.u64(1..8);
        // The block's length is the fault itself.
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        self.world.search.request(Method::PUT, &path, Some(&block(json!(null)))).await.map(drop)
    }

    async fn wait_for_progress(&self) -> Result<()> {
        let before = self.world.search.count_topic(&self.flow.topic).await?;
        let more = self.flow.wait_for_documents(before + 1, RECOVERY).await?;
        ensure!(more > before, "documents go on coming");
        until("the lag to shrink", RECOVERY, async || {
            let lag = self.flow.lag()?;
            Ok(Look::at(lag < 5_000, || format!("{lag} records behind")))
        })
        .await
    }
}

/// How a server ends.
#[derive(Clone, Copy)]
enum Stop {
    /// With SIGKILL.
    Kill,
    /// As it is asked to.
    Ask,
}
