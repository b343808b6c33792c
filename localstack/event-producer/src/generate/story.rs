//! One order's story, from its creation to its delivery or cancellation, as events of three services.

use std::collections::VecDeque;

use chrono::{DateTime, SecondsFormat};
use rand::RngExt;
use serde::Serialize;
use serde_json::{Value, json};

use super::catalogue::{self, Address, Customer};
use crate::event::{Event, INVENTORY_TOPIC, NOTIFICATION_TOPIC, ORDER_TOPIC};

/// The events of an order that are still to come.
#[derive(Debug)]
pub(super) struct Story {
    order_id: String,
    customer: Customer,
    items: Vec<Item>,
    warehouse: &'static str,
    carrier: &'static str,
    payment_method: &'static str,
    tracking_number: String,
    correlation_id: String,
    trace_id: String,
    clock_ms: i64,
    steps: VecDeque<Step>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    sku: &'static str,
    name: &'static str,
    quantity: u32,
    unit_price: f64,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Order(OrderStep),
    /// The inventory's event about the item with this index in the order.
    Stock(StockStep, usize),
    Notify(Channel, &'static str),
}

#[derive(Clone, Copy, Debug)]
enum OrderStep {
    Created,
    Paid,
    PaymentFailed,
    Shipped,
    Delivered,
    Cancelled,
}

#[derive(Clone, Copy, Debug)]
enum StockStep {
    Reserved,
    Released,
    Adjusted,
    Replenished,
    LowStock,
}

#[derive(Clone, Copy, Debug)]
enum Channel {
    Email,
    Sms,
    Push,
}

impl Story {
    pub(super) fn begin(rng: &mut impl RngExt, number: u32, now_ms: i64) -> Self {
        let n_items = catalogue::pick(rng, &[1, 1, 1, 2, 2, 3]);
        let items: Vec<Item> = (0..n_items).map(|_| Item::pick(rng)).collect();
        Self {
            order_id: format!("ord-{number:08}"),
            customer: catalogue::pick_customer(rng),
            steps: plot(rng, items.len()),
            items,
            warehouse: catalogue::pick(rng, &catalogue::WAREHOUSES),
            carrier: catalogue::pick(rng, &catalogue::CARRIERS),
            payment_method: catalogue::pick(rng, &catalogue::PAYMENT_METHODS),
            tracking_number: format!("{:014}", rng.random_range(0..100_000_000_000_000_u64)),
            correlation_id: uuid(rng),
            trace_id: format!("{:032x}", rng.random_range(1..u128::MAX)),
            clock_ms: now_ms - rng.random_range(60_000..1_500_000),
        }
    }

    /// Returns the next event, not later than `now_ms`; `None` at the end of the story.
    pub(super) fn next_event(&mut self, rng: &mut impl RngExt, now_ms: i64) -> Option<Event> {
        let step = self.steps.pop_front()?;
        self.clock_ms = (self.clock_ms + rng.random_range(40..90_000)).min(now_ms);
        let (topic, key, value) = match step {
            Step::Order(step) => (ORDER_TOPIC, self.order_id.clone(), self.order_event(rng, step)),
            Step::Stock(step, place) => {
                let item = self.items.get(place)?;
                (INVENTORY_TOPIC, item.sku.to_owned(), self.stock_event(rng, step, item))
            }
            Step::Notify(channel, template) => (
                NOTIFICATION_TOPIC,
                self.customer.id.clone(),
                self.notification_event(rng, channel, template),
            ),
        };
        Some(Event {
            topic,
            key,
            value,
            traceparent: format!("00-{}-{:016x}-01", self.trace_id, rng.random_range(1..u64::MAX)),
            correlation_id: self.correlation_id.clone(),
            timestamp_ms: self.clock_ms,
        })
    }

