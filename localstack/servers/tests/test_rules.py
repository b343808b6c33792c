"""The rules of topics of an instance: which file is deployed, and which one later deployments take."""

import pytest

from local_stack import paths, sam
from local_stack.commands import demo, summary
from local_stack.errors import StackError
from local_stack.instance import Instance


@pytest.fixture
def instance(tmp_path, monkeypatch):
    monkeypatch.setenv("KAFKA_TO_SEARCH_STATE", str(tmp_path))
    made = Instance("rules")
    made.folder.mkdir(parents=True)
    return made


@pytest.fixture
def rules(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("topics: [] # one\n")
    return file


def test_the_shipped_rules_are_deployed_without_a_choice(instance):
    sam.take_rules(instance, None)
    assert sam.rules_file(instance).read_bytes() == paths.PIPELINE.read_bytes()


def test_a_chosen_file_stays_for_later_deployments_as_it_is_then(instance, rules):
    sam.take_rules(instance, rules)
    rules.write_text("topics: [] # two\n")
    sam.take_rules(instance, None)
    assert sam.rules_file(instance).read_text() == "topics: [] # two\n"


def test_the_layers_folder_has_the_rules_alone(instance, rules):
    sam.take_rules(instance, rules)
    assert [file.name for file in sam.rules_file(instance).parent.iterdir()] == ["pipeline.yaml"]
    assert f"ContentUri: {sam.rules_file(instance).parent}\n" in sam.expanded_template(instance, None).read_text()


def test_a_file_that_is_missing_is_named_and_the_choice_stays(instance, rules):
    sam.take_rules(instance, rules)
    with pytest.raises(StackError, match="no file .*absent.yaml"):
        sam.take_rules(instance, rules.with_name("absent.yaml"))
    sam.take_rules(instance, None)
    assert sam.rules_file(instance).read_text() == rules.read_text()


def test_the_demo_has_rules_of_its_own_that_keep_the_prefix_of_its_searches():
    text = demo.RULES.read_text()
    assert "index: microservices-{service}" in text and summary.NOTIFICATIONS.startswith(summary.DAILY.rstrip("*"))
