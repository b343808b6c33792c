//! `account`: whether each record in Kafka has reached its place.

pub mod survey;
