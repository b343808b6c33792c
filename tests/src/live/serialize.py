"""Serializes the same events as JSON, JSON Schema, Avro and Protobuf with Confluent's serializers; prints them as JSON, in base64.

serialize.py URL N: the registry, and how many events. The schemas are registered always in the same order.

The events have of each type what all four formats can express: docs/FORMATS.md lists what they can't express alike.
"""

import base64
import datetime
import json
import re
import sys
import uuid
from decimal import Decimal

from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.confluent.types import decimal_pb2
from confluent_kafka.schema_registry.json_schema import JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    json_format,
    message_factory,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)

DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 30, "scale": 2}
ITEM = {
    "type": "record",
    "name": "Item",
    "namespace": "shop",
    "fields": [
        {"name": "sku", "type": "string"},
        {"name": "price", "type": DECIMAL},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
    ],
}


def record(name: str, /, **fields: object) -> dict:
    """An Avro record type."""
    return {"type": "record", "name": name, "fields": [{"name": each, "type": kind} for each, kind in fields.items()]}


def array(items: object) -> dict:
    """An Avro array type."""
    return {"type": "array", "items": items}


def mapped(values: object) -> dict:
    """An Avro map type."""
    return {"type": "map", "values": values}


AVRO = record(
    "Order",
    orderId="string",
    id={"type": "string", "logicalType": "uuid"},
    total=DECIMAL,
    quantity="int",
    retries="int",
    serial="long",
    balance="long",
    points="long",
    checksum="long",
    rate="float",
    score="double",
    paid="boolean",
    status={"type": "enum", "name": "Status", "symbols": ["UNKNOWN", "PAID", "SENT"]},
    timestamp=["null", {"type": "long", "logicalType": "timestamp-millis"}],
    bookedAt={"type": "long", "logicalType": "timestamp-micros"},
    day={"type": "int", "logicalType": "date"},
    discount=["null", "double"],
    notes=array(["null", "string"]),
    items=array("shop.Item"),
    labels=mapped("string"),
    stock=mapped("shop.Item"),
    counts=mapped("long"),
    grid=array(array("double")),
    payment=[record("Card", scheme="string", last4="string"), record("Transfer", iban="string")],
    contact=[record("Mail", email="string"), record("Call", phone="string")],
    category=record("Category", name="string", parent=["Category", record("Root", name="string")]),
    signature="bytes",
) | {"namespace": "shop"}
JSON_SCHEMA = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "title": "Order",
    "type": "object",
    "required": ["orderId", "total", "items"],
    "properties": {
        "orderId": {"type": "string"},
        "total": {"type": "number"},
        "serial": {"type": "integer"},
        "status": {"enum": ["UNKNOWN", "PAID", "SENT"]},
        "discount": {"type": ["number", "null"]},
        "items": {"type": "array", "items": {"type": "object", "required": ["sku"]}},
    },
}
# The fields of each Protobuf message: name, type, and what the type needs besides.
FIELD = descriptor_pb2.FieldDescriptorProto
TYPES = {
    "string": FIELD.TYPE_STRING, "bytes": FIELD.TYPE_BYTES, "int32": FIELD.TYPE_INT32, "int64": FIELD.TYPE_INT64,
    "sint64": FIELD.TYPE_SINT64, "fixed64": FIELD.TYPE_FIXED64, "float": FIELD.TYPE_FLOAT, "double": FIELD.TYPE_DOUBLE,
    "bool": FIELD.TYPE_BOOL,
}  # fmt: skip
ITEM_FIELDS = ["string sku", ".confluent.type.Decimal price", "repeated string tags"]
ORDER_FIELDS = [
    "string orderId", "string id", ".confluent.type.Decimal total", "int32 quantity", "optional int32 retries",
    "int64 serial", "sint64 balance", ".google.protobuf.Int64Value points", "fixed64 checksum", "float rate",
    "double score", "optional bool paid", "enum:.shop.Shop.Status status", ".google.protobuf.Timestamp timestamp",
    ".google.protobuf.Timestamp bookedAt", "string day", ".google.protobuf.Value discount",
    "repeated .google.protobuf.Value notes", "repeated .shop.Item items", "map:string:string labels",
    "map:string:.shop.Item stock", "map:int32:int64 counts", "repeated .google.protobuf.ListValue grid",
    ".google.protobuf.Struct payment", ".shop.Shop.Order.Contact contact", ".shop.Category category", "bytes signature",
]  # fmt: skip


