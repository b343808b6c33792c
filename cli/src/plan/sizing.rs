//! What a load needs: settings of the mappings and the function, partitions, and the cluster.

use serde::Serialize;

use super::figures::Figures;
use super::load::Load;

/// Batch size and window of the template's preset `balanced`.
const BATCH_SIZE: f64 = 5000.0;
const WINDOW_SECONDS: f64 = 1.0;
/// What an invocation takes besides its events.
const INVOCATION_SECONDS: f64 = 0.005;
/// Share of the cluster's CPU that indexing may take at the peak. The rest is for searches and merges.
const INDEXING_SHARE: f64 = 0.7;
/// Size of a shard that searches and recoveries bear: 10 to 50 GB.
/// <https://docs.aws.amazon.com/opensearch-service/latest/developerguide/bp-sharding.html>
const SHARD_BYTES: f64 = 30e9;
/// Share of the disks that may be full, below the low watermark of 85%.
const DISK_SHARE: f64 = 0.8;
/// Values that the template allows for MinimumPollers and MaximumPollers.
const MINIMUM_POLLERS: [u32; 8] = [1, 2, 5, 10, 20, 50, 100, 200];
const MAXIMUM_POLLERS: [u32; 11] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000];
/// Partitions that Kafka should have in reserve, since one that gets more than its share must keep up too.
const PARTITIONS_RESERVE: f64 = 1.5;

/// What is fixed besides the load.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Choices {
    /// The function's memory in MB.
    pub memory: u32,
    /// Copies of a document besides its first.
    pub replicas: u32,
    /// Days after which indices are deleted.
    pub retention_days: u32,
    /// Partitions of all topics together, if they can't be chosen.
    pub partitions: Option<u32>,
}

/// What a load needs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sizing {
    /// Events of a full batch.
    pub batch_events: f64,
    /// Seconds that an invocation with a full batch takes.
    pub batch_seconds: f64,
    /// Invocations a second, on average and at the peak.
    pub invocations: Pair,
    /// Invocations at once.
    pub concurrency: Pair,
    /// GB-seconds of the function a second, on average.
    pub gb_seconds: f64,
    /// Event pollers of one topic in provisioned mode.
    pub pollers: Pair,
    /// Event poller units of all topics in one poller group.
    pub units: Pair,
    /// `MinimumPollers` and `MaximumPollers` of the template.
    pub poller_parameters: (u32, u32),
    /// Partitions of one topic.
    pub partitions: u32,
    /// `ReservedConcurrency`, which keeps a backlog from overloading the cluster.
    pub reserved_concurrency: u32,
    /// Bulk requests a second that the cluster gets.
    pub bulk_bytes: Pair,
    /// vCPUs of the cluster's data nodes.
    pub cluster_vcpus: f64,
    /// Primary shards of a daily index.
    pub shards: u32,
    /// Bytes of a daily index, without its copies.
    pub daily_bytes: f64,
    /// Bytes of the data nodes' disks.
    pub disk_bytes: f64,
    /// What stands in the way, with what to do.
    pub obstacles: Vec<String>,
}

/// A quantity on average and at the peak.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Pair {
    /// On average over a month.
    pub average: f64,
    /// At the peak.
    pub peak: f64,
}

impl Pair {
    fn of(load: &Load, quantity: impl Fn(f64) -> f64) -> Self {
        Self { average: quantity(load.rate), peak: quantity(load.peak_rate()) }
    }
}

/// Seconds of an invocation with `events`: the function's CPU time on its share of a vCPU, and the time in which one thread of the
/// cluster indexes them.
pub fn invocation_seconds(load: &Load, memory: u32, events: f64, figures: &Figures) -> f64 {
    INVOCATION_SECONDS + events * event_seconds(load, memory, figures)
}

