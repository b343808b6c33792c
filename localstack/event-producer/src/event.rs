//! An event of one of the three services, and the topics that they publish to.

/// The topic of the order service.
pub const ORDER_TOPIC: &str = "order.events";
/// The topic of the inventory service.
pub const INVENTORY_TOPIC: &str = "inventory.events";
/// The topic of the notification service.
pub const NOTIFICATION_TOPIC: &str = "notification.events";
/// The topics that generated events go to.
pub const TOPICS: [&str; 3] = [ORDER_TOPIC, INVENTORY_TOPIC, NOTIFICATION_TOPIC];

/// One event, ready to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The Kafka topic it belongs to.
    pub topic: &'static str,
    /// The record's key: an order id, a SKU or a customer id.
    pub key: String,
    /// The record's value: a JSON object.
    pub value: String,
    /// W3C trace context of the span that published it.
    pub traceparent: String,
    /// The id that all events of one order share.
    pub correlation_id: String,
    /// When it happened, in milliseconds since the epoch: also the time in the payload.
    pub timestamp_ms: i64,
}

impl Event {
    /// The record's headers, in the order in which they are written.
    #[must_use]
    pub fn headers(&self) -> [(&'static str, &str); 2] {
        [("traceparent", &self.traceparent), ("x-correlation-id", &self.correlation_id)]
    }
}
