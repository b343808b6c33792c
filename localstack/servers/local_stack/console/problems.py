"""What is wrong in the stack, each with the sentence that says what to do. Pure."""

WEDGED_S = 30

# What a server's absence means, and what brings it back.
DOWN = {
    "kafka": "No event can be published or delivered. `make demo` starts it; what it held is still there.",
    "opensearch": "Events wait in Kafka; none is lost. `make demo` starts it, and they are delivered then.",
    "localstack": "No function runs; events wait in Kafka. `make demo` starts it and deploys the functions again.",
    "poller": "Nobody reads Kafka; events wait there. `make demo` starts it, and it continues where it stopped.",
}


def problems(state: dict) -> list[dict]:
    """The problems of a state, the worst first: `level` (`bad` or `warn`), `what` and `fix`."""
    found = [*_servers(state["servers"]), *_mappings(state), *_dead_letters(state["dead_letters"])]
    return sorted(found, key=lambda problem: problem["level"] != "bad")


def _servers(servers: list[dict]) -> list[dict]:
    found = []
    for server in servers:
        match server["state"]:
            case "down":
                found.append(
                    _bad(f"{server['title']} does not run.", f"{DOWN[server['name']]} Its log: {server['log']}")
                )
            case "silent":
                found.append(
                    _bad(
                        f"{server['title']} runs but does not respond yet.",
                        f"It may be starting. If that lasts, its log says why: {server['log']}. `make demo-down`, then `make demo`, starts it again.",
                    )
                )
    return found


def _mappings(state: dict) -> list[dict]:
    found = []
    localstack_runs = any(each["name"] == "localstack" and each["state"] == "runs" for each in state["servers"])
    poller_runs = any(each["name"] == "poller" and each["state"] == "runs" for each in state["servers"])
    if localstack_runs and state["mappings_known"] and not state["mappings"]:
        found.append(
            _bad(
                "No mapping is deployed, so no event is indexed.",
                "LocalStack forgets all when it stops: `make demo` deploys again.",
            )
        )
    for mapping in state["mappings"]:
        topic = mapping["topic"]
        if mapping["state"] in ("Disabled", "Disabling"):
            found.append(
                _warn(
                    f"The mapping of {topic} is disabled.",
                    "Its events wait in Kafka. Enable it under Mappings to deliver them.",
                )
            )
            continue
        if mapping["problem"]:
            found.append(
                _bad(
                    f"The mapping of {topic} is not served: {mapping['problem']}",
                    "Correct what it names; the poller tries again by itself.",
                )
            )
        if mapping["lost"]:
            found.append(_bad(f"{topic}: {mapping['lost']['what']}.", mapping["lost"]["fix"]))
        if mapping["warning"]:
            found.append(
                _warn(
                    f"{topic}: {mapping['warning']}", "Events are delivered in spite of it. The poller's log has more."
                )
            )
        if poller_runs:
            found += _partitions(mapping, _repair(mapping["function"], state["servers"]))
    return found


def _repair(function: str, servers: list[dict]) -> str:
    """What ends the failures of a function."""
    if any(each["name"] == "opensearch" and each["state"] != "runs" for each in servers):
        return "It can't write while OpenSearch is away, and goes on by itself when that is back."
    return f"The log lines of {function} below say why. After a change of its code: `make deploy-local`."


def _partitions(mapping: dict, repair: str) -> list[dict]:
    """A wedged partition of a function that fails is one problem, not two. The poller knows the reason, if it has waited long enough."""
    topic, result = mapping["topic"], mapping["result"]
    if mapping["stalled"]:
        return [_bad(f"{topic}: {each['what']}.", each["fix"]) for each in mapping["stalled"]]
    wedged = [each for each in mapping["partitions"] if each["stuck_s"] >= WEDGED_S]
    fails = result.upper().startswith("PROBLEM")
    if wedged:
        names = ", ".join(str(each["partition"]) for each in wedged)
        waiting = sum(each["lag"] or 0 for each in wedged)
        stuck = max(each["stuck_s"] for each in wedged)
        which = f"Partition {names}" if len(wedged) == 1 else f"Partitions {names}"
        what = f"{which} of {topic} {'has' if len(wedged) == 1 else 'have'} not moved for {stuck:.0f} s; {waiting:,} events wait."
        cause = (
            f"{mapping['function']} fails, and the batch is delivered again until it succeeds. {repair}"
            if fails
            else ("An invocation takes long, or the poller waits for Kafka: its log says which.")
        )
        return [_bad(what, cause)]
    if fails:
        return [
            _bad(
                f"{mapping['function']} fails on {topic}: {result.partition(':')[2].strip() or result}.",
                f"The batch is delivered again until it succeeds. {repair}",
            )
        ]
    return []


def _dead_letters(letters: dict) -> list[dict]:
    if not letters["total"]:
        return []
    reason = letters["items"][0]["type"] if letters["items"] else "unknown"
    are = "event is a dead letter" if letters["total"] == 1 else "events are dead letters"
    return [
        _warn(
            f"{letters['total']:,} {are}; the newest by {reason}.",
            "Nothing is lost: correct the cause, then replay them below.",
        )
    ]


def _bad(what: str, fix: str) -> dict:
    return {"level": "bad", "what": what, "fix": fix}


def _warn(what: str, fix: str) -> dict:
    return {"level": "warn", "what": what, "fix": fix}