/// Sizes what `load` needs.
pub fn size(load: &Load, choices: &Choices, figures: &Figures) -> Sizing {
    let limits = &figures.limits;
    let topics = f64::from(load.topics);
    let batch_events = BATCH_SIZE.min((limits.payload_bytes.value / load.payload_bytes()).floor()).max(1.0);
    let batch_seconds = invocation_seconds(load, choices.memory, batch_events, figures);
    // Each topic has its own mapping, which waits for its window before it sends what is not a full batch.
    let invocations = Pair::of(load, |rate| {
        let topic_rate = rate / topics;
        let by_window = topic_rate.min(1.0 / WINDOW_SECONDS);
        topics * (topic_rate / batch_events).max(by_window)
    });
    let busy = |rate: f64, invocations: f64| {
        invocations * INVOCATION_SECONDS + rate * event_seconds(load, choices.memory, figures)
    };
    let concurrency = Pair {
        average: busy(load.rate, invocations.average),
        peak: busy(load.peak_rate(), invocations.peak),
    };
    let pollers_of = |rate: f64, concurrency: f64| {
        let by_bytes = rate / topics * load.record_bytes() / limits.poller_bytes_per_second.value;
        let by_invocations = concurrency / topics / limits.poller_invocations.value;
        by_bytes.max(by_invocations).ceil().max(1.0)
    };
    let pollers = Pair {
        average: pollers_of(load.rate, concurrency.average),
        peak: pollers_of(load.peak_rate(), concurrency.peak),
    };
    let units_of = |rate: f64, pollers: f64| {
        let by_bytes = rate * load.record_bytes() / limits.unit_bytes_per_second.value;
        by_bytes.max(pollers * topics / limits.unit_pollers.value).ceil().max(1.0)
    };
    let units = Pair {
        average: units_of(load.rate, pollers.average),
        peak: units_of(load.peak_rate(), pollers.peak),
    };
    let poller_parameters = (
        least(&MINIMUM_POLLERS, pollers.average),
        least(&MAXIMUM_POLLERS, (pollers.peak * PARTITIONS_RESERVE).max(pollers.average)),
    );
    let in_flight = (concurrency.peak / topics).ceil().max(1.0);
    let partitions = whole(in_flight * PARTITIONS_RESERVE).max(poller_parameters.0);
    let cluster_vcpus = (load.peak_rate() * f64::from(1 + choices.replicas)
        / figures.throughputs.cluster_vcpu.value
        / INDEXING_SHARE)
        .ceil();
    let daily_bytes = load.rate * 86_400.0 * load.bytes * figures.throughputs.stored.value;
    let shards_for_rate = load.peak_rate() / figures.throughputs.cluster_vcpu.value;
    let shards = whole((daily_bytes / SHARD_BYTES).max(shards_for_rate)).max(1);
    let disk_bytes =
        daily_bytes * f64::from(1 + choices.replicas) * f64::from(choices.retention_days) / DISK_SHARE;
    let mut sizing = Sizing {
        batch_events,
        batch_seconds,
        invocations,
        concurrency,
        gb_seconds: concurrency.average * f64::from(choices.memory) / 1024.0,
        pollers,
        units,
        poller_parameters,
        partitions,
        reserved_concurrency: whole(concurrency.peak * 2.0).max(load.topics.saturating_mul(2)),
        bulk_bytes: Pair::of(load, |rate| rate * (load.bytes + 350.0)),
        cluster_vcpus,
        shards,
        daily_bytes,
        disk_bytes,
        obstacles: Vec::new(),
    };
    sizing.obstacles = obstacles(load, choices, &sizing, figures);
    sizing
}

fn event_seconds(load: &Load, memory: u32, figures: &Figures) -> f64 {
    let throughputs = &figures.throughputs;
    let cpu = throughputs.function_cpu.value * (load.bytes / 477.0).max(0.3)
        + throughputs.function_cpu_of_a_header.value * f64::from(load.headers);
    let share = (f64::from(memory) / figures.limits.memory_of_a_vcpu.value).min(1.0);
    cpu / 1e6 / share + 1.0 / throughputs.cluster_vcpu.value
}

fn obstacles(load: &Load, choices: &Choices, sizing: &Sizing, figures: &Figures) -> Vec<String> {
    let mut found = Vec::new();
    let needed = (sizing.concurrency.peak.ceil()).max(f64::from(load.topics));
    if let Some(given) = choices.partitions
        && f64::from(given) < needed
    {
        found.push(format!(
            "{given} partitions process {:.0} events/s, since one batch of a partition is under way at a time: give the \
             topics {needed} or more, or the peak waits in Kafka",
            f64::from(given) / sizing.batch_seconds * sizing.batch_events
        ));
    }
    if load.payload_bytes() > figures.limits.payload_bytes.value {
        found.push(
            "an event does not fit a batch of 6 MB: Lambda can't deliver it. Keep large parts in S3 and publish their address"
                .to_owned(),
        );
    }
    if sizing.concurrency.peak > figures.limits.account_concurrency.value {
        found.push(format!(
            "{:.0} invocations at once are more than an account's {:.0}: ask AWS for a higher quota",
            sizing.concurrency.peak.ceil(),
            figures.limits.account_concurrency.value
        ));
    }
    let all_pollers = sizing.pollers.peak * f64::from(load.topics);
    if all_pollers > figures.limits.maximum_pollers.value {
        found.push(format!(
            "{all_pollers:.0} event pollers are more than a poller group's {:.0}: leave PollerGroupName empty, and spread the \
             load over more topics",
            figures.limits.maximum_pollers.value
        ));
    }
    if sizing.shards > 1024 {
        found.push(format!(
            "{} shards are more than an index may have (1024): route events to several indices (docs/PIPELINE.md)",
            sizing.shards
        ));
    }
    found
}

