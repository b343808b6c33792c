"""What alerts someone on the basic licence: the rules of Kibana, and the report that they read.

Kibana is not run, because no package registry provides it. The rules are held against its source: EsQueryRuleParamsSchema and
`validateParams` in src/platform/packages/shared/response-ops/rule_params/es_query/v1.ts. The report's script is run against a
stand-in for Elasticsearch's documented APIs, with the text that Kafka's tool prints.
"""

import json
import re
import sys
import uuid

import pytest
from conftest import KUBERNETES
from test_jobs import run, stand_in

sys.path.insert(0, str(KUBERNETES / "base" / "jobs"))
import elasticsearch_setup
import kibana_rules

# `kafka-consumer-groups.sh --describe --all-groups` of Kafka 4.3.
GROUPS = """
GROUP  TOPIC  PARTITION  CURRENT-OFFSET  LOG-END-OFFSET  LAG  CONSUMER-ID  HOST  CLIENT-ID
logstash-consumer-group order.events  0  120  150  30  logstash-0-0-x  /10.0.0.7  logstash-0
logstash-consumer-group order.events  1  -  12  -  logstash-0-1-x  /10.0.0.7  logstash-0

Consumer group 'kafka-to-search-order.events' has no active members.

GROUP  TOPIC  PARTITION  CURRENT-OFFSET  LOG-END-OFFSET  LAG  CONSUMER-ID  HOST  CLIENT-ID
kafka-to-search-order.events order.events  0  150  150  0  -  -  -
"""


def test_there_is_a_rule_for_everything_that_needs_someone():
    assert kibana_rules.RULES.keys() >= {"consumer lag", "silent service", "error ratio", "dead letters", "disk", "no report"}


@pytest.mark.parametrize("name", kibana_rules.RULES)
def test_a_rule_has_the_parameters_that_kibana_accepts(name):
    rule = {**kibana_rules.rule(name), **kibana_rules.CREATION}
    assert rule.keys() == {"name", "tags", "schedule", "params", "actions", "consumer", "rule_type_id", "enabled"}
    assert (rule["consumer"], rule["rule_type_id"]) == ("stackAlerts", ".es-query")
    params = rule["params"]
    assert params["timeField"] and params["timeWindowUnit"] in ("s", "m", "h", "d") and params["timeWindowSize"] >= 1
    common = {"searchType", "timeField", "timeWindowSize", "timeWindowUnit", "size", "threshold", "thresholdComparator"}
    if params["searchType"] == "esqlQuery":
        assert params.keys() == common | {"esqlQuery"}
        assert (params["thresholdComparator"], params["threshold"]) == (">", [0])
    else:
        assert params.keys() == common | {"esQuery", "index", "excludeHitsFromPreviousRun"}
        assert json.loads(params["esQuery"])["query"] and params["thresholdComparator"] in (">", "<", ">=", "<=")
    # A window that is shorter than the interval would have gaps.
    assert params["timeWindowSize"] > int(rule["schedule"]["interval"].rstrip("m"))
    assert [action["group"] for action in rule["actions"]] == ["query matched"] * 2
    assert {action["id"] for action in rule["actions"]} == kibana_rules.CONNECTORS.keys()


def test_the_connectors_are_of_the_basic_licence():
    """https://www.elastic.co/subscriptions: Index and Server log are the connectors of the free tier."""
    assert {each["connector_type_id"] for each in kibana_rules.CONNECTORS.values()} == {".server-log", ".index"}


def test_ids_are_uuids_and_stay_the_same():
    """Kibana encrypts rules and connectors, and takes no other ids for encrypted objects."""
    for key in [*kibana_rules.CONNECTORS, *(kibana_rules.identity(f"rule {name}") for name in kibana_rules.RULES)]:
        assert uuid.UUID(key).version == 4 and key == str(uuid.UUID(key))
    assert kibana_rules.identity("a") == kibana_rules.identity("a") != kibana_rules.identity("b")


