"""A day of events of a shop, as localstack/event-producer publishes them, and the documents that index-events makes of them.

The day has what a person should notice: orders whose payment fails, a partition that is behind, events whose fields clash, and
dead letters. The payloads have no times of their own. The same seed gives the same day. Tests compare the documents with those of tests/fixtures/parity, which the
function and Logstash make, and the event types with the event producer's.
"""

import json
import random
import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

ORDERS, STOCK, NOTICES = "order.events", "inventory.events", "notification.events"
PARTITIONS = 3
# When the day of the tests and of the pictures ends.
NOW = datetime(2026, 11, 24, 18, 0, tzinfo=UTC)
# This partition has no events of the last hour and a half.
BEHIND = (STOCK, 2)
BEHIND_FOR = timedelta(minutes=95)
SKUS = ("KB-MECH-87-BLK", "MS-ERGO-02", "MON-27-4K", "HDS-ANC-700", "DSK-OAK-160", "CHR-MESH-BLU", "DOCK-TB4", "PAD-XL-GRY")
REASON = "object mapping for [status] tried to parse field [status] as object, but found a concrete value"
REJECTED = (
    ("document_parsing_exception", "the number of nested documents has exceeded the allowed limit"),
    ("illegal_argument_exception", "rejected in every form"),
)


@dataclass(frozen=True)
class Document:
    """A document under its id, in the daily indices or in those of the dead letters."""

    id: str
    source: dict
    is_dead_letter: bool = False

    @property
    def day(self) -> str:
        """The end of its index's name."""
        return self.source["@timestamp"][:10].replace("-", ".")


@dataclass
class Day:
    """Collects the documents of a day, and counts the offsets of each partition."""

    rng: random.Random
    now: datetime
    documents: list[Document] = field(default_factory=list)
    offsets: dict[tuple[str, int], int] = field(default_factory=dict)

    def publish(self, topic: str, at: datetime, key: str, payload: dict | str | None, story: dict, **more) -> None:
        """Adds what becomes of a record: an event, or with `error` a dead letter."""
        partition = zlib.crc32(key.encode()) % PARTITIONS
        if at > self.now - timedelta(seconds=30) or (
            (topic, partition) == BEHIND and at > self.now - BEHIND_FOR
        ):
            return
        offset = self.offsets.get((topic, partition), 0)
        self.offsets[topic, partition] = offset + 1
        record = {
            "topic": topic, "partition": partition, "offset": offset, "timestamp": round(at.timestamp() * 1000), "key": key,
            "value": payload if payload is None or isinstance(payload, str) else json.dumps(payload),
            "headers": [
                {"name": "traceparent", "value": f"00-{story['trace']}-{self.rng.getrandbits(64):016x}-01"},
                {"name": "x-correlation-id", "value": story["correlation"]},
            ],
        }  # fmt: skip
        self.documents.append(refused(record, *more["error"]) if "error" in more else enriched(record, **more))


def a_day(now: datetime, n_orders: int = 320, seed: int = 18) -> list[Document]:
    """The documents of the day before `now`."""
    rng = random.Random(seed)
    day = Day(rng, now)
    for number in range(n_orders):
        _order(day, number, now - timedelta(minutes=23.5 * 60 * (1 - (number + rng.random()) / n_orders) + 2))
    _odd_records(day)
    return day.documents


