//! Generates realistic events of an order, an inventory and a notification service, and publishes them to Kafka.

pub mod event;
pub mod generate;
pub mod payload;
#[cfg(feature = "publish")]
pub mod publish;