def test_rules_search_only_fields_that_exist():
    """ES|QL rejects a query with an unknown field."""
    template = json.loads((KUBERNETES.parent / "search" / "index-template.json").read_text())
    known = {
        "stack-report-*": set(elasticsearch_setup.STACK_FIELDS["properties"]),
        "microservices-*": set(template["template"]["mappings"]["properties"]),
    }
    words = {
        "FROM", "WHERE", "STATS", "BY", "AND", "OR", "KEEP", "COUNT", "MIN", "MAX", "NOW", "minutes",
    }  # fmt: skip
    checked = 0
    for params in kibana_rules.RULES.values():
        if params["searchType"] != "esqlQuery":
            continue
        query = params["esqlQuery"]["esql"]
        index = re.match(r"FROM (\S+) \|", query)[1]
        made = set(re.findall(r"(\w+) = ", query))
        names = set(re.findall(r"@?[A-Za-z_]\w*", re.sub(r'"[^"]*"', "", query.partition("|")[2])))
        assert names - words - made <= known[index], query
        checked += 1
    assert checked >= 5


def report(tmp_path, reports: list[dict], dead: int = 7, errors: bool = False):
    """Runs the script. Returns the process and the documents that it wrote."""
    (tmp_path / "groups").write_text(GROUPS)

    def response_to(method, path, headers, body):
        if path.startswith("/microservices-*/_search"):
            buckets = [{"key": "order", "doc_count": 40, "failures": {"doc_count": 3}}]
            return 200, {"aggregations": {"services": {"buckets": buckets}}}
        if path.startswith("/dead-letters-*/_count"):
            return 200, {"count": dead}
        if path.startswith("/stack-report-*/_search"):
            return 200, {"hits": {"hits": [{"_source": each} for each in reports]}}
        if path.startswith("/_cat/allocation"):
            return 200, [{"node": "elasticsearch-0", "disk.percent": "81"}, {"node": "UNASSIGNED", "disk.percent": None}]
        assert re.fullmatch(r"/stack-report-\d{4}\.\d\d\.\d\d/_bulk", path), path
        return 200, {"errors": errors, "items": [{"create": {"status": 400}}]}

    with stand_in(response_to) as (url, requests):
        settings = {"ELASTICSEARCH_URL": url, "API_KEY": "p", "GROUPS_FILE": str(tmp_path / "groups")}
        done = run("stack_report.py", settings)
    (body,) = (body for _, path, body, _ in requests if path.endswith("_bulk"))
    return done, [line for line in body if "create" not in line]


def test_the_report_has_lag_failures_dead_letters_and_disks(tmp_path):
    done, documents = report(tmp_path, [{"total": 5}])
    assert done.returncode == 0, done.stderr
    assert all(document.pop("@timestamp") for document in documents)
    lag = {"kind": "lag", "topic": "order.events", "partition": 0}
    assert documents == [
        {**lag, "group": "logstash-consumer-group", "lag": 30},
        {**lag, "group": "kafka-to-search-order.events", "lag": 0},
        {"kind": "errors", "service_name": "order", "events": 40, "failures": 3},
        {"kind": "dead_letters", "total": 7, "new": 2},
        {"kind": "disk", "node": "elasticsearch-0", "used_percent": 81},
    ]
    fields = elasticsearch_setup.STACK_FIELDS["properties"]
    assert all(document.keys() <= fields.keys() for document in documents)


def test_the_first_report_and_dead_letters_that_were_replayed_are_no_news(tmp_path):
    for before in ([], [{"total": 9}]):
        _, documents = report(tmp_path, before)
        assert [document["new"] for document in documents if document["kind"] == "dead_letters"] == [0]


def test_a_report_that_elasticsearch_rejects_fails_the_job(tmp_path):
    done, _ = report(tmp_path, [], errors=True)
    assert done.returncode != 0 and "rejected a part of the report" in done.stderr


def test_rules_are_created_once_and_then_changed_in_place():
    """POST fails for an id that exists. PUT takes neither the type nor the consumer, nor whether the rule is enabled."""
    known = set()

    def response_to(method, path, headers, body):
        if not path.startswith(("/api/alerting/", "/api/actions/")):
            return 200, {}
        if method == "GET":
            return (200, {}) if path in known else (404, {"statusCode": 404})
        assert (method == "POST") != (path in known), path
        if method == "PUT":
            assert not body.keys() & {"consumer", "rule_type_id", "enabled", "connector_type_id"}, path
        known.add(path)
        return 200, {}

    with stand_in(response_to) as (url, requests):
        for _ in range(2):
            done = run("kibana_setup.py", {"KIBANA_URL": url, "ELASTIC_PASSWORD": "p"})
            assert done.returncode == 0, done.stderr
    assert len(known) == len(kibana_rules.RULES) + len(kibana_rules.CONNECTORS)
    methods = [method for method, path, *_ in requests if path in known]
    assert methods.count("POST") == methods.count("PUT") == len(known)
    assert "rule consumer lag: applied" in done.stdout
