"""Lifecycle policies match the schemas of index management (ISM) and of Elasticsearch's ILM. No plugin runs here.

https://docs.opensearch.org/latest/im-plugin/ism/policies/ and
https://www.elastic.co/guide/en/elasticsearch/reference/8.19/ilm-actions.html
"""

import copy
import re

import pytest

from applied import DEAD_LETTERS, EVENTS, loaded
from shape import Mismatch, check

TIME = re.compile(r"[1-9]\d*(d|h|m|s)")
RETRY = {"count": int, "backoff?": {"exponential", "constant", "linear"}, "delay?": TIME}
AROUND = {"timeout?": TIME, "retry?": RETRY}
ACTIONS = (
    {**AROUND, "force_merge": {"max_num_segments": int}},
    {**AROUND, "read_write": {}},
    {**AROUND, "delete": {}},
)
# At most one condition.
CONDITIONS = ({"min_index_age": TIME}, {"min_state_age": TIME}, {"min_doc_count": int}, {"min_size": str})
ISM = {
    "policy": {
        "description": str,
        "default_state": str,
        "error_notification?": None,
        "states": [
            {"name": str, "actions": [ACTIONS], "transitions": [{"state_name": str, "conditions?": CONDITIONS}]}
        ],
        "ism_template?": [{"index_patterns": [str], "priority?": int}],
    }
}
AGE = re.compile(r"\d+(d|h|m|s|ms)")
SET_PRIORITY = {"priority": (int, None)}
ILM = {
    "policy": {
        "phases": {
            "hot?": {"min_age?": AGE, "actions": {"set_priority?": SET_PRIORITY}},
            "warm?": {
                "min_age?": AGE,
                "actions": {"set_priority?": SET_PRIORITY, "forcemerge?": {"max_num_segments": int}, "readonly?": {}},
            },
            "delete?": {"min_age?": AGE, "actions": {"delete": {}}},
        }
    }
}


def states(policy: dict) -> dict[str, dict]:
    return {state["name"]: state for state in policy["states"]}


def action_names(state: dict) -> list[str]:
    return [(action.keys() - AROUND.keys() - {"retry", "timeout"}).pop() for action in state["actions"]]


def check_ism(body: dict) -> None:
    """Checks the schema and the additional rules of the plugin's parser."""
    check(body, ISM)
    policy = body["policy"]
    known = states(policy)
    assert len(known) == len(policy["states"]), "two states have the same name"
    assert policy["default_state"] in known
    reached, ahead = set(), [policy["default_state"]]
    while ahead:
        name = ahead.pop()
        assert name in known, f"a transition leads to the state {name}, which is missing"
        if name not in reached:
            reached.add(name)
            ahead += [transition["state_name"] for transition in known[name]["transitions"]]
    assert reached == known.keys(), f"no transition leads to {known.keys() - reached}"
    for state in policy["states"]:
        if "delete" in action_names(state):
            assert action_names(state)[-1] == "delete" and not state["transitions"], (
                "a deletion must be the last action"
            )
    for template in policy.get("ism_template", []):
        assert template["index_patterns"] and template.get("priority", 0) >= 0
        for pattern in template["index_patterns"]:
            assert not re.search(r'[#:\\/?"<>| ,]', pattern) and not pattern.startswith("_")


DAILY, REFUSED = loaded("lifecycle/opensearch-daily.json"), loaded("lifecycle/opensearch-dead-letters.json")


def test_ism_policies_match_the_schema():
    check_ism(DAILY)
    check_ism(REFUSED)


def test_daily_indices_are_merged_then_deleted():
    known = states(DAILY["policy"])
    assert list(known) == ["hot", "warm", "delete"] and DAILY["policy"]["default_state"] == "hot"
    assert known["hot"]["actions"] == []
    after = [(each["state_name"], each["conditions"]) for each in known["hot"]["transitions"]]
    # The first condition that holds wins, so an index due for deletion is not merged first.
    assert after == [("delete", {"min_index_age": "40d"}), ("warm", {"min_index_age": "3d"})]
    assert known["warm"]["transitions"] == [{"state_name": "delete", "conditions": {"min_index_age": "40d"}}]
    assert known["warm"]["actions"][0]["force_merge"] == {"max_num_segments": 1}
    assert action_names(known["delete"]) == ["delete"]


def test_late_events_can_be_written_after_the_merge():
    """force_merge blocks writes permanently. read_write unblocks them."""
    for policy in (DAILY, REFUSED):
        for state in policy["policy"]["states"]:
            names = action_names(state)
            assert "read_only" not in names
            if "force_merge" in names:
                assert names.index("read_write") == names.index("force_merge") + 1


def test_dead_letters_are_kept_for_their_retention():
    known = states(REFUSED["policy"])
    assert known["hot"]["transitions"] == [{"state_name": "delete", "conditions": {"min_index_age": "20d"}}]


def test_new_indices_get_their_policy():
    (daily,), (refused,) = DAILY["policy"]["ism_template"], REFUSED["policy"]["ism_template"]
    assert daily["index_patterns"] == [EVENTS] and refused["index_patterns"] == [DEAD_LETTERS]
    # Both patterns match a dead-letter prefix such as `microservices-refused`, and equal priorities would be rejected.
    assert refused["priority"] > daily["priority"]


@pytest.mark.parametrize(
    "break_it",
    [
        lambda policy: policy["states"][0]["transitions"][0].update(state_name="cold"),
        lambda policy: policy["states"][0]["transitions"].pop(1) and policy["states"][0]["transitions"],
        lambda policy: policy["states"][1]["actions"][0].update(force_merge={"segments": 1}),
        lambda policy: policy["states"][1]["actions"].append({"rollover": {}}),
        lambda policy: policy["states"][2]["transitions"].append({"state_name": "hot"}),
        lambda policy: policy["states"][0]["transitions"][0]["conditions"].update(min_size="1gb"),
        lambda policy: policy.update(default_state="cold"),
        lambda policy: policy.update(states=policy["states"] * 2),
        lambda policy: policy.update(policy_name="x"),
    ],
)
def test_an_invalid_policy_is_detected(break_it):
    broken = copy.deepcopy(DAILY)
    break_it(broken["policy"])
    with pytest.raises((Mismatch, AssertionError)):
        check_ism(broken)


@pytest.mark.parametrize(("name", "retention"), [("daily", "40d"), ("dead-letters", "20d")])
def test_ilm_policies_match_the_schema(name, retention):
    policy = loaded(f"lifecycle/elasticsearch-{name}.json")
    check(policy, ILM)
    phases = policy["policy"]["phases"]
    assert phases["delete"] == {"min_age": retention, "actions": {"delete": {}}}
    assert not any("readonly" in phase["actions"] for phase in phases.values()), "late events could not be written"
    # Daily indices are never rolled over. Without a rollover, age counts from creation.
    assert "rollover" not in phases["hot"]["actions"]
    if name == "daily":
        assert phases["warm"]["min_age"] == "3d"
        assert phases["warm"]["actions"]["forcemerge"] == {"max_num_segments": 1}


def test_both_engines_keep_indices_for_the_same_time():
    for name in ("daily", "dead-letters"):
        ism, ilm = loaded(f"lifecycle/opensearch-{name}.json"), loaded(f"lifecycle/elasticsearch-{name}.json")
        to_delete = {
            each["conditions"]["min_index_age"]
            for state in ism["policy"]["states"]
            for each in state["transitions"]
            if each["state_name"] == "delete"
        }
        assert to_delete == {ilm["policy"]["phases"]["delete"]["min_age"]}
