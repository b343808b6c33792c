//! Realistic events of an order, an inventory and a notification service, and their way into Kafka.

pub mod generate;
pub mod payload;
#[cfg(feature = "publish")]
pub mod publish;
