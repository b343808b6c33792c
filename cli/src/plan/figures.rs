//! Prices, limits and throughputs that a plan reckons with, each with unit, source and date.

use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use thiserror::Error;

/// The figures that the program ships with.
const SHIPPED: &str = include_str!("figures.yaml");

/// What a plan reckons with.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figures {
    /// In US dollars.
    pub prices: Prices,
    /// Of AWS.
    pub limits: Limits,
    /// Ours and other programs'.
    pub throughputs: Throughputs,
}

/// Prices in US dollars.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "figures.yaml has the unit of each")]
pub struct Prices {
    pub lambda_gb_second: Figure,
    pub lambda_million_requests: Figure,
    pub event_poller_unit_hour: Figure,
    pub opensearch_ingestion_ocu_hour: Figure,
    pub msk_connect_mcu_hour: Figure,
    pub fargate_vcpu_hour: Figure,
    pub fargate_gb_hour: Figure,
}

/// Limits of AWS.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "figures.yaml has the unit of each")]
pub struct Limits {
    pub payload_bytes: Figure,
    pub poller_bytes_per_second: Figure,
    pub poller_invocations: Figure,
    pub unit_bytes_per_second: Figure,
    pub unit_pollers: Figure,
    pub maximum_pollers: Figure,
    pub account_concurrency: Figure,
    pub memory_of_a_vcpu: Figure,
    pub ocu_bytes_per_second: Figure,
}

/// What programs and clusters process.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "figures.yaml has the unit of each")]
pub struct Throughputs {
    pub function_cpu: Figure,
    pub function_cpu_of_a_header: Figure,
    pub cluster_vcpu: Figure,
    pub stored: Figure,
    pub kafka_connect_cpu: Figure,
    pub vector_cpu: Figure,
    pub logstash_cpu: Figure,
}

/// A number, and where it is from.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// The number, above 0.
    #[serde(deserialize_with = "above_zero")]
    pub value: f64,
    /// Its unit.
    pub unit: String,
    /// The page or the command that it is from.
    pub source: String,
    /// Year and month, or the day, of which it is.
    pub date: String,
}

/// Why a file of figures can't be used.
#[derive(Debug, Error)]
pub enum FiguresError {
    /// It can't be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It has other members than cli/src/plan/figures.yaml, or a value is missing or is no number above 0.
    #[error("{name}: {source}. Copy cli/src/plan/figures.yaml and change its values")]
    Parse {
        /// The file.
        name: String,
        /// Where, and why.
        source: serde_yaml_ng::Error,
    },
}

impl Figures {
    /// Those of `path`, or those that the program ships with.
    ///
    /// # Errors
    /// [`FiguresError`]
    pub fn load(path: Option<&Path>) -> Result<Self, FiguresError> {
        match path {
            None => Self::parse("figures.yaml", SHIPPED),
            Some(path) => {
                let text = fs::read_to_string(path)
                    .map_err(|source| FiguresError::Read { path: path.to_owned(), source })?;
                Self::parse(&path.display().to_string(), &text)
            }
        }
    }

    fn parse(name: &str, text: &str) -> Result<Self, FiguresError> {
        serde_yaml_ng::from_str(text).map_err(|source| FiguresError::Parse { name: name.to_owned(), source })
    }
}

fn above_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let value = f64::deserialize(deserializer)?;
    if value.is_finite() && value > 0.0 {
        Ok(value)
    } else {
        Err(D::Error::custom(format!("{value} is no number above 0")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_figures_can_be_read() {
        let figures = Figures::load(None).expect("figures");
        assert_eq!(figures.limits.payload_bytes.value, 6.0 * 1024.0 * 1024.0);
    }

    #[test]
    fn a_price_of_zero_is_refused_with_its_place() {
        let text = SHIPPED.replace("value: 0.185", "value: 0");
        let error = Figures::parse("mine.yaml", &text).expect_err("a price of zero").to_string();
        assert!(error.starts_with("mine.yaml: prices.event_poller_unit_hour"), "{error}");
        assert!(error.contains("0 is no number above 0"), "{error}");
    }

    #[test]
    fn a_member_that_does_not_exist_is_refused_by_its_name() {
        let text = SHIPPED.replace("unit_pollers:", "unit_polers:");
        let error = Figures::parse("mine.yaml", &text).expect_err("a wrong name").to_string();
        assert!(error.starts_with("mine.yaml: limits: unknown field `unit_polers`"), "{error}");
        assert!(error.ends_with("Copy cli/src/plan/figures.yaml and change its values"), "{error}");
    }
}
