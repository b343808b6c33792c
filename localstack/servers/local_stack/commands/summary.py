"""Finds out what is in the stack, for the report that ends `make demo`, and searches it."""

import json
import subprocess

from local_stack import cargo, provisioning, rest, sam
from local_stack.commands.report import Findings, Index, report
from local_stack.instance import Instance
from local_stack.servers.console import CONSOLE
from local_stack.servers.localstack import LOCALSTACK
from local_stack.servers.opensearch import OPENSEARCH
from local_stack.terminal import Style

DAILY = "microservices-*"
# What localstack/servers/demo-pipeline.yaml makes of notification.events.
NOTIFICATIONS = "microservices-notification-*"
NEWEST = [{"kafka_timestamp": "desc"}]


def show(instance: Instance, style: Style) -> None:
    """Prints the report that ends `make demo`."""
    print("\n" + report(findings(instance), style), flush=True)


def findings(instance: Instance) -> Findings:
    """What is in the stack."""
    endpoint = OPENSEARCH.info(instance)["endpoint"]

    def search(indices: str, body: dict) -> dict:
        return rest.call("POST", f"{endpoint}/{indices}/_search?ignore_unavailable=true", body)

    def newest(query: dict) -> dict | None:
        return next(iter(search(DAILY, {"size": 1, "sort": NEWEST, "query": query})["hits"]["hits"]), None)

    columns = "format=json&h=index,docs.count,store.size"
    services = search(DAILY, {"size": 0, "aggs": {"services": {"terms": {"field": "service_name", "size": 20}}}})
    formats = search(DAILY, {"size": 0, "aggs": {"formats": {"terms": {"field": "publishedAs.keyword"}}},
                             "query": {"exists": {"field": "kafka_schema_id"}}})  # fmt: skip
    mailed = {"size": 1, "track_total_hits": True, "sort": NEWEST, "query": {"wildcard": {"recipient.keyword": "*@*"}}}
    routed = search(NOTIFICATIONS, mailed)["hits"]
    untagged = {"bool": {"must_not": {"exists": {"field": "tags"}}, "filter": {"exists": {"field": "eventType"}}}}
    return Findings(
        indices=[
            Index(index["index"], int(index["docs.count"]), index["store.size"])
            for index in rest.call("GET", f"{endpoint}/_cat/indices/*microservices-*?{columns}")
        ],
        services=_counts(services, "services"),
        console=CONSOLE.info(instance)["endpoint"] if instance.running(CONSOLE.name) else "",
        event=newest(untagged),
        rescued=newest({"term": {"tags": "_mappingconflict"}}),
        n_routed=routed["total"]["value"],
        recipient=routed["hits"][0]["_source"]["recipient"] if routed["hits"] else "",
        routed_to=NOTIFICATIONS,
        formats=_counts(formats, "formats"),
        lag=lag(instance),
        provisioned=provisioning.report(instance),
    )


def lag(instance: Instance) -> dict[tuple[str, int], int]:
    """The records of each partition that wait, as the poller counts them."""
    command = [str(cargo.build("kafka-poller")), "lag", "--endpoint-url", LOCALSTACK.info(instance)["endpoint"]]
    done = subprocess.run(command, env=sam.variables(instance), check=True, stdout=subprocess.PIPE, text=True)
    return read_lag(done.stdout)


def read_lag(table: str) -> dict[tuple[str, int], int]:
    """The lag of each partition in the table of `kafka-poller lag`. Several mappings of a topic add up."""
    waiting: dict[tuple[str, int], int] = {}
    for line in table.splitlines()[1:]:
        _, topic, partition, _, _, records = line.split()
        place = (topic, int(partition))
        waiting[place] = waiting.get(place, 0) + int(records)
    return waiting


def search(instance: Instance, query: str) -> None:
    """Prints the newest documents that a query in Lucene's syntax finds."""
    endpoint = OPENSEARCH.info(instance)["endpoint"]
    body = {
        "size": 5,
        "track_total_hits": True,
        "sort": [{"@timestamp": "desc"}],
        "query": {"query_string": {"query": query}},
    }
    found = rest.call("POST", f"{endpoint}/{DAILY}/_search", body)
    total = found["hits"]["total"]["value"]
    print(f"{total} events found" + (", the newest 5:" if total > 5 else ""))
    _print_documents(found)


def _counts(found: dict, aggregation: str) -> dict[str, int]:
    return {bucket["key"]: bucket["doc_count"] for bucket in found["aggregations"][aggregation]["buckets"]}


def _print_documents(found: dict) -> None:
    for hit in found["hits"]["hits"]:
        print(f"  {hit['_index']}/{hit['_id']}")
        print(
            "\n".join(f"    {line}" for line in json.dumps(hit["_source"], indent=2, ensure_ascii=False).splitlines())
        )
