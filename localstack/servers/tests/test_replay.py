"""The command line of a replay becomes the function's event, and the response becomes text."""

import pytest

from local_stack.commands import replay
from local_stack.errors import StackError
from local_stack.instance import Instance


def event(*words):
    return replay.event_of(replay._arguments(list(words)))


def test_conditions_and_dry_run_become_members_of_the_event():
    words = ["--service", "order.events", "--error-type", "a", "--error-type", "b", "--from", "now-2d", "--dry-run"]
    assert event(*words) == {"service": ["order.events"], "error_type": ["a", "b"], "from": "now-2d", "dry_run": True}
    assert event("--all") == {"all": True}
    assert event() == {}


def test_a_command_line_that_names_no_dead_letters_is_refused_with_the_options_that_do():
    for words in ([], ["--dry-run"]):
        with pytest.raises(StackError, match="--all for every one"):
            replay.replay(Instance("none"), event(*words))


def test_objects_are_named_by_bucket_and_key_or_prefix():
    assert event("--bucket", "b", "--key", "k", "--delete") == {"s3": {"bucket": "b", "key": "k", "delete": True}}
    assert event("--bucket", "b", "--prefix", "") == {"s3": {"bucket": "b", "prefix": ""}}


def test_the_text_names_what_was_refused_and_the_next_request():
    response = {
        "complete": False,
        "stopped": "the invocation's time is over",
        "read": 12,
        "indexed": 10,
        "duplicates": 0,
        "removed": 10,
        "refused": 2,
        "failed": 0,
        "not_removed": 0,
        "refused_by_service": {"order": {"mapper_parsing_exception": 2}},
        "problems": [{"id": "t-0-1-2", "type": "mapper_parsing_exception", "reason": "failed to parse"}],
        "next": {"all": True, "after": [1]},
    }
    text = replay.describe(response)
    for words in ["12 read", "2 rejected again", "order  mapper_parsing_exception", "t-0-1-2", '"after": [1]']:
        assert words in text
    assert "failed; replay" not in text


def test_a_dry_run_shows_where_the_documents_would_go():
    response = {
        "dry_run": True,
        "complete": True,
        "matched": 1,
        "by_service": {"order": {"x": 1}},
        "sample": [
            {"id": "i", "service": "order", "error_type": "x", "reason": "y", "index": "microservices-2026.03.01"}
        ],
    }
    assert "i -> microservices-2026.03.01" in replay.describe(response)
    assert "nothing was changed" in replay.describe(response)
