//! Lambda function: Kafka batches into daily indices.

fn main() {}
