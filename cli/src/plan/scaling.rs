//! Lambda's event pollers over an hour with a burst, a slow cluster and throttling: how far the indices fall behind Kafka.
//!
//! AWS says when pollers are added and what one moves (<https://docs.aws.amazon.com/lambda/latest/dg/kafka-scaling-modes.html>), but
//! not how many are added. Here each step doubles them.

use serde::Serialize;

use super::figures::Figures;
use super::load::Load;
use super::sizing::{Choices, Sizing, invocation_seconds};

/// Seconds that are simulated.
const SECONDS: u32 = 3600;
/// From when to when the load is at its peak, or the cluster slow.
const TROUBLE: std::ops::Range<u32> = 600..1200;
/// Seconds between two looks at the lag.
const EVALUATION: u32 = 60;
/// Seconds until pollers that were asked for work: on demand within three minutes, provisioned within one, which AWS calls responsive.
const ON_DEMAND_DELAY: u32 = 180;
const PROVISIONED_DELAY: u32 = 60;
/// Seconds of work in Kafka that count as a lag that is too high.
const HIGH_LAG_SECONDS: f64 = 5.0;

/// How event pollers are scaled.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub enum Mode {
    /// One poller at first, then as many as the lag needs.
    OnDemand,
    /// Between these numbers for all topics together.
    Provisioned {
        /// `MinimumPollers` times the topics.
        minimum: f64,
        /// `MaximumPollers` times the topics.
        maximum: f64,
    },
}

/// What happens in the hour.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// How the pollers are scaled.
    pub mode: Mode,
    /// Times of the average in the troubled ten minutes.
    pub burst: f64,
    /// Share of its rate that the cluster then has.
    pub cluster_share: f64,
    /// Invocations at once that the account or `ReservedConcurrency` allows.
    pub concurrency: f64,
}

/// How an hour went.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Hour {
    /// The scenario.
    pub scenario: Scenario,
    /// Events in Kafka that are not indexed, at the end of each second.
    #[serde(skip)]
    pub lag: Vec<f64>,
    /// Seconds that the newest event waited at the worst moment.
    pub longest_wait: f64,
    /// Seconds from the end of the trouble until the lag was gone. None if it was not gone within the hour.
    pub recovered_after: Option<u32>,
    /// Most event pollers at work.
    pub most_pollers: f64,
}

/// The scenarios that docs/SIZING.md shows.
pub fn scenarios(load: &Load, choices: &Choices, sizing: &Sizing, figures: &Figures) -> Vec<Scenario> {
    let topics = f64::from(load.topics);
    let (minimum, maximum) = sizing.poller_parameters;
    let provisioned =
        |minimum| Mode::Provisioned { minimum, maximum: (f64::from(maximum) * topics).max(minimum) };
    let burst = Scenario {
        name: "burst, on demand",
        mode: Mode::OnDemand,
        burst: load.peak,
        cluster_share: 1.0,
        concurrency: f64::INFINITY,
    };
    let by_parameters =
        Scenario { name: "burst, provisioned", mode: provisioned(f64::from(minimum) * topics), ..burst };
    vec![
        burst,
        by_parameters,
        Scenario {
            name: "burst, provisioned for the peak at all times",
            mode: provisioned(sizing.pollers.peak * topics),
            ..burst
        },
        Scenario {
            name: "burst, throttled: concurrency of the average",
            concurrency: sizing.concurrency.average.ceil().max(topics),
            ..by_parameters
        },
        Scenario {
            name: "the cluster indexes half of what arrives",
            burst: 1.0,
            cluster_share: load.rate / 2.0 / cluster_rate(choices, sizing, figures),
            ..by_parameters
        },
    ]
}

