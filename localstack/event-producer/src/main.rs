//! Publishes realistic service events, or the user's own, to Kafka.

fn main() {}