    fn order_event(&self, rng: &mut impl RngExt, step: OrderStep) -> String {
        let (event_type, status, detail) = match step {
            OrderStep::Created => ("OrderCreated", "CREATED", None),
            OrderStep::Paid => (
                "OrderPaid",
                "PAID",
                Some(json!({"paymentId": format!("pay_{:016x}", rng.random_range(0..u64::MAX)),
                    "method": self.payment_method})),
            ),
            OrderStep::PaymentFailed => (
                "OrderPaymentFailed",
                "PAYMENT_FAILED",
                Some(
                    json!({"method": self.payment_method, "declineCode": "insufficient_funds", "attempt": 1}),
                ),
            ),
            OrderStep::Shipped => (
                "OrderShipped",
                "SHIPPED",
                Some(json!({"carrier": self.carrier, "trackingNumber": self.tracking_number})),
            ),
            OrderStep::Delivered => (
                "OrderDelivered",
                "DELIVERED",
                Some(json!({"carrier": self.carrier, "signedBy": self.customer.name})),
            ),
            OrderStep::Cancelled => {
                ("OrderCancelled", "CANCELLED", Some(json!({"reason": "customer_request", "refund": true})))
            }
        };
        let has_items = matches!(step, OrderStep::Created);
        let has_address = matches!(step, OrderStep::Created | OrderStep::Shipped | OrderStep::Delivered);
        to_json(&OrderEvent {
            event_id: uuid(rng),
            event_type,
            timestamp: iso(self.clock_ms),
            order_id: &self.order_id,
            customer_id: &self.customer.id,
            status,
            currency: self.customer.currency,
            total: self.total(),
            item_count: self.items.iter().map(|item| item.quantity).sum(),
            items: has_items.then_some(&self.items),
            // A long order comes without its address, as from services that limit the size of their events.
            shipping_address: (has_address && (!has_items || self.items.len() < 3))
                .then_some(&self.customer.address),
            detail,
            source: Source { service: "order-service", version: "2.14.0", region: "eu-central-1" },
        })
    }

    fn stock_event(&self, rng: &mut impl RngExt, step: StockStep, item: &Item) -> String {
        let on_hand = rng.random_range(0..900);
        let quantity = i64::from(item.quantity);
        let (event_type, delta, reason) = match step {
            StockStep::Reserved => ("StockReserved", -quantity, "order_placed"),
            StockStep::Released => ("StockReleased", quantity, "order_cancelled"),
            StockStep::Adjusted => ("StockAdjusted", -quantity, "order_shipped"),
            StockStep::Replenished => {
                ("StockReplenished", rng.random_range(20..400), "purchase_order_received")
            }
            StockStep::LowStock => ("LowStockDetected", 0, "below_reorder_point"),
        };
        to_json(&StockEvent {
            event_id: uuid(rng),
            event_type,
            occurred_at: iso(self.clock_ms),
            sku: item.sku,
            product_name: item.name,
            warehouse_id: self.warehouse,
            bin: format!(
                "{}-{:02}-{:02}",
                catalogue::pick(rng, &['A', 'B', 'C', 'D']),
                rng.random_range(1..40),
                rng.random_range(1..12)
            ),
            quantity_delta: delta,
            quantity_on_hand: on_hand,
            quantity_reserved: rng.random_range(0..80),
            reorder_point: 25,
            order_id: &self.order_id,
            reservation_id: uuid(rng),
            reason,
            source: Source { service: "inventory-service", version: "1.9.3", region: "eu-central-1" },
        })
    }

    fn notification_event(&self, rng: &mut impl RngExt, channel: Channel, template: &'static str) -> String {
        let (event_type, channel, recipient, provider) = match channel {
            Channel::Email => ("EmailSent", "email", self.customer.email.clone(), "ses"),
            Channel::Sms => {
                ("SmsSent", "sms", format!("+49151{:07}", rng.random_range(0..10_000_000)), "sns")
            }
            Channel::Push => {
                ("PushSent", "push", format!("device-{:012x}", rng.random_range(0..1_u64 << 48)), "fcm")
            }
        };
        let bounced = matches!(channel, "email") && rng.random_bool(0.05);
        to_json(&NotificationEvent {
            event_id: uuid(rng),
            event_type: if bounced { "EmailBounced" } else { event_type },
            event_time: iso(self.clock_ms),
            notification_id: format!("ntf-{:012x}", rng.random_range(0..1_u64 << 48)),
            customer_id: &self.customer.id,
            order_id: &self.order_id,
            channel,
            template,
            locale: locale(self.customer.address.country),
            recipient,
            provider: json!({"name": provider, "messageId": format!("{:024x}", rng.random_range(0..1_u128 << 96)),
                "latencyMs": rng.random_range(8..900)}),
            status: if bounced { "BOUNCED" } else { "SENT" },
            attempts: if bounced { 3 } else { 1 },
            source: Source { service: "notification-service", version: "3.2.1", region: "eu-central-1" },
        })
    }

