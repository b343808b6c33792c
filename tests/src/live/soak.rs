//! Random faults from a seed while events stream through the whole system, and the account at the end.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use fastrand::Rng;
use reqwest::Method;
use serde_json::json;

use crate::account::Account;
use crate::live::flow::{Flow, FlowOptions, Function, print_line};
use crate::live::poll::{Check, until};
use crate::live::proxy::{Fault, Proxy, Reached};
use crate::live::search::INDICES;
use crate::live::stack::{SecondPoller, Server};
use crate::live::stream::Stream;
use crate::live::world::World;

/// Longest time for the system to recover after the last fault.
const RECOVERY: Duration = Duration::from_secs(300);

/// The options of a soak.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long faults are injected.
    pub length: Duration,
    /// The same seed injects the same faults in the same order.
    pub seed: u64,
    /// Events a second.
    pub rate: u32,
}

/// The result of a soak.
#[derive(Debug)]
pub struct SoakResult {
    /// Events that Kafka accepted.
    pub sent: usize,
    /// Their outcomes.
    pub account: Account,
    /// Whether all offsets were committed in time.
    pub drained: Result<()>,
}

impl SoakResult {
    /// Returns the account if every event is indexed once.
    ///
    /// # Errors
    /// When one is not, or offsets were not committed in time.
    pub fn check(self) -> Result<Account> {
        let Self { sent, account, drained } = self;
        ensure!(account.is_complete(), "{account}");
        ensure!(account.records == sent, "{sent} events were published, but Kafka has {}", account.records);
        ensure!(account.indexed == sent, "every event should be indexed: {account}");
        drained.map(|()| account)
    }
}

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Strike {
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
    BreakResponses,
}

/// Faults that take little time come more often.
const STRIKES: [Strike; 19] = [
    Strike::KillPoller,
    Strike::KillPoller,
    Strike::RestartPoller,
    Strike::SecondPoller,
    Strike::SecondPoller,
    Strike::KillFunction,
    Strike::KillFunction,
    Strike::HangFunction,
    Strike::ReplaceFunction,
    Strike::KillOpenSearch,
    Strike::StopOpenSearch,
    Strike::BlockIndices,
    Strike::BlockIndices,
    Strike::KillKafka,
    Strike::RestartKafka,
    Strike::BreakResponses,
    Strike::BreakResponses,
    Strike::BreakResponses,
    Strike::BreakResponses,
];

/// Broken responses. Slow ones take longer than the function's timeout allows.
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

/// Injects random faults while events flow, prints each, and returns the account.
///
/// # Errors
/// When a fault can't be injected or the stack does not recover. The outcome of the events is in the result.
pub async fn run(world: World, options: Options) -> Result<SoakResult> {
    print_line(&format!(
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
    let mut counts: BTreeMap<Strike, usize> = BTreeMap::new();
    while started.elapsed() < options.length {
        let strike = *soak.rng.choice(&STRIKES).unwrap_or(&Strike::KillPoller);
        print_line(&format!("{:>6} s  {strike:?}", started.elapsed().as_secs()))?;
        soak.inject(strike).await?;
        *counts.entry(strike).or_default() += 1;
        // Some faults come during the recovery from the last one, some after it.
        if soak.rng.bool() {
            soak.wait_for_progress().await?;
        }
    }
    if let Some(second) = soak.second.take() {
        second.stop().await?;
    }
    let sent = stream.stop().await?;
    let elapsed = started.elapsed().as_secs();
    print_line(&format!("{elapsed:>6} s  {sent} events published; waiting until all are committed"))?;
    let drained = soak.flow.drained(RECOVERY).await;
    let account = soak.flow.account().await?;
    let counted: Vec<String> = counts.iter().map(|(strike, count)| format!("{strike:?} {count}")).collect();
    let (injected, passed) = soak.proxy.injected();
    print_line(&format!("{} faults: {}", counts.values().sum::<usize>(), counted.join(", ")))?;
    print_line(&format!("{} responses broken, {passed} passed", injected.len()))?;
    print_line(&account.to_string())?;
    soak.flow.finish().await?;
    Ok(SoakResult { sent, account, drained })
}

struct Soak {
    world: World,
    proxy: Proxy,
    flow: Flow,
    second: Option<SecondPoller>,
    rng: Rng,
}

impl Soak {
    async fn inject(&mut self, strike: Strike) -> Result<()> {
        let stack = self.world.stack.clone();
        match strike {
            Strike::KillPoller => self.restart(Server::Poller, Stop::Kill).await,
            Strike::RestartPoller => self.restart(Server::Poller, Stop::Terminate).await,
            Strike::KillOpenSearch => self.restart(Server::OpenSearch, Stop::Kill).await,
            Strike::StopOpenSearch => self.restart(Server::OpenSearch, Stop::Terminate).await,
            Strike::KillKafka => self.restart(Server::Kafka, Stop::Kill).await,
            Strike::RestartKafka => self.restart(Server::Kafka, Stop::Terminate).await,
            Strike::SecondPoller => match self.second.take() {
                Some(second) => second.stop().await,
                None => {
                    let log = stack.log_folder()?.join("soak-second-poller.log");
                    self.second = Some(stack.second_poller(&log).await?);
                    Ok(())
                }
            },
            Strike::KillFunction => stack.kill_function(&self.flow.function).await.map(drop),
            Strike::HangFunction => stack.hang_function(&self.flow.function).await.map(drop),
            Strike::ReplaceFunction => self.world.lambda.update_code(&self.flow.function).await,
            Strike::BlockIndices => self.block_indices().await,
            Strike::BreakResponses => {
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
            Stop::Terminate => self.world.stack.stop(server).await?,
        }
        self.world.stack.start(server).await
    }

    async fn block_indices(&mut self) -> Result<()> {
        let block = |value| json!({"index.blocks.write": value});
        let path = format!("{INDICES}/_settings");
        self.world.search.request(Method::PUT, &path, Some(&block(json!(true)))).await?;
        let seconds = self.rng.u64(1..8);
        // The duration of the block is the fault itself.
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        self.world.search.request(Method::PUT, &path, Some(&block(json!(null)))).await.map(drop)
    }

    async fn wait_for_progress(&self) -> Result<()> {
        let before = self.world.search.count_topic(&self.flow.topic).await?;
        let more = self.flow.wait_for_documents(before + 1, RECOVERY).await?;
        ensure!(more > before, "documents keep coming");
        until("the lag to shrink", RECOVERY, async || {
            let lag = self.flow.lag()?;
            Ok(Check::at(lag < 5_000, || format!("{lag} records behind")))
        })
        .await
    }
}

/// How a server is stopped.
#[derive(Clone, Copy)]
enum Stop {
    /// With SIGKILL.
    Kill,
    /// With SIGTERM.
    Terminate,
}
