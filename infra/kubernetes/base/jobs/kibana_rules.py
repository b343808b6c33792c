"""The alerting rules of Kibana. Watches need a licence; these rules work with the basic one.

Each rule writes to Kibana's log and to the index of its connector, the two kinds of connectors that the basic licence has. A
rule type `.es-query` has the parameters of `EsQueryRuleParamsSchema` in Kibana's source (response-ops/rule_params/es_query).
"""

import hashlib
import uuid

ALERTS_INDEX = "stack-alerts"
# Minutes that a service may be silent, as SILENCE_MINUTES of provision-cluster.
SILENCE_MINUTES = 15
LAG = 10_000


def identity(name: str) -> str:
    """The id of an object: the same for each run. Kibana takes only UUIDs for rules and connectors."""
    return str(uuid.UUID(bytes=hashlib.sha256(name.encode()).digest()[:16], version=4))


CONNECTORS = {
    identity("connector log"): {"name": "stack: Kibana's log", "connector_type_id": ".server-log", "config": {}},
    identity("connector index"): {
        "name": "stack: alerts index",
        "connector_type_id": ".index",
        "config": {"index": ALERTS_INDEX, "executionTimeField": "@timestamp"},
    },
}


def esql(query: str, minutes: int, time_field: str = "@timestamp") -> dict:
    """A rule that alerts if an ES|QL query finds rows."""
    return {
        "searchType": "esqlQuery",
        "esqlQuery": {"esql": query},
        "timeField": time_field,
        "timeWindowSize": minutes,
        "timeWindowUnit": "m",
        "size": 0,
        "threshold": [0],
        "thresholdComparator": ">",
    }


def count(index: str, comparator: str, threshold: int, minutes: int, time_field: str = "@timestamp") -> dict:
    """A rule that alerts on the number of documents of the last minutes."""
    return {
        "searchType": "esQuery",
        "esQuery": '{"query":{"match_all":{}}}',
        "index": [index],
        "timeField": time_field,
        "timeWindowSize": minutes,
        "timeWindowUnit": "m",
        "size": 0,
        "threshold": [threshold],
        "thresholdComparator": comparator,
        "excludeHitsFromPreviousRun": False,
    }


RULES = {
    # For 15 minutes, so that a restart and its rebalance alert no one.
    "consumer lag": esql(
        'FROM stack-report-* | WHERE kind == "lag" | STATS runs = COUNT(*), lag = MIN(lag) BY group, topic, partition'
        f" | WHERE runs >= 3 AND lag > {LAG}",
        16,
    ),
    "silent service": esql(
        "FROM microservices-* | STATS newest = MAX(@timestamp) BY service_name"
        f" | WHERE newest < NOW() - {SILENCE_MINUTES} minutes",
        24 * 60,
    ),
    "error ratio": esql(
        'FROM stack-report-* | WHERE kind == "errors" AND events >= 20 AND failures > 0.05 * events'
        " | KEEP service_name, events, failures",
        6,
    ),
    "dead letters": esql('FROM stack-report-* | WHERE kind == "dead_letters" AND new > 0 | KEEP new, total', 6),
    "disk": esql('FROM stack-report-* | WHERE kind == "disk" | STATS used = MAX(used_percent) BY node | WHERE used >= 80', 11),
    "no report": count("stack-report-*", "<", 1, 20),
}


def rule(name: str) -> dict:
    """What Kibana's API takes to change a rule. Creating it takes the members of `creation` as well."""
    message = f"{name}: {{{{context.conditions}}}}, value {{{{context.value}}}}, at {{{{context.date}}}}"
    log, index = CONNECTORS
    frequency = {"summary": False, "notify_when": "onActionGroupChange", "throttle": None}
    return {
        "name": f"stack: {name}",
        "tags": ["kafka-to-search"],
        "schedule": {"interval": "5m"},
        "params": RULES[name],
        "actions": [
            {"group": "query matched", "id": log, "params": {"level": "warn", "message": message}, "frequency": frequency},
            {
                "group": "query matched",
                "id": index,
                "params": {"documents": [{"rule": name, "message": message, "link": "{{{context.link}}}"}]},
                "frequency": frequency,
            },
        ],
    }


CREATION = {"consumer": "stackAlerts", "rule_type_id": ".es-query", "enabled": True}
