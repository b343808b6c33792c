"""Publishes orders in Avro, Protobuf or JSON Schema with Confluent's serializers, which register their schemas.

Runs in the Python environment `serializers`: serialized_events.py BROKERS REGISTRY TOPIC FORMAT COUNT
"""

import datetime
import json
import sys
from collections.abc import Callable

from confluent_kafka import Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

FLUSH_TIMEOUT_S = 60
# The fields of an order, with their types in Avro, in JSON Schema and in Protobuf.
FIELDS = {
    "orderId": ("string", "string", descriptor_pb2.FieldDescriptorProto.TYPE_STRING),
    "eventType": ("string", "string", descriptor_pb2.FieldDescriptorProto.TYPE_STRING),
    "publishedAs": ("string", "string", descriptor_pb2.FieldDescriptorProto.TYPE_STRING),
    "total": ("double", "number", descriptor_pb2.FieldDescriptorProto.TYPE_DOUBLE),
    "quantity": ("int", "integer", descriptor_pb2.FieldDescriptorProto.TYPE_INT32),
    "timestamp": ("string", "string", descriptor_pb2.FieldDescriptorProto.TYPE_STRING),
}


def avro(registry: SchemaRegistryClient) -> Callable:
    """A serializer of orders in Avro."""
    fields = [{"name": name, "type": kind} for name, (kind, _, _) in FIELDS.items()]
    return AvroSerializer(registry, json.dumps({"type": "record", "name": "Order", "fields": fields}))


def json_schema(registry: SchemaRegistryClient) -> Callable:
    """A serializer of orders in JSON with a schema."""
    properties = {name: {"type": kind} for name, (_, kind, _) in FIELDS.items()}
    return JSONSerializer(json.dumps({"title": "Order", "type": "object", "properties": properties}), registry)


def protobuf(registry: SchemaRegistryClient) -> Callable:
    """A serializer of orders in Protobuf, whose class is made without protoc."""
    file = descriptor_pb2.FileDescriptorProto(name="order.proto", package="demo", syntax="proto3")
    message = file.message_type.add(name="Order")
    for number, (name, (_, _, kind)) in enumerate(FIELDS.items(), 1):
        message.field.add(name=name, number=number, type=kind, label=descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    order = message_factory.GetMessageClass(pool.FindMessageTypeByName("demo.Order"))
    serialize = ProtobufSerializer(order, registry, {"use.deprecated.format": False})
    return lambda event, context: serialize(json_format.ParseDict(event, order()), context)


SERIALIZERS = {"avro": avro, "json-schema": json_schema, "protobuf": protobuf}


def main() -> None:
    """Publishes the orders; fails if Kafka does not take one."""
    brokers, registry, topic, published_as, count = sys.argv[1:]
    serialize = SERIALIZERS[published_as](SchemaRegistryClient({"url": registry}))
    # The formats share a topic, so each has a subject of its own.
    context = SerializationContext(f"{topic}-{published_as}", MessageField.VALUE)
    refused = []
    producer = Producer({"bootstrap.servers": brokers, "linger.ms": 50})
    for number in range(1, int(count) + 1):
        event = {
            "orderId": f"O-{published_as.upper()}-{number}",
            "eventType": "OrderCreated",
            "publishedAs": published_as,
            "total": number + 0.25,
            "quantity": number % 5 + 1,
            "timestamp": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
        }
        producer.produce(
            topic,
            serialize(event, context),
            event["orderId"],
            on_delivery=lambda error, _: error and refused.append(error),
        )
        producer.poll(0)
    left = producer.flush(FLUSH_TIMEOUT_S)
    if left or refused:
        sys.exit(f"Kafka did not take {left + len(refused)} of {count} events: {refused[:1]}")
    print(f"published {count} orders to {topic} as {published_as}")


main()
