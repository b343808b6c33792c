//! Random faults from a seed while events stream through the whole system, and the account at the end.

mod injector;
mod nodes;
mod strike;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use fastrand::Rng;

use self::injector::Injector;
use self::strike::Strike;
use crate::account::Account;
use crate::live::flow::{FlowOptions, Function, print_line};
use crate::live::poll::{Check, until};
use crate::live::proxy::Proxy;
use crate::live::stream::{Published, Stream};
use crate::live::world::World;

/// Longest time for the system to recover after the last fault.
const RECOVERY: Duration = Duration::from_secs(300);

/// What the faults are injected into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Servers {
    /// One broker and one search node.
    Single,
    /// Three brokers and three search nodes.
    Clusters,
}

impl Servers {
    fn strikes(self) -> &'static [Strike] {
        match self {
            Self::Single => &strike::SINGLE,
            Self::Clusters => &strike::CLUSTERS,
        }
    }
}

/// The options of a soak.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The servers of the stack.
    pub servers: Servers,
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
    /// The events that were sent to Kafka.
    pub published: Published,
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
        let Self { published, account, drained } = self;
        ensure!(account.is_complete(), "{account}");
        ensure!(published.allows(account.records), "{published:?}, but Kafka has {}", account.records);
        ensure!(account.indexed == account.records, "every event should be indexed: {account}");
        drained.map(|()| account)
    }
}

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
    // The function has the URLs of all nodes. The proxy is in front of the first one.
    let proxy = Proxy::start(&world.stack.search_endpoint).await?;
    let others = world.stack.search_endpoints.iter().skip(1).cloned();
    let endpoints = std::iter::once(proxy.endpoint()).chain(others).collect::<Vec<_>>().join(",");
    let flow_options = FlowOptions {
        partitions: 4,
        function: Function::Own(&[("SEARCH_ENDPOINT", &endpoints)], 20),
        batch_size: 50,
        ..FlowOptions::default()
    };
    let flow = world.flow("soak", flow_options).await?;
    let stream = Stream::start(&world, &flow, options.rate)?;
    let mut injector = Injector { world, proxy, flow, second: None, rng: Rng::with_seed(options.seed) };

    let started = Instant::now();
    let mut strikes = Vec::new();
    let mut counts: BTreeMap<Strike, usize> = BTreeMap::new();
    while started.elapsed() < options.length {
        if strikes.is_empty() {
            // Each comes once, or as often as it is listed, before any comes again.
            strikes = options.servers.strikes().to_vec();
            injector.rng.shuffle(&mut strikes);
        }
        let strike = strikes.pop().context("there are strikes")?;
        print_line(&format!("{:>6} s  {strike:?}", started.elapsed().as_secs()))?;
        injector.inject(strike).await?;
        *counts.entry(strike).or_default() += 1;
        // Some faults come during the recovery from the last one, some after it.
        if injector.rng.bool() {
            wait_for_progress(&injector).await?;
        }
    }
    if let Some(second) = injector.second.take() {
        second.stop().await?;
    }
    let published = stream.stop_counting().await?;
    let elapsed = started.elapsed().as_secs();
    print_line(&format!("{elapsed:>6} s  {published:?}; waiting until all are committed"))?;
    let drained = injector.flow.drained(RECOVERY).await;
    if options.servers == Servers::Clusters {
        injector.world.search.wait_for_green().await?;
    }
    let account = injector.flow.account().await?;
    let counted: Vec<String> = counts.iter().map(|(strike, count)| format!("{strike:?} {count}")).collect();
    let (injected, passed) = injector.proxy.injected();
    print_line(&format!("{} faults: {}", counts.values().sum::<usize>(), counted.join(", ")))?;
    print_line(&format!("{} responses broken, {passed} passed", injected.len()))?;
    print_line(&account.to_string())?;
    injector.flow.finish().await?;
    Ok(SoakResult { published, account, drained })
}

async fn wait_for_progress(injector: &Injector) -> Result<()> {
    let flow = &injector.flow;
    // The first attempts to count may go to shards whose node has just died.
    let before = flow.wait_for_documents(0, RECOVERY).await?;
    let more = flow.wait_for_documents(before + 1, RECOVERY).await?;
    ensure!(more > before, "documents keep coming");
    until("the lag to shrink", RECOVERY, async || {
        let lag = flow.lag()?;
        Ok(Check::at(lag < 5_000, || format!("{lag} records behind")))
    })
    .await
}
