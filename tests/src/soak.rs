//! Random faults for a while, from a seed, on a stream of events through the whole system; ends with the account.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use fastrand::Rng;
use reqwest::Method;
use serde_json::json;

use crate::account::Account;
use crate::flow::{Flow, FlowOptions, Function, World, say};
use crate::poll::{Look, until};
use crate::proxy::{Fault, Proxy, Reached};
use crate::search::INDICES;
use crate::stack::{SecondPoller, Server};
use crate::stream::Stream;

/// Longest wait for the system to come to rest after the last fault.
const RECOVERY: Duration = Duration::from_secs(300);

/// What a soak is to do.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long faults go on.
    pub length: Duration,
    /// The same seed gives the same faults in the same order.
    pub seed: u64,
    /// Events a second.
    pub rate: u32,
}

/// How a soak ended.
#[derive(Debug)]
pub struct Ended {
    /// Events that Kafka took.
    pub sent: usize,
    /// What became of them.
    pub account: Account,
    /// Whether all offsets were committed in time.
    pub drained: Result<()>,
}

impl Ended {
    /// Says what is not right.
    ///
    /// # Errors
    /// When something is not.
    pub fn check(self) -> Result<Account> {
        let Self { sent, account, drained } = self;
        ensure!(account.is_whole(), "{account}");
        ensure!(account.records == sent, "{sent} events were published, but Kafka has {}", account.records);
        ensure!(account.indexed == sent, "all events can be indexed, but {account}");
        drained.map(|()| account)
    }
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    KillPoller,
    RestartPoller,
    SecondPoller,
    KillFunction,
    HangFunction,
    ReplaceFunction,
    KillOpenSearch,
    StopOpenSearch,
    BlockIndices,
    KillKafka,
    RestartKafka,
    BreakAnswers,
}

/// The faults that cost little come more often.
const EVENTS: [Event; 19] = [
    Event::KillPoller,
    Event::KillPoller,
    Event::RestartPoller,
    Event::SecondPoller,
    Event::SecondPoller,
    Event::KillFunction,
    Event::KillFunction,
    Event::HangFunction,
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

/// Strikes a stack with random faults while events flow, tells what it does, and gives the account.
///
/// # Errors
/// When the stack can't be struck or does not come back; what became of the events is in the result.
pub async fn run(world: World, options: Options) -> Result<Ended> {
    say(&format!(
        "soak: {} s, {} events a second, seed {}",
        options.length.as_secs(),
        options.rate,
        options.seed
    ))?;
    let proxy = Proxy::start(&world.stack.search_endpoint).await?;
    let endpoint = proxy.endpoint();
    let flow_options = FlowOptions {
        partitions: 4,
        function: Function::Own(&[("SEARCH_ENDPOINT", &endpoint)], 20),
        batch_size: 50,
        ..FlowOptions::default()
    };
    let flow = world.flow("soak", flow_options).await?;
    let stream = Stream::start(&world, &flow, options.rate)?;
    let mut soak = Soak { world, proxy, flow, second: None, rng: Rng::with_seed(options.seed) };

    let started = Instant::now();
    let mut counts: BTreeMap<Event, usize> = BTreeMap::new();
    while started.elapsed() < options.length {
        let event = *soak.rng.choice(&EVENTS).unwrap_or(&Event::KillPoller);
        say(&format!("{:>6} s  {event:?}", started.elapsed().as_secs()))?;
        soak.strike(event).await?;
        *counts.entry(event).or_default() += 1;
        // Some faults strike while the last one is not mended yet, some when all is well again.
        if soak.rng.bool() {
            soak.wait_for_progress().await?;
        }
    }
    if let Some(second) = soak.second.take() {
        second.stop().await?;
    }
    let sent = stream.stop().await?;
    let elapsed = started.elapsed().as_secs();
    say(&format!("{elapsed:>6} s  {sent} events published; waiting until all are settled"))?;
    let drained = soak.flow.drained(RECOVERY).await;
    let account = soak.flow.account().await?;
    let told: Vec<String> = counts.iter().map(|(event, count)| format!("{event:?} {count}")).collect();
    let (injected, passed) = soak.proxy.injected();
    say(&format!("{} faults: {}", counts.values().sum::<usize>(), told.join(", ")))?;
    say(&format!("{} answers broken, {passed} passed", injected.len()))?;
    say(&account.to_string())?;
    soak.flow.finish().await?;
    Ok(Ended { sent, account, drained })
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
            Event::HangFunction => stack.hang_function(&self.flow.function).await.map(drop),
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
