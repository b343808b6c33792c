"""What the cluster was given is told from the log of the function that did it."""

import json

import deployment


def provisioned(thing, outcome, **more):
    return json.dumps({"level": "INFO", "message": "provisioned", "thing": thing, "outcome": outcome, **more})


ANSWERED = json.dumps({"level": "INFO", "message": "responding to CloudFormation: success", "reason": "2 applied"})


def test_the_last_run_is_told_line_by_line():
    log = [
        "START RequestId: 1",
        provisioned("index template microservices", "applied", reason=""),
        ANSWERED,
        provisioned("component template microservices-settings", "unchanged", note="codec best_compression"),
        provisioned(
            "lifecycle policy microservices", "not applied", reason="the cluster lacks index management: install it"
        ),
        json.dumps({"level": "ERROR", "message": "not provisioned", "reason": "role x: refused"}),
        ANSWERED,
    ]

    assert deployment.told(log) == [
        "unchanged    component template microservices-settings (codec best_compression)",
        "not applied  lifecycle policy microservices: the cluster lacks index management: install it",
        "failed       role x: refused",
    ]


def test_without_a_run_there_is_nothing_to_tell():
    assert deployment.told(["{}", provisioned("a", "applied")]) == []
