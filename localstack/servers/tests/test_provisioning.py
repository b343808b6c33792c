"""The report on provisioning is read from the log of provision-cluster."""

import json

from local_stack import provisioning


def provisioned(thing, outcome, **more):
    return json.dumps({"level": "INFO", "message": "provisioned", "thing": thing, "outcome": outcome, **more})


RESPONDED = json.dumps({"level": "INFO", "message": "responding to CloudFormation: success", "reason": "2 applied"})


def test_the_last_run_is_reported_line_by_line():
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
        "unchanged    component template microservices-settings (codec best_compression)",
        "not applied  lifecycle policy microservices: the cluster lacks index management: install it",
        "failed       role x: refused",
    ]


def test_without_a_complete_run_nothing_is_reported():
    assert provisioning.last_run(["{}", provisioned("a", "applied")]) == []
