"""logstash.conf reads times as the function does: tests/fixtures/times.json lists values and what both read.

Here the readers of the pipeline's filter `payload` run in JRuby, one value at a time.
"""

import json

import pytest
from conftest import ELK, REPOSITORY
from logstash.config import parse, substitute

CASES = json.loads((REPOSITORY / "tests" / "fixtures" / "times.json").read_text())
READ_TIME = """
  text = @json_text.call(event.get("text"))
  time = @time_ms.call(JSON.parse(text), text, "t")
  outcomes = { nil => "unparsed", :out_of_range => "out of range" }
  event.set("outcome", time.is_a?(Integer) ? @as_timestamp.call(time).to_s : outcomes[time])
"""


@pytest.fixture(scope="module")
def read(ruby):
    """Reads the JSON text of a value as a time of a zone, as the list does."""
    pipeline = parse((ELK / "logstash" / "pipeline" / "logstash.conf").read_text())
    (payload,) = (plugin for plugin in pipeline.plugins("filter") if plugin.options["id"] == "payload")

    def run(value: str, zone: str) -> str:
        options = {"init": substitute(payload.options["init"], {"TIMESTAMP_ZONE": zone}), "code": READ_TIME}
        fields, _ = ruby(options, {"text": f'{{"a": 1, "t": {value}, "b": [2]}}'}, {})
        return fields["outcome"]

    return run


def test_there_are_cases_of_every_outcome():
    assert len(CASES) > 150
    assert {"out of range", "unparsed"} < {case["outcome"] for case in CASES}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['value'][:40]} {case['zone']}")
def test_a_value_is_read_as_the_function_reads_it(case, read):
    assert read(case["value"], case["zone"]) == case["outcome"]


def test_a_zone_that_does_not_exist_stops_the_pipeline(read):
    with pytest.raises(AssertionError, match="TIMESTAMP_ZONE: `Mars/Base` is not a time zone"):
        read("0", "Mars/Base")
