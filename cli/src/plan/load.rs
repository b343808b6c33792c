//! The load that is planned for.

use serde::Serialize;

/// Bytes of a record in an invocation's payload besides its key, value and headers: names, topic, offset and times.
const RECORD_JSON: f64 = 165.0;
/// Bytes of a header in it: its name, and its value as an array of numbers.
const HEADER_JSON: f64 = 110.0;
/// Bytes of a header in Kafka.
const HEADER_BYTES: f64 = 45.0;
/// Bytes of a key.
const KEY_BYTES: f64 = 12.0;

/// A load.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Load {
    /// Events a second, on average over a month.
    pub rate: f64,
    /// Bytes of a value, on average.
    pub bytes: f64,
    /// The peak's rate, in times of the average: 1 or more.
    pub peak: f64,
    /// Topics that share it evenly.
    pub topics: u32,
    /// Headers of a record.
    pub headers: u32,
}

impl Load {
    /// Events a second at the peak.
    pub fn peak_rate(&self) -> f64 {
        self.rate * self.peak
    }

    /// Bytes of a record in Kafka.
    pub fn record_bytes(&self) -> f64 {
        self.bytes + KEY_BYTES + f64::from(self.headers) * HEADER_BYTES
    }

    /// Bytes of a record in an invocation's payload, where key and value are base64.
    pub fn payload_bytes(&self) -> f64 {
        (self.bytes + KEY_BYTES) * 4.0 / 3.0 + RECORD_JSON + f64::from(self.headers) * HEADER_JSON
    }
}