/// Runs `scenario` second by second.
pub fn simulate(
    scenario: Scenario,
    load: &Load,
    choices: &Choices,
    sizing: &Sizing,
    figures: &Figures,
) -> Hour {
    let partitions = f64::from(choices.partitions.unwrap_or(sizing.partitions.saturating_mul(load.topics)));
    let cluster =
        sizing.cluster_vcpus * figures.throughputs.cluster_vcpu.value / f64::from(1 + choices.replicas);
    let (least, most, delay) = match scenario.mode {
        Mode::OnDemand => (f64::from(load.topics), partitions, ON_DEMAND_DELAY),
        Mode::Provisioned { minimum, maximum } => (minimum, maximum.min(partitions), PROVISIONED_DELAY),
    };
    let batch_seconds = invocation_seconds(load, choices.memory, sizing.batch_events, figures);
    // The hour begins when the pollers have settled.
    let mut pollers = (sizing.pollers.average * f64::from(load.topics)).max(least).min(most);
    let mut ordered: Option<(u32, f64)> = None;
    let mut backlog = 0.0_f64;
    let mut hour =
        Hour { scenario, lag: Vec::new(), longest_wait: 0.0, recovered_after: None, most_pollers: pollers };
    for second in 0..SECONDS {
        let troubled = TROUBLE.contains(&second);
        if let Some((at, number)) = ordered
            && second >= at
        {
            pollers = number;
            ordered = None;
        }
        let rate = if troubled { load.rate * scenario.burst } else { load.rate };
        let cluster_rate = if troubled { cluster * scenario.cluster_share } else { cluster };
        // The slower the cluster, the longer an invocation waits for it.
        let seconds = if troubled { batch_seconds / scenario.cluster_share } else { batch_seconds };
        let of_one_invocation = sizing.batch_events / seconds;
        let by_poller = (figures.limits.poller_bytes_per_second.value / load.record_bytes())
            .min(figures.limits.poller_invocations.value * of_one_invocation);
        let by_concurrency = scenario.concurrency * of_one_invocation;
        let indexed =
            (pollers * by_poller).min(partitions * of_one_invocation).min(cluster_rate).min(by_concurrency);
        backlog = (backlog + rate - indexed).max(0.0);
        hour.lag.push(backlog);
        hour.longest_wait = hour.longest_wait.max(backlog / indexed);
        hour.most_pollers = hour.most_pollers.max(pollers);
        if second % EVALUATION == 0 && ordered.is_none() {
            let throttled = by_concurrency < (pollers * by_poller).min(backlog + rate);
            let number = if throttled && scenario.mode == Mode::OnDemand {
                pollers / 2.0
            } else if backlog > HIGH_LAG_SECONDS * rate {
                pollers * 2.0
            } else if backlog == 0.0 && pollers * by_poller > 3.0 * rate {
                pollers / 2.0
            } else {
                pollers
            };
            let number = number.ceil().clamp(least.min(most), most);
            if number != pollers {
                ordered = Some((second + delay, number));
            }
        }
    }
    let after = hour.lag.iter().skip(usize::try_from(TROUBLE.end).unwrap_or(usize::MAX));
    hour.recovered_after =
        after.clone().position(|&lag| lag == 0.0).and_then(|seconds| u32::try_from(seconds).ok());
    hour
}

/// Events a second that the cluster indexes at its full rate.
fn cluster_rate(choices: &Choices, sizing: &Sizing, figures: &Figures) -> f64 {
    sizing.cluster_vcpus * figures.throughputs.cluster_vcpu.value / f64::from(1 + choices.replicas)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::sizing::size;

    fn hours(rate: f64, change: impl Fn(&mut Scenario)) -> Vec<Hour> {
        let figures = Figures::load(None).expect("figures");
        let load = Load { rate, bytes: 500.0, peak: 5.0, topics: 3, headers: 0 };
        let choices = Choices { memory: 512, replicas: 1, retention_days: 90, partitions: None };
        let sizing = size(&load, &choices, &figures);
        scenarios(&load, &choices, &sizing, &figures)
            .into_iter()
            .map(|mut scenario| {
                change(&mut scenario);
                simulate(scenario, &load, &choices, &sizing, &figures)
            })
            .collect()
    }

    #[test]
    fn without_trouble_nothing_waits() {
        for hour in hours(20_000.0, |scenario| {
            (scenario.burst, scenario.cluster_share) = (1.0, 1.0);
        }) {
            assert_eq!(hour.longest_wait, 0.0, "{}", hour.scenario.name);
        }
    }

    #[test]
    fn the_more_pollers_are_ready_the_less_waits_in_a_burst() {
        for rate in [20_000.0, 200_000.0, 1_000_000.0] {
            let hours = hours(rate, |_| ());
            let [on_demand, provisioned, for_the_peak, ..] = hours.as_slice() else {
                panic!("five scenarios")
            };
            assert!(provisioned.longest_wait < on_demand.longest_wait, "{rate}");
            assert_eq!(for_the_peak.longest_wait, 0.0, "{rate}");
        }
    }

    #[test]
    fn throttling_is_not_helped_by_pollers_and_delays_until_the_average_has_room() {
        let hours = hours(20_000.0, |_| ());
        let (unthrottled, throttled) = (&hours[1], &hours[3]);
        assert!(throttled.longest_wait > unthrottled.longest_wait);
        assert_eq!((unthrottled.recovered_after, throttled.recovered_after), (Some(0), None));
    }

    #[test]
    fn a_cluster_at_half_the_rate_keeps_half_of_ten_minutes_waiting_and_then_catches_up() {
        let hours = hours(20_000.0, |_| ());
        let most = hours[4].lag.iter().copied().fold(0.0, f64::max);
        let half = 600.0 * 10_000.0;
        assert!((half..half * 1.1).contains(&most), "{most}");
        assert!(
            hours[4].recovered_after.is_some_and(|seconds| seconds < 600),
            "{:?}",
            hours[4].recovered_after
        );
    }
}