def event(n: int) -> dict:
    """The n-th event. Protobuf leaves out defaults of fields without presence: those have none here."""
    at = datetime.datetime(2023, 11, 14, n % 24, n % 60, 7, 1000 + 1000 * (n % 900), datetime.UTC)
    item = {"sku": f"s-{n}", "price": Decimal(n * 100 + 30).scaleb(-2), "tags": ["new", "größer"]}
    return {
        "orderId": f"O-{n} é 😀",
        "id": str(uuid.UUID(int=0x8A7F_0211_2233_4455_6677_8899_AABB_0000 + n)),
        # Down to a negative one, with more digits than a double has.
        "total": Decimal((n - 7) * 10**20 + 12_345_678_901_250 + n).scaleb(-2),
        "quantity": n % 7 + 1,
        "retries": n % 3,
        "serial": 9_007_199_254_740_993 + n,
        "balance": -(2**63) + n,
        "points": n * 1_000_000_007,
        "checksum": 2**63 - 1 - n,
        "rate": (n % 9 + 1) / 10,
        "score": -n - 0.25,
        "paid": n % 2 == 0,
        "status": "PAID" if n % 2 else "SENT",
        "timestamp": at,
        "bookedAt": at + datetime.timedelta(microseconds=123),
        "day": datetime.date(1969, 12, 20) + datetime.timedelta(days=n),
        "discount": None if n % 2 else n + 0.5,
        "notes": ["a", None, 'quote " back \\ line \n \u2028 \u0001 ü'],
        "items": [item] * (n % 3 + 1),
        "labels": {"shop": "north", "schlüssel": '"'},
        "stock": {"berlin": item},
        "counts": {"7": 2**53 + 1, "-1": n},
        "grid": [[0.5, n + 1.5], [2.5]],
        "payment": {"scheme": "visa", "last4": "4242"} if n % 2 else {"iban": f"DE{n}"},
        "contact": {"email": f"a{n}@example.com"} if n % 3 else {"phone": "+49 30 1"},
        "category": {"name": "shoes", "parent": {"name": "clothes", "parent": {"name": "all"}}},
        "signature": n.to_bytes(4) + b"\xff\xfe",
    }


def in_json(value: object) -> object:
    """The value as JSON has it, except for decimals."""
    match value:
        case dict():
            return {name: in_json(each) for name, each in value.items()}
        case list():
            return [in_json(each) for each in value]
        case datetime.datetime():
            precision = "microseconds" if value.microsecond % 1000 else "milliseconds"
            return value.replace(tzinfo=None).isoformat(timespec=precision) + "Z"
        case datetime.date():
            return value.isoformat()
        case bytes():
            return base64.b64encode(value).decode()
    return value


def json_text(value: object) -> str:
    """JSON text, with decimals as numbers of all their digits."""
    text = json.dumps(value, default=lambda number: f"decimal:{number}")
    return re.sub(r'"decimal:([0-9.-]+)"', r"\1", text)


def in_avro(order: dict) -> dict:
    """The event as fastavro writes it: the record types of unions by name."""
    of_name = {"scheme": "shop.Card", "iban": "shop.Transfer", "email": "shop.Mail", "phone": "shop.Call"}
    branches = {name: (of_name[next(iter(order[name]))], order[name]) for name in ["payment", "contact"]}
    category = order["category"]
    parent = category["parent"] | {"parent": ("shop.Root", category["parent"]["parent"])}
    return order | branches | {"category": category | {"parent": ("shop.Category", parent)}}


