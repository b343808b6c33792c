//! A plan, for people and for programs.

use std::io::{self, Write};

use serde::Serialize;

use super::cost::Cost;
use super::load::Load;
use super::scaling::Hour;
use super::sizing::{Choices, Sizing};

/// A plan.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The load.
    pub load: Load,
    /// What was chosen.
    pub choices: Choices,
    /// What it needs.
    pub sizing: Sizing,
    /// What it costs.
    pub costs: Vec<Cost>,
    /// How it bears trouble.
    pub hours: Vec<Hour>,
}

impl Report {
    /// Writes it as one JSON object.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *out, self)?;
        writeln!(out)
    }

    /// Writes it as text.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { load, choices, sizing, .. } = self;
        writeln!(
            out,
            "{} events/s of {} bytes on average, {} events/s at the peak, {} topics\n",
            grouped(load.rate),
            grouped(load.bytes),
            grouped(load.peak_rate()),
            load.topics
        )?;
        for obstacle in &sizing.obstacles {
            writeln!(out, "in the way: {obstacle}\n")?;
        }
        let (minimum, maximum) = sizing.poller_parameters;
        writeln!(out, "parameters of the template")?;
        writeln!(
            out,
            "  MemorySize={} ReservedConcurrency={} IndexShards={} IndexReplicas={}",
            choices.memory, sizing.reserved_concurrency, sizing.shards, choices.replicas
        )?;
        writeln!(
            out,
            "  provisioned mode: MinimumPollers={minimum} MaximumPollers={maximum} PollerGroupName=events\n"
        )?;

        writeln!(out, "{:<42} {:>14} {:>14}", "the middle", "on average", "at the peak")?;
        let pairs = [
            ("invocations a second", sizing.invocations.average, sizing.invocations.peak),
            ("invocations at once", sizing.concurrency.average, sizing.concurrency.peak),
            ("event pollers a topic (provisioned)", sizing.pollers.average, sizing.pollers.peak),
            ("event poller units, one group", sizing.units.average, sizing.units.peak),
            (
                "bulk requests, MB/s before gzip",
                sizing.bulk_bytes.average / 1e6,
                sizing.bulk_bytes.peak / 1e6,
            ),
        ];
        for (name, average, peak) in pairs {
            writeln!(out, "  {name:<40} {:>14} {:>14}", short(average), short(peak))?;
        }
        writeln!(
            out,
            "  a full batch: {} events, {:.1} s, most of it the cluster's",
            grouped(sizing.batch_events),
            sizing.batch_seconds
        )?;
        writeln!(
            out,
            "\nKafka: {} partitions a topic or more, one batch of a partition is under way at a time",
            sizing.partitions
        )?;
        writeln!(
            out,
            "cluster: {} vCPUs of data nodes; {} shards of {:.1} GB a day; {:.1} TB of disk for {} days, each document {} times\n",
            sizing.cluster_vcpus,
            sizing.shards,
            sizing.daily_bytes / 1e9 / f64::from(sizing.shards),
            sizing.disk_bytes / 1e12,
            choices.retention_days,
            1 + choices.replicas
        )?;

        writeln!(out, "{:<22} {:>12} {:>14}   billed", "USD a month", "follows load", "sized for peak")?;
        for cost in &self.costs {
            writeln!(
                out,
                "  {:<20} {:>12} {:>14}   {}",
                cost.way,
                grouped(cost.average.ceil()),
                grouped(cost.peak.ceil()),
                cost.billed
            )?;
        }
        writeln!(
            out,
            "  without the cluster, Kafka, networks and logs; prices and their sources: cli/src/plan/figures.yaml\n"
        )?;

        writeln!(
            out,
            "{:<46} {:>12} {:>12} {:>8}",
            "ten bad minutes, simulated", "longest wait", "over after", "pollers"
        )?;
        for hour in &self.hours {
            let over = hour
                .recovered_after
                .map_or_else(|| "not in 40 min".to_owned(), |seconds| format!("{seconds} s"));
            writeln!(
                out,
                "  {:<44} {:>12} {:>12} {:>8}",
                hour.scenario.name,
                format!("{:.0} s", hour.longest_wait),
                over,
                hour.most_pollers
            )?;
        }
        Ok(())
    }
}

/// `12345.0` as `12,345`, and what is below 10 with its tenths.
fn grouped(number: f64) -> String {
    if number < 10.0 && number.fract() != 0.0 {
        return format!("{number:.1}");
    }
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A quantity with as many digits as say something.
fn short(number: f64) -> String {
    if number < 10.0 { format!("{number:.2}") } else { grouped(number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let texts = [0.5, 9.0, 12.0, 999.0, 1000.0, 1_234_567.0].map(grouped);
        assert_eq!(texts, ["0.5", "9", "12", "999", "1,000", "1,234,567"]);
    }
}
