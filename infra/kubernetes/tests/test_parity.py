"""logstash.conf builds the same document from a record as the function.

Each file in tests/fixtures/parity has a Kafka record and the document that both paths must write. The tests of the function
read the same files. Here the pipeline file is parsed and evaluated (logstash/), and its Ruby code runs in JRuby. Logstash
itself does not run, because no package registry provides it.
"""

import base64
import json

import pytest
from conftest import ELK, REPOSITORY
from logstash.config import parse
from logstash.evaluate import Evaluator, Event

FIXTURES = sorted((REPOSITORY / "tests" / "fixtures" / "parity").glob("*.json"))
ENVIRONMENT = {"ELASTIC_PASSWORD": "unused", "HOSTNAME": "logstash-0"}


@pytest.fixture(scope="module")
def evaluator(ruby):
    text = (ELK / "logstash" / "pipeline" / "logstash.conf").read_text()
    return Evaluator(parse(text), ENVIRONMENT, ruby)


def received(record: dict, group: str) -> Event:
    """The event that the kafka input creates from a record, with the options of logstash.conf (see test_kafka_input…)."""
    value = record_bytes(record, "value")
    key = record_bytes(record, "key")
    headers = {}
    for header in record.get("headers", []):
        content = record_bytes(header, "value")
        try:
            # The input skips headers whose value is missing or not UTF-8. The last header of a name wins.
            if content:
                headers[header["name"]] = content.decode()
        except UnicodeDecodeError:
            continue
    kafka = {name: record[name] for name in ("topic", "partition", "offset", "timestamp")}
    kafka |= {"consumer_group": group, "headers": headers}
    # Kafka's StringDeserializer replaces bytes that are not UTF-8 with U+FFFD.
    kafka["key"] = None if key is None else key.decode(errors="replace")
    fields = {
        # The input does not distinguish a null value from an empty one.
        "message": (value or b"").decode("iso-8859-1"),
        "@timestamp": "2001-01-01T00:00:00.000Z",
        "@version": "1",
    }
    return Event(fields, {"kafka": {name: item for name, item in kafka.items() if item is not None}})


def record_bytes(holder: dict, name: str) -> bytes | None:
    """The bytes in a fixture: `name` is text or null, `name`_base64 is base64."""
    if f"{name}_base64" in holder:
        return base64.b64decode(holder[f"{name}_base64"], validate=True)
    return None if holder[name] is None else holder[name].encode()


def test_there_are_fixtures():
    assert len(FIXTURES) >= 30


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_logstash_writes_the_same_document_as_the_function(path, evaluator):
    fixture = json.loads(path.read_text())
    expected = {"action": "create", **fixture["expected"]}
    if "logstash" in fixture:
        assert fixture["logstash"]["why"].strip(), "a difference needs its reason"
        expected["document"] = fixture["logstash"]["document"]
        assert expected["document"] != fixture["expected"]["document"], "the documents do not differ"
    (output, written), *others = evaluator.written(received(fixture["record"], "logstash-consumer-group"))
    assert others == []
    assert output.options["id"] == "microservices"
    assert written == expected


def test_a_record_delivered_twice_gives_the_same_document(evaluator):
    record = json.loads(FIXTURES[0].read_text())["record"]
    first, second = (evaluator.written(received(record, "g"))[0][1] for _ in range(2))
    assert first == second


def document_of(value: str, evaluator) -> dict:
    """The document of a record with this value."""
    record = json.loads((FIXTURES[0].parent / "object.json").read_text())["record"] | {"value": value}
    ((_, written),) = evaluator.written(received(record, "g"))
    return written["document"]


# The function keeps what follows as it is. Its fixtures can't hold these values, because serde_json does not read them.


def test_half_of_a_surrogate_pair_is_replaced(evaluator):
    document = document_of(r'{"text": "\ud800 \uDE9A \ud83d\ude9a \\ud800", "\udc00": 1}', evaluator)
    assert document["text"] == "\ufffd \ufffd \U0001f69a \\ud800"
    assert document["\ufffd"] == 1
    assert "tags" not in document


@pytest.mark.parametrize("number", ["1e400", "-1.5E+309", "9" * 1001])
def test_a_number_that_elasticsearch_cannot_read_becomes_text(evaluator, number):
    document = document_of(f'{{"timestamp": "2026-02-28T10:00:00Z", "numbers": [{number}, 1e3], "text": "1e400"}}', evaluator)
    assert document["numbers"] == [number, 1000.0]
    assert document["text"] == "1e400"
    assert document["@timestamp"] == "2026-02-28T10:00:00.000Z"
    assert "tags" not in document


