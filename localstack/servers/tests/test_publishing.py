"""Events go to topics that have a mapping, and to a registry that runs."""

import re

import pytest

from local_stack.commands import publishing
from local_stack.errors import StackError
from local_stack.instance import Instance


@pytest.fixture
def instance(tmp_path, monkeypatch):
    monkeypatch.setenv("KAFKA_TO_SEARCH_STATE", str(tmp_path))
    made = Instance("publishing")
    made.folder.mkdir(parents=True)
    return made


def test_events_go_to_the_first_topic_that_was_deployed(instance):
    assert publishing.first_topic(instance) == "order.events"
    (instance.folder / "topics").write_text("a.events,b.events")
    assert publishing.first_topic(instance) == "a.events"


def test_a_format_needs_the_registry(instance):
    with pytest.raises(StackError, match="make demo FORMATS=1"):
        publishing.publish_serialized(instance, "avro", 1)


def test_every_format_has_a_serializer():
    known = re.search(r"^SERIALIZERS = {(.*)}$", publishing.SERIALIZED_EVENTS.read_text(), re.MULTILINE)
    assert tuple(re.findall(r'"([\w-]+)":', known.group(1))) == publishing.FORMATS
