"""What every panel of the dashboards and every monitor finds, on OpenSearch and on Elasticsearch 8.

    stack.py with --servers opensearch,elasticsearch -- pytest infra/search/tests/test_panels.py

Neither OpenSearch Dashboards nor Kibana runs here. `panels.py` derives the search that each would send from the saved objects;
it is run on a day of sample events. What comes back is compared with counts made from the events themselves.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

import pytest

from applied import FAILURE, MONITORS, VALUES, loaded, saved_objects
from drawing import draw
from fields import aggregatable, searchable
from panels import time_range
from sample_events import NOW, Document, a_day
from sample_index import write
from server import REPOSITORY, own_values, running
from shown import shown

PRODUCTS = {"opensearch": "opensearch.ndjson", "elasticsearch": "kibana.ndjson"}
DAY = timedelta(days=1)
N_LISTED = 500
PICTURE = REPOSITORY / "docs" / "images" / "dashboard.svg"


def for_elasticsearch(mappings: dict) -> dict:
    """The mapping as mapping_dialect.rs translates it for Elasticsearch from 8.3: without objects.

    The published server lacks the module with `match_only_text`, as provisioning finds out, and the one with `flattened`: there,
    the fields under `conflict`, which no panel shows, are mapped like those of a payload.
    """
    mappings = json.loads(json.dumps(mappings).replace('"match_only_text"', '"text"'))
    if "dynamic_templates" in mappings:
        mappings |= {"properties": dict(leaves(mappings["properties"], "")), "subobjects": False}
    return mappings


def leaves(properties: dict, prefix: str):
    for name, mapping in properties.items():
        if "properties" in mapping:
            yield from leaves(mapping["properties"], f"{prefix}{name}.")
        elif mapping.get("type") not in ("object", "flat_object"):
            yield prefix + name, mapping


TRANSLATED = {"opensearch": lambda same: same, "elasticsearch": for_elasticsearch}


@pytest.fixture(scope="module", params=PRODUCTS)
def engine(request):
    return request.param


@pytest.fixture(scope="module")
def server(engine):
    return running(engine)


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    # The second day is outside of the dashboard's time range.
    return a_day(NOW) + a_day(NOW - timedelta(days=3), 20, seed=4)


@pytest.fixture(scope="module")
def content(server, engine, documents):
    for values in own_values(server):
        write(server.must, values, documents, TRANSLATED[engine])
        objects = saved_objects(PRODUCTS[engine], values)
        dashboards = [item for item in objects if item["type"] == "dashboard"]
        prefix = values["INDEX_PREFIX"] + "-"
        yield {
            panel.id.removeprefix(prefix): table
            for dashboard in dashboards
            for panel, table in shown(server.must, objects, dashboard, NOW)
        }


# What the events say


def epoch_ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def time(event: dict) -> int:
    return epoch_ms(event["@timestamp"])


def bar(milliseconds: int, minutes: int) -> int:
    return milliseconds - milliseconds % (minutes * 60_000)


def is_failure(event: dict) -> bool:
    tags = set(event.get("tags", ()))
    return bool(FAILURE.fullmatch(event.get("eventType", ""))) or bool(tags & {"_jsonparsefailure", "_timestampoutofrange"})


def has_tag(*wanted: str) -> Callable[[dict], bool]:
    return lambda event: bool(set(event.get("tags", ())) & set(wanted))


def grouped(events: Iterable[dict], *names: str) -> dict[tuple, list[dict]]:
    groups: dict[tuple, list[dict]] = {}
    for event in events:
        values = [event.get(name) for name in names]
        values = [value[0] if isinstance(value, list) else value for value in values]
        if None not in values:
            groups.setdefault(tuple(values), []).append(event)
    return groups


def ranked(groups: dict[tuple, list[dict]], *metrics: Callable[[list[dict]], float]) -> list[list]:
    return [[*key, *(metric(group) for metric in metrics)] for key, group in groups.items()]


def newest(group: list[dict]) -> float:
    return max(map(time, group))


def oldest(group: list[dict]) -> float:
    return min(map(time, group))


def services(group: list[dict]) -> int:
    return len({event["service_name"] for event in group})


def per_bar(events: Iterable[dict], minutes: int, name: str, when: Callable[[dict], int] = time) -> list[list]:
    counts = Counter(
        (bar(when(event), minutes), event["error"]["type"] if name == "error.type" else event[name]) for event in events
    )
    return [[at, value, count] for (at, value), count in counts.items()]


@pytest.fixture(scope="module")
def expected(documents):
    """The rows of every panel, counted from the events."""
    recent = [each for each in documents if NOW - DAY <= datetime.fromisoformat(each.source["@timestamp"]) <= NOW]
    events = [each.source for each in recent if not each.is_dead_letter]
    dead = [each.source for each in recent if each.is_dead_letter]
    failures = list(filter(is_failure, events))
    conflicts = list(filter(has_tag("_mappingconflict"), events))
    unreadable = list(filter(has_tag("_jsonparsefailure", "_schemafailure"), events))
    wrong_time = list(filter(has_tag("_timestampoutofrange", "_timestampunparsed", "_timestampmissing"), events))
    stories = ranked(grouped(events, "correlation_id"), len, services, oldest, newest)
    return {
        "totals": [[len(events), services(events), len(stories), max(each["kafka_timestamp"] for each in events)]],
        "attention": [
            ["Failures", len(failures)], ["Conflicts", len(conflicts)], ["Not readable", len(unreadable)],
            ["Wrong time", len(wrong_time)],
        ],
        "dead-letters-total": [[len(dead)]],
        "events-by-service": per_bar(events, 30, "service_name"),
        "event-types": ranked(grouped(events, "eventType"), len),
        "failures-by-service": per_bar(failures, 30, "service_name"),
        "failures-by-type": ranked(
            grouped([{"eventType": "no type", **event} for event in failures], "service_name", "eventType"), len, newest
        ),
        "records-by-publication": per_bar(events, 10, "kafka_topic", lambda event: event["kafka_timestamp"]),
        "newest-records": ranked(
            grouped(events, "kafka_topic", "kafka_partition"), newest,
            lambda group: max(event["kafka_offset"] for event in group), len,
        ),
        "dead-letters-by-error": per_bar(dead, 30, "error.type"),
        "dead-letters-list": dead,
        "conflicts-by-field": ranked(grouped(conflicts, "conflict_field", "service_name"), len, newest),
        "conflicts": conflicts,
        # The fifty largest; of those that are equally large, the first by their ids.
        "largest-stories": sorted(stories, key=lambda row: (-row[1], row[0]))[:50],
        "order-story": [event for event in events if "correlation_id" in event],
    }  # fmt: skip


# The panels


def test_the_dashboard_has_exactly_the_panels_that_are_counted_here(content, expected):
    assert content.keys() - {"guide"} == expected.keys()
    assert content["guide"] is None


def test_every_panel_shows_what_was_published(content, expected):
    lists = {"dead-letters-list", "conflicts", "order-story"}
    for name, rows in expected.items():
        assert rows, f"{name}: the events give nothing to compare"
        table = content[name]
        if name in lists:
            assert table.total == len(rows), name
            assert len(table.rows) == min(len(rows), N_LISTED), name
        else:
            assert sorted(table.rows) == sorted(rows), name


def test_lists_are_sorted_and_every_column_has_values(content, expected):
    for name, order in (("dead-letters-list", -1), ("conflicts", -1), ("order-story", 1)):
        table = content[name]
        times = [row[0] for row in table.rows]
        assert times == sorted((each["@timestamp"] for each in expected[name]), reverse=order < 0)[:N_LISTED]
        for number, column in enumerate(table.columns):
            assert any(row[number] is not None for row in table.rows), f"{name}: {column} is empty"


def test_the_partition_that_is_behind_comes_first(content):
    topic, partition, *_ = content["newest-records"].rows[0]
    assert (topic, partition) == ("inventory.events", 2)


def test_the_largest_story_comes_first(content):
    counts = [row[1] for row in content["largest-stories"].rows]
    assert counts == sorted(counts, reverse=True)


def test_the_picture_in_the_guides_shows_this_dashboard():
    """`make dashboards-preview` draws it, on a server of its own."""
    server, drawn = running("opensearch"), []
    for values in own_values(server):
        write(server.must, values, a_day(NOW))
        objects = saved_objects("opensearch.ndjson", values)
        for dashboard in (item for item in objects if item["type"] == "dashboard"):
            content = shown(server.must, objects, dashboard, NOW)
            picture = draw(dashboard["attributes"]["title"], content, time_range(dashboard, NOW))
            drawn.append(picture.replace(values["INDEX_PREFIX"], "microservices"))
    assert drawn == [PICTURE.read_text()], "outdated: run make dashboards-preview and commit the picture"


# The monitors


@pytest.fixture(scope="module")
def now() -> datetime:
    """Monitors count back from the server's time."""
    return datetime.now(UTC)


