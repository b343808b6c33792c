//! Serves Kafka event source mappings read from the Lambda API.

fn main() {}
