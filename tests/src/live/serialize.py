"""Serializes the same events as JSON, JSON Schema, Avro and Protobuf with Confluent's serializers; prints them as JSON, in base64.

serialize.py URL N: the registry, and how many events. The schemas are registered always in the same order.
"""

import base64
import json
import sys

from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

ITEM = {
    "type": "record",
    "name": "Item",
    "namespace": "shop",
    "fields": [{"name": "sku", "type": "string"}, {"name": "price", "type": "double"}],
}
AVRO = {
    "type": "record",
    "name": "Order",
    "namespace": "shop",
    "fields": [
        {"name": "orderId", "type": "string"},
        {"name": "total", "type": "double"},
        {"name": "quantity", "type": "int"},
        {"name": "serial", "type": "long"},
        {"name": "paid", "type": "boolean"},
        {"name": "status", "type": {"type": "enum", "name": "Status", "symbols": ["UNKNOWN", "PAID", "SENT"]}},
        {"name": "timestamp", "type": ["null", "string"]},
        {"name": "items", "type": {"type": "array", "items": "shop.Item"}},
        {"name": "labels", "type": {"type": "map", "values": "string"}},
    ],
}
JSON_SCHEMA = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "title": "Order",
    "type": "object",
    "required": ["orderId"],
}


def event(n: int) -> dict:
    """The n-th event. No value is its type's default, which Protobuf's JSON leaves out."""
    return {
        "orderId": f"O-{n} é",
        "total": n + 0.25,
        "quantity": n % 7 + 1,
        "serial": 9007199254740993 + n,
        "paid": True,
        "status": "PAID" if n % 2 else "SENT",
        "timestamp": f"2023-11-14T{n % 24:02}:00:00.000Z",
        "items": [{"sku": f"s-{i}", "price": i + 0.5} for i in range(n % 3 + 1)],
        "labels": {"shop": "north", "quote": '"'},
    }


def order_class() -> type:
    """The class of the message, made without protoc. It is not the first of its file, and nested: its indexes are 1 and 0."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="order.proto", package="shop", syntax="proto3")
    item = file.message_type.add(name="Item")
    item.field.add(name="sku", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    item.field.add(name="price", number=2, type=field.TYPE_DOUBLE, label=field.LABEL_OPTIONAL)
    shop = file.message_type.add(name="Shop")
    status = shop.enum_type.add(name="Status")
    for number, name in enumerate(["UNKNOWN", "PAID", "SENT"]):
        status.value.add(name=name, number=number)
    order = shop.nested_type.add(name="Order")
    entry = order.nested_type.add(name="LabelsEntry")
    entry.options.map_entry = True
    for number, name in enumerate(["key", "value"], 1):
        entry.field.add(name=name, number=number, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    for name, number, kind in [
        ("orderId", 1, field.TYPE_STRING), ("total", 2, field.TYPE_DOUBLE), ("quantity", 3, field.TYPE_INT32),
        ("serial", 4, field.TYPE_INT64), ("paid", 5, field.TYPE_BOOL),
    ]:  # fmt: skip
        order.field.add(name=name, number=number, type=kind, label=field.LABEL_OPTIONAL)
    order.field.add(
        name="status", number=6, type=field.TYPE_ENUM, label=field.LABEL_OPTIONAL, type_name=".shop.Shop.Status"
    )
    order.oneof_decl.add(name="when")
    order.field.add(name="timestamp", number=7, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL, oneof_index=0)
    order.field.add(name="items", number=8, type=field.TYPE_MESSAGE, label=field.LABEL_REPEATED, type_name=".shop.Item")
    order.field.add(
        name="labels", number=9, type=field.TYPE_MESSAGE, label=field.LABEL_REPEATED,
        type_name=".shop.Shop.Order.LabelsEntry",
    )  # fmt: skip
    pool = descriptor_pool.DescriptorPool()
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
        "avro": AvroSerializer(client, avro, conf=registered),
        "json-schema": JSONSerializer(json.dumps(JSON_SCHEMA), client, conf=registered),
        # It registers the file's descriptor in base64, not its text.
        "protobuf": ProtobufSerializer(order, client, conf={"use.deprecated.format": False}),
    }
    records = {"json": [base64.b64encode(json.dumps(each).encode()).decode() for each in events]}
    for name, serializer in serializers.items():
        context = SerializationContext(f"{name}.events", MessageField.VALUE)
        values = events if name != "protobuf" else [json_format.ParseDict(each, order()) for each in events]
        records[name] = [base64.b64encode(serializer(value, context)).decode() for value in values]
    json.dump(records, sys.stdout)


main()
