"""The lines of `make status` about mappings."""

from local_stack.commands.mapping_problems import lines

MAPPING = {"topic": "order.events", "problem": None, "stalled": [], "lost": None, "warning": None}


def found(**changed):
    return lines({"lambdaApiReachable": True, "mappings": [{**MAPPING, **changed}]})


def test_mappings_that_work_have_no_line():
    assert found() == []


def test_a_stall_and_a_loss_are_problems_with_what_to_do():
    stalled = [{"what": "partition 1 makes no progress for 75 s, 10 records wait: f fails", "fix": "Its log says why."}]
    lost = {"what": "1 record is lost (order.events-0 offset 1)", "fix": "Give it a bucket."}
    assert found(stalled=stalled, lost=lost) == [
        "PROBLEM  order.events: partition 1 makes no progress for 75 s, 10 records wait: f fails. Its log says why.",
        "PROBLEM  order.events: 1 record is lost (order.events-0 offset 1). Give it a bucket.",
    ]


def test_what_is_not_served_comes_before_a_warning():
    assert found(problem="no brokers", warning="no topic ids") == [
        "PROBLEM  order.events is not served: no brokers",
        "warning  order.events: no topic ids",
    ]
    away = lines({"lambdaApiReachable": False, "mappings": []})
    assert away == ["PROBLEM  the Lambda API is not reachable from the poller"]