def enriched(record: dict, *, conflict: str | None = None, tag: str | None = None) -> Document:
    """The document of a record. `conflict` names the field that the mapping rejected."""
    moment = datetime.fromtimestamp(record["timestamp"] / 1000, UTC)
    document = {"@timestamp": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"), **_origin(record)}
    tags = [tag] if tag else []
    try:
        payload = json.loads(record["value"]) if record["value"] is not None else {}
    except ValueError:
        payload, tags = {"message": record["value"]}, ["_jsonparsefailure"]
    if record["value"] is None:
        tags = ["_tombstone"]
    if conflict:
        moved = {conflict: payload.pop(conflict)}
        tags = ["_mappingconflict"]
        document |= {"conflict": moved, "conflict_text": json.dumps(moved), "conflict_field": [conflict], "conflict_reason": REASON}
    headers = {header["name"]: header["value"] for header in record["headers"]}
    if "traceparent" in headers:
        _, trace, span, _ = headers["traceparent"].split("-")
        document |= {"trace": {"id": trace}, "span": {"id": span}}
    if "x-correlation-id" in headers:
        document["correlation_id"] = headers["x-correlation-id"]
    document |= payload | ({"tags": tags} if tags else {})
    return Document(_id(record), document)


def refused(record: dict, kind: str, reason: str) -> Document:
    """The dead letter of a record."""
    moment = datetime.fromtimestamp(record["timestamp"] / 1000, UTC)
    document = {
        "@timestamp": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "error": {"type": kind, "reason": reason, "status": 400},
        "target_index": f"microservices-{moment:%Y.%m.%d}",
        **_origin(record),
        "payload": record["value"],
    }
    return Document(_id(record), document, is_dead_letter=True)


def _origin(record: dict) -> dict:
    topic = record["topic"]
    return {
        "service": topic, "service_name": topic.removesuffix(".events"), "environment": "kubernetes", "platform": "demo-micro",
        "kafka_topic": topic, "kafka_partition": record["partition"], "kafka_offset": record["offset"],
        "kafka_timestamp": record["timestamp"], "kafka_key": record["key"],
    }  # fmt: skip


def _id(record: dict) -> str:
    return f"{record['topic']}-{record['partition']}-{record['offset']}-{record['timestamp']}"


def _order(day: Day, number: int, begin: datetime) -> None:
    """The events of one order, from its creation to its delivery or cancellation, with the event producer's shares."""
    rng = day.rng
    order, customer = f"ord-{10_000_000 + number:08}", f"cus-{rng.randrange(1_000, 60_000):06}"
    sku = rng.choice(SKUS)
    story = {"trace": f"{rng.getrandbits(128):032x}", "correlation": f"{rng.getrandbits(128):032x}"}
    at = begin

    def step(topic: str, kind: str, key: str, **more) -> None:
        nonlocal at
        at += timedelta(milliseconds=rng.randrange(40, 90_000))
        payload = {"eventId": f"{rng.getrandbits(64):016x}", "eventType": kind, "orderId": order, **more}
        day.publish(topic, at, key, payload, story)

    def mail(kind: str, template: str, **more) -> None:
        step(NOTICES, kind, customer, customerId=customer, template=template, **more)

    def stock(kind: str, reason: str) -> None:
        step(STOCK, kind, sku, sku=sku, quantityDelta=rng.randrange(-3, 4), reason=reason)

    total = rng.randrange(1_290, 41_500) / 100
    of_order = {"customerId": customer, "currency": "EUR", "total": total}
    step(ORDERS, "OrderCreated", order, status="CREATED", **of_order)
    stock("StockReserved", "order_placed")
    bounced = rng.random() < 0.05
    mail("EmailBounced" if bounced else "EmailSent", "order-confirmation", status="BOUNCED" if bounced else "SENT")
    hour_ago = (day.now - begin) / timedelta(hours=1)
    if rng.random() < (0.5 if 2.5 < hour_ago < 4.5 else 0.05):
        step(ORDERS, "OrderPaymentFailed", order, status="PAYMENT_FAILED", reason="insufficient_funds", **of_order)
        mail("SmsSent", "payment-failed", status="SENT")
    if rng.random() < 0.1:
        step(ORDERS, "OrderCancelled", order, status="CANCELLED", reason="customer_request", **of_order)
        stock("StockReleased", "order_cancelled")
        mail("EmailSent", "order-cancelled", status="SENT")
        return
    step(ORDERS, "OrderPaid", order, status="PAID", **of_order)
    if rng.random() < 0.15:
        stock("LowStockDetected", "below_reorder_point")
        stock("StockReplenished", "purchase_order_received")
    stock("StockAdjusted", "order_shipped")
    step(ORDERS, "OrderShipped", order, status="SHIPPED", **of_order)
    mail("PushSent", "order-shipped", status="SENT")
    step(ORDERS, "OrderDelivered", order, status="DELIVERED", **of_order)
    mail("EmailSent", "order-delivered", status="SENT")


def _odd_records(day: Day) -> None:
    """Events of other teams: fields that clash, text that is no JSON, a clock that is wrong, a null value, dead letters."""
    before = [day.now - timedelta(minutes=minutes) for minutes in range(5, 1300, 80)]
    for number, at in enumerate(before):
        story = {"trace": f"{day.rng.getrandbits(128):032x}", "correlation": f"{day.rng.getrandbits(128):032x}"}
        other = {"eventType": "OrderPaid", "orderId": f"O-OTHER-{number}"}
        day.publish(ORDERS, at, f"other-{number}", other | {"status": {"code": "PAID"}}, story, conflict="status")
        if number % 4 == 0:
            day.publish(NOTICES, at + timedelta(seconds=1), f"campaign-{number}", other | {"channel": {"name": "email"}}, story, conflict="channel")
            day.publish(STOCK, at + timedelta(seconds=2), "MS-ERGO-02", "PALLET 4711 MOVED", story)
            day.publish(ORDERS, at + timedelta(seconds=3), f"till-{number}", other | {"timestamp": 0}, story, tag="_timestampoutofrange")
        if number % 5 == 0:
            day.publish(ORDERS, at + timedelta(seconds=4), f"gone-{number}", None, story)
        if number % 3 == 0:
            error = REJECTED[number % 2]
            day.publish(ORDERS, at + timedelta(seconds=5), f"huge-{number}", other, story, error=error)