def test_times_without_a_zone_are_in_the_zone_of_the_environment(ruby):
    text = (ELK / "logstash" / "pipeline" / "logstash.conf").read_text()
    evaluator = Evaluator(parse(text), {**ENVIRONMENT, "TIMESTAMP_ZONE": "Europe/Paris"}, ruby)
    assert document_of('{"timestamp": "2026-03-01 00:30:00"}', evaluator)["@timestamp"] == "2026-02-28T23:30:00.000Z"


def test_a_platform_log_goes_to_its_own_index(evaluator):
    fields = {"message": "started", "@timestamp": "2026-03-01T10:20:30.000Z", "@version": "1"}
    ((output, written),) = evaluator.written(Event(fields, {}))
    assert output.options["id"] == "platform-logs"
    assert written["index"] == "platform-logs-2026.03.01"
    assert written["id"] is None
    assert written["document"] == {**fields, "environment": "kubernetes", "platform": "demo-micro"}


def test_a_rejected_document_goes_to_the_dead_letter_index_under_its_id(evaluator, ruby):
    record = json.loads((FIXTURES[0].parent / "headers.json").read_text())["record"]
    event = received(record, "g")
    ((_, written),) = evaluator.written(event)
    reason = (
        'Could not index event to Elasticsearch. status: 400, action: ["create"], response: {"create" => {"status" => 400, '
        '"error" => {"type" => "document_parsing_exception", "reason" => "[1:9] failed to parse field [a]"}}}'
    )
    metadata = {
        "kafka": event.metadata["kafka"],
        "document_id": written["id"],
        "value": record["value"],
        "dead_letter_queue": {"reason": reason, "plugin_id": "microservices", "entry_time": "2026-03-02T00:00:00.000Z"},
    }
    pipeline = Evaluator(parse((ELK / "logstash" / "pipeline" / "dead-letters.conf").read_text()), ENVIRONMENT, ruby)
    ((output, dead_letter),) = pipeline.written(Event(written["document"], metadata))
    assert output.options["id"] == "dead-letters"
    identity = ("service", "service_name", "environment", "platform", "kafka_topic", "kafka_partition", "kafka_offset")
    assert dead_letter == {
        "action": "create",
        "index": "dead-letters-microservices-2026.03.01",
        "id": written["id"],
        "document": {
            **{name: written["document"][name] for name in (*identity, "@timestamp", "kafka_timestamp", "kafka_key")},
            "error": {"type": "document_parsing_exception", "reason": "[1:9] failed to parse field [a]", "status": 400},
            "target_index": written["index"],
            "kafka_headers_raw": [{header["name"]: list(header["value"].encode())} for header in record["headers"]],
            "payload": record["value"],
        },
    }


def test_a_rejected_platform_log_keeps_its_whole_event(ruby):
    pipeline = Evaluator(parse((ELK / "logstash" / "pipeline" / "dead-letters.conf").read_text()), ENVIRONMENT, ruby)
    fields = {"@timestamp": "2026-03-01T10:20:30.000Z", "message": "started"}
    ((output, dead_letter),) = pipeline.written(Event(fields, {"dead_letter_queue": {"reason": "status: 404"}}))
    assert output.options["id"] == "dead-platform-logs"
    assert dead_letter["id"] is None
    assert json.loads(dead_letter["document"]["payload"]) == fields
    assert dead_letter["document"]["error"] == {"type": "unknown", "reason": "status: 404", "status": 404}


def test_kafka_input_has_the_options_that_these_tests_assume():
    pipeline = parse((ELK / "logstash" / "pipeline" / "logstash.conf").read_text())
    kafka = next(plugin.options for plugin in pipeline.input if plugin.name == "kafka")
    assert kafka["topics"] == ["order.events", "inventory.events", "notification.events"]
    assert kafka["bootstrap_servers"] == "${KAFKA_BOOTSTRAP_SERVERS:kafka:29092}"
    assert kafka["group_id"] == "logstash-consumer-group"
    assert kafka["consumer_threads"] == "${LOGSTASH_CONSUMER_THREADS:3}"
    assert kafka["auto_offset_reset"] == "earliest"
    assert kafka["decorate_events"] == "extended"
    assert kafka["enable_auto_commit"] is False
    assert kafka["value_deserializer_class"].endswith(".ByteArrayDeserializer")
    assert "key_deserializer_class" not in kafka, "the input can't add a key of bytes to an event"
    codec = kafka["codec"]
    assert (codec.name, codec.options) == ("plain", {"charset": "ISO-8859-1", "ecs_compatibility": "disabled"})