@pytest.fixture(scope="module")
def watched(now) -> list[dict]:
    """Events and dead letters of the day before now, of which the inventory's end half an hour ago. None is within a minute of
    the beginning of a monitor's window, so that it leaves no window while the test runs."""
    windows = (10, 15, int(VALUES["SILENCE_MINUTES"]), 24 * 60)
    return [
        each
        for each in a_day(now)
        if all(abs(age_min(each.source, now) - window) > 1 for window in windows)
        and (each.source["service_name"] != "inventory" or age_min(each.source, now) > 30)
    ]


def age_min(event: dict, now: datetime) -> float:
    return (now.timestamp() * 1000 - time(event)) / 60_000


@pytest.fixture(scope="module")
def found(server, engine, watched):
    """The aggregations that each monitor's search gives."""
    for values in own_values(server):
        write(server.must, values, watched, TRANSLATED[engine])
        searches = {name: monitor_search(engine, name, values) for name in MONITORS}
        for indices, body in searches.values():
            fields = server.must("GET", f"/{indices}/_field_caps?fields=*")["fields"]
            check_fields(body, fields)
        if engine == "elasticsearch":
            # The published server lacks the module with this aggregation. test_elasticsearch_6.py runs the whole watch.
            searches["silent-service"][1]["aggs"]["services"]["aggs"].pop("silent")
        yield {
            name: server.must("POST", f"/{indices}/_search", body)["aggregations"]
            for name, (indices, body) in searches.items()
        }


