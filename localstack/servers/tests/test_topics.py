"""`make demo TOPICS=…` deploys these topics, and later commands keep them."""

import pytest

from local_stack import sam
from local_stack.errors import StackError
from local_stack.instance import Instance


@pytest.fixture
def instance(tmp_path, monkeypatch):
    monkeypatch.setenv("KAFKA_TO_SEARCH_STATE", str(tmp_path))
    made = Instance("topics")
    made.folder.mkdir(parents=True)
    return made


def test_the_chosen_topics_are_deployed_and_stay_for_later_deployments(instance):
    for topics in ("a.events,b.events", None):
        text = sam.expanded_template(instance, topics).read_text()
        assert "MappingOfaevents:" in text and "MappingOfbevents:" in text and "MappingOforderevents:" not in text
    assert sam.deployed_topics(instance) == "a.events,b.events"


def test_the_templates_own_topics_are_deployed_without_a_choice(instance):
    assert "MappingOforderevents:" in sam.expanded_template(instance, None).read_text()
    assert sam.deployed_topics(instance) is None


def test_topics_that_cannot_be_deployed_are_refused_and_forgotten(instance):
    with pytest.raises(StackError, match="same letters and digits"):
        sam.expanded_template(instance, "a.b,ab")
    assert sam.deployed_topics(instance) is None


def test_the_functions_of_the_template_are_compiled_and_nothing_else():
    assert sam.binaries() == ["index-events", "replay-dead-letters", "provision-cluster"]
