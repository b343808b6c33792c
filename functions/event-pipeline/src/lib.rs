//! Turns a Kafka event source mapping's payload into bulk requests. Pure: no IO, no clock, no environment.
