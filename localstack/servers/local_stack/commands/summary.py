"""Shows what is in the stack: indices, events per service, a document, the consumer lag."""

import json
import subprocess

from local_stack import cargo, provisioning, rest, sam
from local_stack.instance import Instance
from local_stack.servers.localstack import LOCALSTACK
from local_stack.servers.opensearch import OPENSEARCH

DAILY = "microservices-*"
# What localstack/servers/demo-pipeline.yaml makes of notification.events.
NOTIFICATIONS = "microservices-notification-*"
ROUTED = {
    "size": 1,
    "track_total_hits": True,
    "sort": [{"kafka_timestamp": "desc"}],
    "query": {"wildcard": {"recipient.keyword": "*@*"}},
}


def show(instance: Instance) -> None:
    """Prints the summary that ends `make demo`."""
    endpoint = OPENSEARCH.info(instance)["endpoint"]
    print("\nDaily indices")
    for index in rest.call(
        "GET", f"{endpoint}/_cat/indices/*microservices-*?format=json&s=index&h=index,docs.count,store.size,health"
    ):
        print(f"  {index['index']:<44}{index['docs.count']:>9} documents  {index['store.size']:>9}")
    print("\nEvents per service")
    query = {"size": 0, "aggs": {"services": {"terms": {"field": "service_name", "size": 20}}}}
    for service in rest.call("POST", f"{endpoint}/{DAILY}/_search", query)["aggregations"]["services"]["buckets"]:
        print(f"  {service['key']:<20}{service['doc_count']:>9}")
    newest = {"size": 1, "sort": [{"kafka_timestamp": "desc"}], "query": {"match_all": {}}}
    print("\nThe newest event, as it was enriched")
    _print_documents(rest.call("POST", f"{endpoint}/{DAILY}/_search", newest))
    rescued = {"size": 1, "sort": [{"kafka_timestamp": "desc"}], "query": {"term": {"tags": "_mappingconflict"}}}
    print("\nThe newest event that does not fit the mapping: what is in the way moved to `conflict`")
    for hit in rest.call("POST", f"{endpoint}/{DAILY}/_search", rescued)["hits"]["hits"]:
        print("\n".join(f"  {line}" for line in conflict_lines(hit)))
    for line in routed_lines(rest.call("POST", f"{endpoint}/{NOTIFICATIONS}/_search?ignore_unavailable=true", ROUTED)):
        print(line)
    by_schema = {
        "size": 1,
        "sort": [{"kafka_timestamp": "desc"}],
        "query": {"exists": {"field": "kafka_schema_id"}},
        "aggs": {"formats": {"terms": {"field": "publishedAs.keyword"}}},
    }
    decoded = rest.call("POST", f"{endpoint}/{DAILY}/_search", by_schema)
    if decoded["hits"]["hits"]:
        print("\nEvents that were decoded by a registry's schemas")
        for each in decoded["aggregations"]["formats"]["buckets"]:
            print(f"  {each['key']:<20}{each['doc_count']:>9}")
        print("\nThe newest of them")
        _print_documents(decoded)
    print("\nConsumer lag", flush=True)
    subprocess.run(
        [str(cargo.build("kafka-poller")), "lag", "--endpoint-url", LOCALSTACK.info(instance)["endpoint"]],
        env=sam.variables(instance), check=True,
    )  # fmt: skip
    print("\nWhat was provisioned in the cluster")
    for line in provisioning.report(instance):
        print(f"  {line}")
    print(
        f"""
What to try next
  make search Q='service_name:order AND total:>100'     search the daily indices
  make produce N=10000                                  publish more events
  make produce FILE=events.ndjson TOPIC=order.events    publish your own, one per line
  curl '{endpoint}/_cat/indices/microservices-*?v'
  make deploy-rules PIPELINE=my.yaml                    other rules of topics, without a build
  make status                                           what runs, and where the logs are
  make demo-down                                        stop everything (make demo-clean: remove the data too)"""
    )


def routed_lines(found: dict) -> list[str]:
    """What the demo's rules of topics did, by the events that they routed; nothing where they routed none."""
    hits = found["hits"]["hits"]
    if not hits:
        return []
    total, recipient = found["hits"]["total"]["value"], hits[0]["_source"]["recipient"]
    return [
        "\nWhat the rules of topics did (localstack/servers/demo-pipeline.yaml)",
        f"  {total} e-mails of notification.events are in {NOTIFICATIONS}, each to a recipient such as {recipient}",
    ]


def conflict_lines(hit: dict) -> list[str]:
    """A rescued document in a few lines: what moved, and why."""
    shown = ("orderId", "tags", "conflict", "conflict_reason")
    members = ((name, json.dumps(hit["_source"][name], ensure_ascii=False)) for name in shown if name in hit["_source"])
    return [
        f"{hit['_index']}/{hit['_id']}",
        *(f"  {name}: {text if len(text) <= 100 else text[:100] + '…'}" for name, text in members),
    ]


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


def _print_documents(found: dict) -> None:
    for hit in found["hits"]["hits"]:
        print(f"  {hit['_index']}/{hit['_id']}")
        print(
            "\n".join(f"    {line}" for line in json.dumps(hit["_source"], indent=2, ensure_ascii=False).splitlines())
        )
