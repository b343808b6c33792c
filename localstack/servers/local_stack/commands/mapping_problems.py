"""What a running poller says is wrong with its mappings, for `make status`."""

from local_stack import rest
from local_stack.errors import StackError
from local_stack.instance import Instance
from local_stack.servers.poller import POLLER

TIMEOUT_S = 3


def of_instance(instance: Instance) -> list[str]:
    """A line for each problem; none if all is well."""
    try:
        status = rest.call("GET", f"{POLLER.info(instance)['endpoint']}/status", timeout_s=TIMEOUT_S)
    except StackError as error:
        return [f"the poller does not say how its mappings are: {error}"]
    return lines(status)


def lines(status: dict) -> list[str]:
    """The problems in the poller's `/status`, the worst first."""
    found = [] if status["lambdaApiReachable"] else ["the Lambda API is not reachable from the poller"]
    warnings = []
    for mapping in status["mappings"]:
        topic = mapping["topic"]
        if mapping["problem"]:
            found.append(f"{topic} is not served: {mapping['problem']}")
        troubles = [*mapping.get("stalled", []), *filter(None, [mapping.get("lost")])]
        found += [f"{topic}: {trouble['what']}. {trouble['fix']}" for trouble in troubles]
        if mapping.get("warning"):
            warnings.append(f"{topic}: {mapping['warning']}")
    return [f"PROBLEM  {line}" for line in found] + [f"warning  {line}" for line in warnings]