fn least(allowed: &[u32], needed: f64) -> u32 {
    allowed
        .iter()
        .copied()
        .find(|&value| f64::from(value) >= needed)
        .unwrap_or_else(|| allowed.last().copied().unwrap_or(1))
}

/// The least whole number that is not below `quantity`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is clamped to what a u32 holds"
)]
fn whole(quantity: f64) -> u32 {
    quantity.ceil().clamp(0.0, f64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHOICES: Choices = Choices { memory: 512, replicas: 1, retention_days: 90, partitions: None };

    fn load(rate: f64) -> Load {
        Load { rate, bytes: 500.0, peak: 5.0, topics: 3, headers: 0 }
    }

    fn sized(rate: f64) -> Sizing {
        size(&load(rate), &CHOICES, &Figures::load(None).expect("figures"))
    }

    #[test]
    fn a_small_load_is_one_invocation_a_window_and_topic() {
        let sizing = sized(30.0);
        assert_eq!(sizing.invocations, Pair { average: 3.0, peak: 3.0 });
        assert_eq!((sizing.poller_parameters, sizing.units), ((1, 2), Pair { average: 1.0, peak: 1.0 }));
        assert_eq!((sizing.partitions, sizing.shards), (2, 1));
        assert_eq!(sizing.obstacles, Vec::<String>::new());
    }

    #[test]
    fn an_event_in_ten_seconds_is_as_many_invocations() {
        let sizing = sized(0.1);
        assert!((sizing.invocations.average - 0.1).abs() < 1e-9, "{:?}", sizing.invocations);
    }

    #[test]
    fn full_batches_hold_what_fits_six_megabytes() {
        let figures = Figures::load(None).expect("figures");
        let large = Load { bytes: 100_000.0, ..load(1000.0) };
        let sizing = size(&large, &CHOICES, &figures);
        assert_eq!(sizing.batch_events, (6_291_456.0 / large.payload_bytes()).floor());
        assert!(sizing.invocations.average >= 1000.0 / sizing.batch_events);
    }

    #[test]
    fn more_load_needs_no_less_of_anything() {
        let mut before = sized(1.0);
        for rate in [10.0, 100.0, 1e3, 1e4, 1e5, 1e6, 1e7] {
            let sizing = sized(rate);
            for (more, less) in [
                (sizing.concurrency.peak, before.concurrency.peak),
                (sizing.pollers.peak, before.pollers.peak),
                (sizing.units.average, before.units.average),
                (f64::from(sizing.partitions), f64::from(before.partitions)),
                (f64::from(sizing.shards), f64::from(before.shards)),
                (sizing.cluster_vcpus, before.cluster_vcpus),
                (sizing.gb_seconds, before.gb_seconds),
            ] {
                assert!(more >= less, "{rate}: {more} < {less}");
            }
            before = sizing;
        }
    }

    #[test]
    fn too_few_partitions_say_what_they_process_and_how_many_are_needed() {
        let figures = Figures::load(None).expect("figures");
        let choices = Choices { partitions: Some(3), ..CHOICES };
        let sizing = size(&load(20_000.0), &choices, &figures);
        let [obstacle] = sizing.obstacles.as_slice() else { panic!("{:?}", sizing.obstacles) };
        assert!(obstacle.starts_with("3 partitions process "), "{obstacle}");
        assert!(obstacle.contains("give the topics 16 or more"), "{obstacle}");
    }

    #[test]
    fn what_is_beyond_a_limit_is_said_with_the_way_out() {
        let sizing = sized(2e7);
        let text = sizing.obstacles.join("\n");
        assert!(text.contains("ask AWS for a higher quota"), "{text}");
        assert!(text.contains("more than an index may have"), "{text}");
        let huge = size(&Load { bytes: 6e6, ..load(1.0) }, &CHOICES, &Figures::load(None).expect("figures"));
        assert!(huge.obstacles.join("\n").contains("does not fit a batch"), "{:?}", huge.obstacles);
    }
}
