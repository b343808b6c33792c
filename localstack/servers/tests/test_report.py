"""The report that ends the demo."""

import re

from local_stack.commands.report import Findings, Index, causes, report
from local_stack.provisioning import Provisioned
from local_stack.terminal import Style

PLAIN = Style(colours=False)
SCREEN = 40
NO_ALERTING = "this OpenSearch has no plugin opensearch-alerting: install it and run this again"
NO_SECURITY = (
    "this OpenSearch has no security plugin, so everyone may do everything: install and configure opensearch-security"
)
NO_DASHBOARDS = (
    "no DashboardsEndpoint is given: set it to the URL of OpenSearch Dashboards or Kibana and run this again"
)
EVENT = {
    "_index": "microservices-2026.11.28",
    "_id": "order.events-1-343-1795891637000",
    "_source": {
        "eventType": "OrderPaid", "orderId": "ord-1", "total": 12.5, "@timestamp": "2026-11-28T18:47:17.000Z",
        "service": "order.events", "service_name": "order", "environment": "kubernetes", "platform": "demo-micro",
        "kafka_topic": "order.events", "kafka_partition": 1, "kafka_offset": 343, "kafka_timestamp": 1795891637000,
        "kafka_key": "ord-1", "trace": {"id": "4bf92f3577b34da6"}, "span": {"id": "00f067aa"}, "correlation_id": "c-7",
    },
}  # fmt: skip
RESCUED = {
    "_index": "microservices-2026.11.28",
    "_id": "order.events-1-344-1795891637765",
    "_source": {
        "conflict": {"source": "/shop/checkout"},
        "conflict_reason": "object mapping for [source] tried to parse it, " * 8,
    },
}
THINGS = [
    Provisioned("component template microservices-settings", "applied"),
    Provisioned("component template microservices-mappings", "unchanged"),
    Provisioned("index template microservices", "applied"),
    Provisioned("limit of clauses in a query", "applied"),
    Provisioned("role microservices-writer", "not applied", NO_SECURITY),
    Provisioned("monitor microservices: silent service", "not applied", NO_ALERTING),
    Provisioned("monitor microservices: dead letters", "not applied", NO_ALERTING),
    Provisioned("dashboards", "not applied", NO_DASHBOARDS),
]
FOUND = Findings(
    indices=[Index(f"microservices-2026.11.{day}", day * 100, f"{day}kb") for day in range(20, 28)]
    + [
        Index("microservices-2026.11.28", 2168, "1.1mb"),
        Index("microservices-notification-2026.11.28", 834, "443.7kb"),
    ],
    services={"order": 1122, "inventory": 1046, "notification": 834},
    console="http://127.0.0.1:8080",
    event=EVENT,
    rescued=RESCUED,
    n_routed=558,
    recipient="[REDACTED]@example.com",
    routed_to="microservices-notification-*",
    lag={("order.events", 0): 0, ("order.events", 1): 0, ("inventory.events", 0): 0},
    provisioned=THINGS,
)


def test_the_report_is_this_text():
    assert (
        report(FOUND, PLAIN)
        == """\
21,802 documents in 10 daily indices
  microservices-notification-2026.11.28                834   443.7kb
  microservices-2026.11.28                           2,168     1.1mb
  microservices-2026.11.27                           2,700      27kb
  microservices-2026.11.26                           2,600      26kb
  microservices-2026.11.25                           2,500      25kb
  and 5 older indices with 11,000 documents
  by service: order 1,122, inventory 1,046, notification 834

An event, as it was enriched: microservices-2026.11.28/order.events-1-343-1795891637000
  its own fields  {"eventType": "OrderPaid", "orderId": "ord-1", "total": 12.5}
  @timestamp      2026-11-28T18:47:17.000Z
  service_name    order, of the topic order.events
  kafka_*         partition 1, offset 343, key ord-1
  trace           trace.id 4bf92f3577b34da6, span.id 00f067aa
  correlation_id  c-7

An event that does not fit the mapping: what is in the way moved to `conflict`
  conflict        {"source": "/shop/checkout"}
  because         object mapping for [source] tried to parse it, object mapping for [source] tried
                  to parse it, object mapping for [source] tried to parse it, object mapping for …

Rules    558 e-mails are in microservices-notification-*, each to a recipient such as [REDACTED]@example.com
Lag      none in 3 partitions of 2 topics
Cluster  4 things applied: 2 component templates, 1 index template, limit of clauses in a query
         3 things need plugins that this local OpenSearch has not: `make provision ARGS=show`
         1 thing not applied: no DashboardsEndpoint is given

What to try next
  open http://127.0.0.1:8080                            the console: events, lag, dead letters, replay
  make search Q='service_name:order AND total:>100'     search the daily indices
  make produce FILE=events.ndjson TOPIC=order.events    your own events, one a line; N=10000: generated ones
  make deploy-rules PIPELINE=my.yaml                    other rules of topics, without a build
  make conflicts                                        the events whose fields conflict, and what ends it
  make status                                           what runs, and where the logs are
  make demo-down                                        stop everything (make demo-clean: remove the data too)
"""
    )


def test_the_report_fits_on_a_screen_and_no_line_is_too_long():
    lines = report(FOUND, PLAIN).splitlines()
    assert 24 <= len(lines) <= SCREEN
    assert max(map(len, lines)) <= 110


def test_an_empty_stack_is_reported_too():
    text = report(Findings(indices=[], services={}), PLAIN)
    assert text.startswith(
        "0 documents in 0 daily indices\n\nLag      unknown: no mapping has a partition\n\nWhat to try next\n"
    )


def test_records_that_wait_are_counted_by_topic():
    behind = Findings([], {}, lag={("order.events", 0): 100, ("order.events", 1): 20, ("inventory.events", 0): 0})
    assert "\nLag      120 records wait: order.events 120\n" in report(behind, PLAIN)


def test_a_failure_is_named_with_its_reason():
    failed = Findings([], {}, provisioned=[Provisioned("", "failed", "role x: refused")])
    assert "\nCluster  0 things applied\n         failed: role x: refused\n" in report(failed, PLAIN)


def test_things_that_lack_something_are_counted_by_cause():
    assert causes([Provisioned("role a", "not applied", NO_SECURITY)]) == [
        "1 thing needs plugins that this local OpenSearch has not: `make provision ARGS=show`"
    ]
    others = [Provisioned(name, "not applied", f"too old: use a newer {name}") for name in "ab"]
    assert causes([*others, Provisioned("c", "applied")]) == ["2 things not applied: too old"]


def test_events_of_a_registry_are_counted_by_format():
    decoded = Findings([], {}, formats={"avro": 100, "protobuf": 100})
    assert "\nSchemas  100 avro and 100 protobuf events were decoded by the registry's schemas\n" in report(
        decoded, PLAIN
    )


def test_colours_change_no_text():
    coloured = report(FOUND, Style(colours=True))
    assert "\033[" in coloured
    assert re.sub(r"\033\[\d+m", "", coloured) == report(FOUND, PLAIN)