    fn total(&self) -> f64 {
        let cents: u32 = self.items.iter().map(|item| item.quantity * cents(item.unit_price)).sum();
        f64::from(cents) / 100.0
    }
}

impl Item {
    fn pick(rng: &mut impl RngExt) -> Self {
        let product = catalogue::pick_product(rng);
        Self {
            sku: product.sku,
            name: product.name,
            quantity: rng.random_range(1..4),
            unit_price: f64::from(product.price_cents) / 100.0,
        }
    }
}

/// Plans the events of an order with `n_items` items.
fn plot(rng: &mut impl RngExt, n_items: usize) -> VecDeque<Step> {
    use Channel::{Email, Push, Sms};
    use OrderStep::{Cancelled, Created, Delivered, Paid, PaymentFailed, Shipped};
    use StockStep::{Adjusted, LowStock, Released, Replenished, Reserved};

    let each = |step: StockStep| (0..n_items).map(move |place| Step::Stock(step, place));
    let mut steps = VecDeque::from([Step::Order(Created)]);
    steps.extend(each(Reserved));
    steps.push_back(Step::Notify(Email, "order-confirmation"));
    if rng.random_bool(0.08) {
        steps.push_back(Step::Order(PaymentFailed));
        steps.push_back(Step::Notify(Sms, "payment-failed"));
    }
    if rng.random_bool(0.1) {
        steps.push_back(Step::Order(Cancelled));
        steps.extend(each(Released));
        steps.push_back(Step::Notify(Email, "order-cancelled"));
        return steps;
    }
    steps.push_back(Step::Order(Paid));
    if rng.random_bool(0.15) {
        steps.push_back(Step::Stock(LowStock, 0));
        steps.push_back(Step::Stock(Replenished, 0));
    }
    steps.extend(each(Adjusted));
    steps.push_back(Step::Order(Shipped));
    steps.push_back(Step::Notify(Push, "order-shipped"));
    steps.push_back(Step::Order(Delivered));
    steps.push_back(Step::Notify(Email, "order-delivered"));
    steps
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OrderEvent<'a> {
    event_id: String,
    event_type: &'static str,
    timestamp: String,
    order_id: &'a str,
    customer_id: &'a str,
    status: &'static str,
    currency: &'static str,
    total: f64,
    item_count: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<&'a Vec<Item>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shipping_address: Option<&'a Address>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<Value>,
    source: Source,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StockEvent<'a> {
    event_id: String,
    event_type: &'static str,
    occurred_at: String,
    sku: &'static str,
    product_name: &'static str,
    warehouse_id: &'static str,
    bin: String,
    quantity_delta: i64,
    quantity_on_hand: u32,
    quantity_reserved: u32,
    reorder_point: u32,
    order_id: &'a str,
    reservation_id: String,
    reason: &'static str,
    source: Source,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NotificationEvent<'a> {
    event_id: String,
    event_type: &'static str,
    event_time: String,
    notification_id: String,
    customer_id: &'a str,
    order_id: &'a str,
    channel: &'static str,
    template: &'static str,
    locale: &'static str,
    recipient: String,
    provider: Value,
    status: &'static str,
    attempts: u32,
    source: Source,
}

#[derive(Serialize)]
struct Source {
    service: &'static str,
    version: &'static str,
    region: &'static str,
}

fn to_json(event: &impl Serialize) -> String {
    serde_json::to_string(event).expect("these types have no map with keys that are not strings")
}

fn iso(ms: i64) -> String {
    DateTime::from_timestamp_millis(ms).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Makes a version 4 UUID of `rng`.
fn uuid(rng: &mut impl RngExt) -> String {
    let bits: u128 = rng.random();
    let bits = (bits & !(0xf << 76) & !(0b11 << 62)) | (4 << 76) | (0b10 << 62);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        bits >> 96,
        (bits >> 80) & 0xffff,
        (bits >> 64) & 0xffff,
        (bits >> 48) & 0xffff,
        bits & 0xffff_ffff_ffff
    )
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "catalogue prices are small and positive"
)]
fn cents(price: f64) -> u32 {
    (price * 100.0).round() as u32
}

fn locale(country: &str) -> &'static str {
    match country {
        "DE" => "de-DE",
        "PT" => "pt-PT",
        "IT" => "it-IT",
        "SE" => "sv-SE",
        "FR" => "fr-FR",
        "PL" => "pl-PL",
        _ => "en-GB",
    }
}
