"""dead-letters.conf reads why Elasticsearch rejected a document, and nothing that both indices reject is lost.

The Elasticsearch output writes the reason as one text: its message, the status, the action with the whole event, the response
(`handle_dlq_response` in lib/logstash/plugin_mixins/elasticsearch/common.rb of logstash-output-elasticsearch). The hashes are
shown by Ruby's `inspect`, so the JRuby that ships with Logstash writes the reasons of these tests. Logstash itself is not run.
"""

import pytest
from conftest import ELK, named, pipeline_settings
from logstash.config import parse
from logstash.evaluate import Evaluator, Event
from test_manifests import quantity

ENVIRONMENT = {"ELASTIC_PASSWORD": "unused", "HOSTNAME": "logstash-0"}
# The same expression as in the plugin, for one event.
DETAILED_MESSAGE = """
  message, status, response = event.get("text"), event.get("status"), event.get("response")
  action_params = ["create", {"_id": "order.events-0-1-2", "_index": "microservices-2026.03.01"}, event.get("event")]
  event.set("reason", "#{message} status: #{status}, action: #{action_params}, response: #{response}")
"""


@pytest.fixture(scope="module")
def error_of(ruby):
    """`error_of(event, error)` is the `error` of the dead letter of an event that Elasticsearch rejected with this error."""
    pipeline = Evaluator(parse((ELK / "logstash" / "pipeline" / "dead-letters.conf").read_text()), ENVIRONMENT, ruby)

    def run(event: dict, error: dict, status: int = 400) -> dict:
        item = {"_index": "microservices-2026.03.01", "_id": "order.events-0-1-2", "status": status, "error": error}
        fields = {
            "event": event,
            "text": "Could not index event to Elasticsearch.",
            "status": status,
            "response": {"create": item},
        }
        reason = ruby({"code": DETAILED_MESSAGE}, fields, {})[0]["reason"]
        metadata = {"dead_letter_queue": {"reason": reason}, "document_id": "order.events-0-1-2", "kafka": {"headers": {}}}
        ((_, dead_letter),) = pipeline.written(Event({"@timestamp": "2026-03-01T10:20:30.000Z"}, metadata))
        return dead_letter["document"]["error"]

    return run


FAILED = {"type": "document_parsing_exception", "reason": "[1:9] failed to parse field [a]"}


def test_the_error_is_elasticsearchs_and_not_a_part_of_the_event(error_of):
    event = {"type": "OrderCreated", "reason": "sold out", "status: 7": "status: 9", "error": {"type": "Timeout"}}
    assert error_of(event, FAILED) == {"type": FAILED["type"], "reason": FAILED["reason"], "status": 400}


def test_an_event_of_any_length_leaves_the_reason_whole(error_of):
    assert error_of({"text": "x" * 9000}, FAILED)["reason"] == FAILED["reason"]


@pytest.mark.parametrize(
    "text",
    [
        ', response: {"create" => {"error" => {"type" => "forged", "reason" => "forged"}}}',
        '", response: {"create" => {"error" => {"type" => "forged"}}}',
        '\\", response: {"create" => {"error" => {"type" => "forged"}}}',
        '"error" => {"type" => "forged"}, "caused_by" => {"reason" => "forged"}',
        "#{1} #$0 \\u{41} \u001b \u0001 \u2028 ünï \U0001f69a\nnext\tline",
    ],
)
def test_a_text_that_looks_like_a_response_is_only_text(error_of, text):
    # Elasticsearch quotes the value in its reason.
    error = {**FAILED, "reason": f"failed to parse. Preview of field's value: '{text}'"}
    assert error_of({"text": text, text: [text]}, error) == {"type": FAILED["type"], "reason": error["reason"], "status": 400}


def test_the_cause_follows_the_reason_as_in_the_dead_letters_of_the_functions(error_of):
    cause = {
        "type": "illegal_argument_exception",
        "reason": 'For input string: "x"',
        "caused_by": {"type": "c", "reason": "deeper"},
    }
    assert error_of({}, {**FAILED, "caused_by": cause})["reason"] == (
        '[1:9] failed to parse field [a]: illegal_argument_exception: For input string: "x"'
    )


def test_an_index_that_is_missing_says_so(error_of):
    error = {"type": "index_not_found_exception", "reason": "no such index [a]", "index": "a"}
    assert error_of({}, error, status=404) == {"type": error["type"], "reason": error["reason"], "status": 404}


def test_an_error_without_a_reason_keeps_the_response(error_of):
    error = error_of({"type": "OrderCreated"}, {"type": "payload_too_large"}, status=413)
    assert (error["type"], error["status"]) == ("payload_too_large", 413)
    assert "payload_too_large" in error["reason"] and "OrderCreated" not in error["reason"]


def test_a_dead_letter_that_is_rejected_too_stays_on_the_volume(builds):
    """An output without a dead letter queue logs a 400 or 404 and goes on (`handle_dlq_response`)."""
    for name, objects in builds.items():
        pipelines = {each["pipeline.id"]: each for each in pipeline_settings(objects)}
        for pipeline in pipelines.values():
            assert pipeline["dead_letter_queue.enable"] is True, pipeline["pipeline.id"]
            assert pipeline["queue.type"] == "persisted" and pipeline["queue.checkpoint.writes"] == 1
        # The dead letters of dead letters are not read again.
        (source,) = parse((ELK / "logstash" / "pipeline" / "dead-letters.conf").read_text()).input
        assert source.options["pipeline_id"] == "main"
        needed = sum(
            quantity(pipeline[size].replace("gb", "Gi").replace("mb", "Mi"))
            for pipeline in pipelines.values() for size in ("queue.max_bytes", "dead_letter_queue.max_bytes")
        )  # fmt: skip
        (claim,) = named(objects, "StatefulSet", "logstash")["spec"]["volumeClaimTemplates"]
        assert needed <= 0.8 * quantity(claim["spec"]["resources"]["requests"]["storage"]), name
