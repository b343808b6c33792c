//! What the way from Kafka to the cluster costs a month, here and elsewhere.

use serde::Serialize;

use super::figures::Figures;
use super::load::Load;
use super::sizing::Sizing;

/// Hours of a month, as AWS's calculator counts them.
const HOURS: f64 = 730.0;
/// Share of its CPU that a server may use, so that it keeps up with a moment's more.
const SERVER_SHARE: f64 = 0.7;
/// GB of memory beside a vCPU of Fargate, its least.
const FARGATE_GB_OF_A_VCPU: f64 = 2.0;
/// Fargate's smallest task, in vCPUs.
const FARGATE_LEAST: f64 = 0.25;

/// One way, and its price.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cost {
    /// Its name.
    pub way: &'static str,
    /// What is billed, in words.
    pub billed: String,
    /// US dollars a month if it follows the load at each moment.
    pub average: f64,
    /// US dollars a month if it is always as large as the peak needs. The same as `average` where nothing is kept ready.
    pub peak: f64,
}

/// The ways from Kafka to the cluster: ours on demand and provisioned, and others. The cluster, Kafka, networks and logs are not in it.
pub fn costs(load: &Load, sizing: &Sizing, figures: &Figures) -> Vec<Cost> {
    let prices = &figures.prices;
    let seconds = HOURS * 3600.0;
    let requests = sizing.invocations.average * seconds / 1e6;
    let gb_seconds = sizing.gb_seconds * seconds;
    let function =
        requests * prices.lambda_million_requests.value + gb_seconds * prices.lambda_gb_second.value;
    let unit = prices.event_poller_unit_hour.value * HOURS;
    let billed = format!("{requests:.1} million requests, {:.2} million GB-seconds", gb_seconds / 1e6);
    let ocus = |rate: f64| (rate * load.bytes / figures.limits.ocu_bytes_per_second.value).ceil().max(1.0);
    let servers = |cpu: f64, rate: f64| rate * cpu / 1e6 / SERVER_SHARE;
    let mcus = |rate: f64| servers(figures.throughputs.kafka_connect_cpu.value, rate).ceil().max(1.0);
    let fargate_vcpu =
        (prices.fargate_vcpu_hour.value + FARGATE_GB_OF_A_VCPU * prices.fargate_gb_hour.value) * HOURS;
    let fargate = |way, cpu: f64| {
        let vcpus = |rate| (servers(cpu, rate) / FARGATE_LEAST).ceil().max(1.0) * FARGATE_LEAST;
        Cost {
            way,
            billed: format!("{} to {} vCPUs", vcpus(load.rate), vcpus(load.peak_rate())),
            average: vcpus(load.rate) * fargate_vcpu,
            peak: vcpus(load.peak_rate()) * fargate_vcpu,
        }
    };
    vec![
        Cost { way: "this, on demand", billed: billed.clone(), average: function, peak: function },
        Cost {
            way: "this, provisioned",
            billed: format!("{billed}, {} to {} event poller units", sizing.units.average, sizing.units.peak),
            average: function + sizing.units.average * unit,
            peak: function + sizing.units.peak * unit,
        },
        Cost {
            way: "OpenSearch Ingestion",
            billed: format!("{} to {} OCUs", ocus(load.rate), ocus(load.peak_rate())),
            average: ocus(load.rate) * prices.opensearch_ingestion_ocu_hour.value * HOURS,
            peak: ocus(load.peak_rate()) * prices.opensearch_ingestion_ocu_hour.value * HOURS,
        },
        Cost {
            way: "MSK Connect",
            billed: format!("{} to {} MCUs", mcus(load.rate), mcus(load.peak_rate())),
            average: mcus(load.rate) * prices.msk_connect_mcu_hour.value * HOURS,
            peak: mcus(load.peak_rate()) * prices.msk_connect_mcu_hour.value * HOURS,
        },
        fargate("Vector on Fargate", figures.throughputs.vector_cpu.value),
        fargate("Logstash on Fargate", figures.throughputs.logstash_cpu.value),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::sizing::{Choices, size};

    fn of(rate: f64) -> Vec<Cost> {
        let figures = Figures::load(None).expect("figures");
        let load = Load { rate, bytes: 500.0, peak: 5.0, topics: 3, headers: 0 };
        let choices = Choices { memory: 512, replicas: 1, retention_days: 90, partitions: None };
        costs(&load, &size(&load, &choices, &figures), &figures)
    }

    #[test]
    fn a_unit_of_ingestion_takes_two_mebibytes_a_second() {
        let ingestion = &of(20_000.0)[2];
        // 10 MB/s and 50 MB/s, at 0.24 dollars for each of 730 hours
        assert_eq!(ingestion.billed, "5 to 24 OCUs");
        assert!(
            (ingestion.average - 876.0).abs() < 0.01 && (ingestion.peak - 4204.8).abs() < 0.01,
            "{ingestion:?}"
        );
    }

    #[test]
    fn on_demand_is_the_function_alone_and_provisioned_adds_the_units() {
        let ways = of(20_000.0);
        let [on_demand, provisioned, ..] = ways.as_slice() else { panic!("{ways:?}") };
        assert_eq!(on_demand.average, on_demand.peak);
        assert!((provisioned.average - on_demand.average - 0.185 * 730.0).abs() < 0.01, "{provisioned:?}");
        // 4 invocations of 5,000 events a second; 0.5 GB for 157 microseconds an event
        assert!(on_demand.billed.starts_with("10.5 million requests"), "{}", on_demand.billed);
    }

    #[test]
    fn servers_have_a_least_size() {
        for (way, billed) in [
            ("MSK Connect", "1 to 1 MCUs"),
            ("Vector on Fargate", "0.25 to 0.25 vCPUs"),
            ("OpenSearch Ingestion", "1 to 1 OCUs"),
        ] {
            let ways = of(10.0);
            let cost = ways.iter().find(|cost| cost.way == way).expect("it is listed");
            assert_eq!(cost.billed, billed);
        }
    }
}