def monitor_search(engine: str, name: str, values: dict) -> tuple[str, dict]:
    monitor = loaded(f"monitors/{engine}/{name}.json", values)
    if engine == "opensearch":
        search = monitor["inputs"][0]["search"]
        return ",".join(search["indices"]), search["query"]
    request = monitor["input"]["search"]["request"]
    return ",".join(request["indices"]), request["body"]


def check_fields(body: object, fields: dict) -> None:
    """Fails if a search names a field that the mapping does not have, or aggregates one that can't be."""
    if isinstance(body, list):
        for each in body:
            check_fields(each, fields)
    if not isinstance(body, dict):
        return
    for name, inner in body.items():
        if name in ("range", "regexp") or (name == "terms" and "field" not in inner and "size" not in inner):
            for each in inner:
                searchable(each, fields)
        elif name == "field":
            aggregatable(inner, fields)
        else:
            check_fields(inner, fields)


def recent(watched: list[Document], now: datetime, minutes: float, *, dead: bool = False) -> list[dict]:
    return [each.source for each in watched if each.is_dead_letter == dead and age_min(each.source, now) < minutes]


def test_the_error_ratio_counts_events_and_failures(found, watched, now):
    ratio, events = found["error-ratio"]["recent"], recent(watched, now, 15)
    failures = list(filter(is_failure, events))
    assert failures and ratio["doc_count"] == len(events)
    assert ratio["failures"]["doc_count"] == len(failures)
    assert counted(ratio["failures"]["services"]) == Counter(each["service_name"] for each in failures)
    assert counted(ratio["failures"]["event_types"]) == Counter(each["eventType"] for each in failures if "eventType" in each)


def test_the_dead_letters_are_counted(found, watched, now):
    letters, dead = found["dead-letters"]["recent"], recent(watched, now, 15, dead=True)
    assert dead and letters["doc_count"] == len(dead)
    assert counted(letters["services"]) == Counter(each["service_name"] for each in dead)
    assert counted(letters["errors"]) == Counter(each["error"]["type"] for each in dead)


def test_the_ingestion_delay_is_that_of_the_newest_record(found, watched, now):
    day = found["ingestion-delay"]["day"]
    assert day["doc_count"] == len(recent(watched, now, 24 * 60))
    assert day["newest"]["value"] == newest(recent(watched, now, 24 * 60))
    assert day["recent"]["doc_count"] == len(recent(watched, now, 10)) > 0


def test_the_silent_service_is_the_one_that_published_nothing(found, watched, now, engine):
    buckets = found["silent-service"]["services"]["buckets"]
    names = [each["key"]["service_name"] if engine == "opensearch" else each["key"] for each in buckets]
    counts = {name: each["recent"]["doc_count"] for name, each in zip(names, buckets, strict=True)}
    silence = recent(watched, now, int(VALUES["SILENCE_MINUTES"]))
    of_services = Counter(each["service_name"] for each in silence)
    # The condition of the trigger selects the buckets afterwards.
    assert counts == {"inventory": 0, **of_services}
    (silent,) = (each for name, each in zip(names, buckets, strict=True) if name == "inventory")
    of_inventory = [each for each in recent(watched, now, 24 * 60) if each["service_name"] == "inventory"]
    assert silent["newest"]["value"] == newest(of_inventory)


def counted(terms: dict) -> dict[str, int]:
    return {bucket["key"]: bucket["doc_count"] for bucket in terms["buckets"]}
