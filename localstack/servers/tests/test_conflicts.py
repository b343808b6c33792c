"""The command line for conflicts becomes the function's event, and the response becomes text and a template."""

import json

import pytest

from local_stack.commands import conflicts
from local_stack.errors import StackError
from local_stack.instance import Instance

KEYWORD = {"type": "keyword", "ignore_above": 1024, "fields": {"text": {"type": "match_only_text"}}}


def event(*words):
    return conflicts.event_of(conflicts._arguments(list(words)))


def group(field, documents, proposal, index="microservices-2026.11.28"):
    return {
        "topic": "order.events",
        "field": field,
        "reason": "failed to parse field [total] of type [double]",
        "documents": documents,
        "indices": [index],
        "example": {"index": index, "id": "order.events-0-1-5", "value": "2 euros"},
        "proposal": proposal,
        "advice": "a keyword takes it" if proposal else "its name is no field's",
    }


def part(groups, template, **more):
    documents = sum(each["documents"] for each in groups)
    return {
        "complete": True,
        "documents": documents,
        "groups": groups,
        "proposal": template,
        "component_template": "microservices-custom",
        **more,
    }


def of_field(name, mapping):
    return {"template": {"mappings": {"properties": {name: mapping}}}}


def test_the_command_line_lists_unless_it_says_fix():
    assert event() == {"conflicts": "list"}
    assert event("--all") == {"conflicts": "list"}
    assert event(
        "--service", "order", "--field", "total", "--index", "microservices-2026.11.*", "--from", "now-1d"
    ) == {
        "conflicts": "list",
        "service": ["order"],
        "field": ["total"],
        "index": ["microservices-2026.11.*"],
        "from": "now-1d",
    }
    assert event("--fix", "--all") == {"conflicts": "fix", "all": True}


def test_a_fix_without_a_condition_is_refused_with_the_options_that_name_one():
    with pytest.raises(StackError, match="--fix --all"):
        conflicts.fix(Instance("none"), event("--fix"))


def test_several_responses_are_one_list():
    parts = [
        part([group("total", 2, of_field("total", KEYWORD))], of_field("total", KEYWORD), complete=False),
        part(
            [group("", 1, None), group("total", 3, of_field("total", KEYWORD), "microservices-2026.11.29")],
            of_field("when", KEYWORD),
        ),
    ]
    found = conflicts.combined(parts)
    assert (found["documents"], found["complete"]) == (6, True)
    assert [(each["field"], each["documents"]) for each in found["groups"]] == [("total", 5), ("", 1)]
    assert found["groups"][0]["indices"] == ["microservices-2026.11.28", "microservices-2026.11.29"]
    assert set(found["proposal"]["template"]["mappings"]["properties"]) == {"total", "when"}
    text = conflicts.describe_list(found)
    for words in ["6 events", "2 euros", "order.events-0-1-5", "no mapping ends it: its name", 'order.events  ""']:
        assert words in text, text


def test_a_proposed_field_takes_the_place_of_the_one_that_is_there():
    own = {
        "template": {"mappings": {"properties": {"total": {"type": "long", "coerce": False}, "mine": {"type": "ip"}}}}
    }
    template = conflicts.merged(own, of_field("total", KEYWORD) | {})
    assert template["template"]["mappings"]["properties"] == {"total": KEYWORD, "mine": {"type": "ip"}}
    settings = {"template": {"settings": {"index.mapping.total_fields.limit": 3000}}}
    assert conflicts.merged({}, settings) == settings
    text = conflicts.next_steps("microservices-custom", template)
    assert "PUT _component_template/microservices-custom" in text and "--fix --all" in text
    start, end = text.index("{"), text.rindex("}") + 1
    assert json.loads(text[start:end]) == template


def test_a_list_without_conflicts_says_so():
    assert conflicts.describe_list(conflicts.combined([part([], None)])) == "no event is written in another form"


def test_a_document_that_is_still_rejected_is_shown_with_the_advice():
    response = {
        "complete": True,
        "read": 3,
        "fixed": 1,
        "fixed_before": 0,
        "changed": 1,
        "still_rejected": 1,
        "failed": 0,
        "advice": "reindex the day",
        "problems": [{"id": "a", "type": "changed", "reason": "it was changed"}],
    }
    text = conflicts.describe_fix(response)
    for words in [
        "3 found",
        "1 now have their usual form",
        "1 changed since",
        "1 still rejected",
        "reindex the day",
    ]:
        assert words in text
    assert "failed; fix" not in text