def in_protobuf(value: object) -> object:
    """The value as Protobuf's own reader of JSON takes it."""
    match value:
        case dict():
            return {name: in_protobuf(each) for name, each in value.items()}
        case list():
            return [in_protobuf(each) for each in value]
        case Decimal():
            unscaled = int(value.scaleb(2))
            bytes_of = unscaled.to_bytes(unscaled.bit_length() // 8 + 1, signed=True)
            return {"value": base64.b64encode(bytes_of).decode(), "precision": 30, "scale": 2}
    return value


def add_fields(message: descriptor_pb2.DescriptorProto, full_name: str, fields: list[str]) -> None:
    """Adds fields such as `repeated string tags` to a message, numbered from 1."""
    for number, text in enumerate(fields, 1):
        *words, kind, name = text.split()
        field = message.field.add(name=name, number=number, label=FIELD.LABEL_OPTIONAL)
        if "repeated" in words:
            field.label = FIELD.LABEL_REPEATED
        if kind.startswith("map:"):
            _, key, value = kind.split(":")
            entry = message.nested_type.add(name=f"{name.capitalize()}Entry")
            entry.options.map_entry = True
            add_fields(entry, f"{full_name}.{entry.name}", [f"{key} key", f"{value} value"])
            field.label = FIELD.LABEL_REPEATED
            kind = f"{full_name}.{entry.name}"
        if kind.startswith("enum:"):
            field.type, field.type_name = FIELD.TYPE_ENUM, kind.removeprefix("enum:")
        elif kind.startswith("."):
            field.type, field.type_name = FIELD.TYPE_MESSAGE, kind
        else:
            field.type = TYPES[kind]
        if "optional" in words:
            field.proto3_optional = True
            field.oneof_index = len(message.oneof_decl)
            message.oneof_decl.add(name=f"_{name}")


def order_class() -> type:
    """The class of the message, made without protoc. It is not the first of its file, and nested: its indexes are 2 and 0."""
    imports = [each.DESCRIPTOR.name for each in [decimal_pb2, struct_pb2, timestamp_pb2, wrappers_pb2]]
    file = descriptor_pb2.FileDescriptorProto(name="order.proto", package="shop", syntax="proto3", dependency=imports)
    add_fields(file.message_type.add(name="Item"), ".shop.Item", ITEM_FIELDS)
    add_fields(file.message_type.add(name="Category"), ".shop.Category", ["string name", ".shop.Category parent"])
    shop = file.message_type.add(name="Shop")
    status = shop.enum_type.add(name="Status")
    for number, name in enumerate(["UNKNOWN", "PAID", "SENT"]):
        status.value.add(name=name, number=number)
    order = shop.nested_type.add(name="Order")
    add_fields(order, ".shop.Shop.Order", ORDER_FIELDS)
    contact = order.nested_type.add(name="Contact")
    contact.oneof_decl.add(name="way")
    for number, name in enumerate(["email", "phone"], 1):
        contact.field.add(name=name, number=number, type=FIELD.TYPE_STRING, label=FIELD.LABEL_OPTIONAL, oneof_index=0)
    pool = descriptor_pool.Default()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("shop.Shop.Order"))


def main() -> None:
    """Registers the schemas and prints the records."""
    client = SchemaRegistryClient({"url": sys.argv[1]})
    events = [event(n) for n in range(int(sys.argv[2]))]
    order = order_class()
    # Avro's item is a schema of its own, which the other refers to.
    client.register_schema("item", Schema(json.dumps(ITEM), "AVRO"))
    reference = {"name": "shop.Item", "subject": "item", "version": 1}
    avro = Schema(json.dumps(AVRO), "AVRO", [SchemaReference(**reference)])
    client.register_schema("avro.events-value", avro)
    client.register_schema("json-schema.events-value", Schema(json.dumps(JSON_SCHEMA), "JSON"))
    registered = {"auto.register.schemas": False, "use.latest.version": True}
    serializers = {
        "avro": (AvroSerializer(client, avro, conf=registered), in_avro),
        "json-schema": (
            JSONSerializer(json.dumps(JSON_SCHEMA), client, conf=registered, json_encode=json_text),
            in_json,
        ),
        # It registers the file's descriptor in base64, not its text.
        "protobuf": (
            ProtobufSerializer(order, client, conf={"use.deprecated.format": False}),
            lambda each: json_format.ParseDict(in_protobuf(in_json(each)), order()),
        ),
    }
    records = {"json": [base64.b64encode(json_text(in_json(each)).encode()).decode() for each in events]}
    for name, (serializer, form) in serializers.items():
        context = SerializationContext(f"{name}.events", MessageField.VALUE)
        records[name] = [base64.b64encode(serializer(form(each), context)).decode() for each in events]
    json.dump(records, sys.stdout)


main()
