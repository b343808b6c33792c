"""The command line of a replay is the function's event, and its answer is told in words."""

import pytest

import replay
from errors import StackError
from instance import Instance


def event(*words):
    return replay.event_of(replay._arguments(list(words)))


def test_conditions_and_dry_run_are_the_functions_members():
    words = ["--service", "order.events", "--error-type", "a", "--error-type", "b", "--from", "now-2d", "--dry-run"]
    assert event(*words) == {"service": ["order.events"], "error_type": ["a", "b"], "from": "now-2d", "dry_run": True}
    assert event("--all") == {"all": True}
    assert event() == {}


def test_a_command_line_that_names_no_dead_letters_is_refused_in_its_own_words():
    for words in ([], ["--dry-run"]):
        with pytest.raises(StackError, match="--all for every one"):
            replay.replay(Instance("none"), event(*words))


def test_objects_are_named_by_bucket_and_key_or_prefix():
    assert event("--bucket", "b", "--key", "k", "--delete") == {"s3": {"bucket": "b", "key": "k", "delete": True}}
    assert event("--bucket", "b", "--prefix", "") == {"s3": {"bucket": "b", "prefix": ""}}


def test_an_answer_names_what_needs_a_look():
    answer = {
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
    told = replay.told(answer)
    for words in ["12 read", "2 refused again", "order  mapper_parsing_exception", "t-0-1-2", '"after": [1]']:
        assert words in told
    assert "failed, to be replayed" not in told


def test_a_dry_run_shows_where_the_documents_would_go():
    answer = {
        "dry_run": True,
        "complete": True,
        "matched": 1,
        "by_service": {"order": {"x": 1}},
        "sample": [
            {"id": "i", "service": "order", "error_type": "x", "reason": "y", "index": "microservices-2026.03.01"}
        ],
    }
    assert "i -> microservices-2026.03.01" in replay.told(answer)
    assert "nothing was changed" in replay.told(answer)
