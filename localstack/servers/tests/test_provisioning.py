"""What was provisioned is read from the log of provision-cluster."""

import json

from local_stack import provisioning
from local_stack.provisioning import Provisioned


def provisioned(thing, outcome, **more):
    return json.dumps({"level": "INFO", "message": "provisioned", "thing": thing, "outcome": outcome, **more})


RESPONDED = json.dumps({"level": "INFO", "message": "responding to CloudFormation: success", "reason": "2 applied"})


def test_the_last_run_is_read_thing_by_thing():
    log = [
        "START RequestId: 1",
        provisioned("index template microservices", "applied", reason=""),
        RESPONDED,
        provisioned("component template microservices-settings", "unchanged", note="codec best_compression"),
        provisioned(
            "lifecycle policy microservices", "not applied", reason="the cluster lacks index management: install it"
        ),
        json.dumps({"level": "ERROR", "message": "not provisioned", "reason": "role x: refused"}),
        RESPONDED,
    ]

    assert provisioning.last_run(log) == [
        Provisioned("component template microservices-settings", "unchanged"),
        Provisioned("lifecycle policy microservices", "not applied", "the cluster lacks index management: install it"),
        Provisioned("", "failed", "role x: refused"),
    ]


def test_without_a_complete_run_nothing_is_reported():
    assert provisioning.last_run(["{}", provisioned("a", "applied")]) == []
