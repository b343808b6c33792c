"""The console in Chromium, on the real stack: `make test-console` starts an empty, deployed one and runs these tests in order.

They work as a newcomer does: publish events, see them, break one, see why, replay it. UPDATE_SCREENSHOT=1 writes README's picture.
"""

import http.client
import json
import os
import subprocess
import time
from pathlib import Path

import pytest
from webdriver import Browser

from local_stack import cargo, lifecycle, paths, sam
from local_stack.commands import publishing
from local_stack.instance import Instance
from local_stack.servers.console import CONSOLE
from local_stack.servers.kafka import KAFKA
from local_stack.servers.opensearch import OPENSEARCH
from local_stack.servers.poller import POLLER

EVENTS = 600
# What the page may be behind the stack: it asks every second, and each source every one to three seconds.
SOON_S = 60
RATE = 10_000  # events a second
LOAD_S = 4
STATE_BYTES = 128 * 1024
# The transform of an event whose recipient is no text fails, so the event is not indexed.
STRICT_RULES = """\
topics:
  - match: notification.events
    transform: |
      .recipient = downcase!(.recipient)
"""


@pytest.fixture(scope="module")
def instance():
    instance = Instance(os.environ["STACK_INSTANCE"])
    lifecycle.start(instance, [POLLER, CONSOLE], free_ports=True)
    publishing.generate(instance, EVENTS)
    publishing.publish_other_teams(instance)
    return instance


@pytest.fixture(scope="module")
def address(instance):
    return CONSOLE.info(instance)["endpoint"]


@pytest.fixture(scope="module")
def desktop(address):
    browser = Browser(1280, 1000)
    browser.open(address)
    browser.until(lambda: browser.text("#overall") not in ("", "Loading"), SOON_S, "a first state")
    yield browser
    browser.close()


@pytest.fixture
def page(desktop):
    desktop.errors()  # those of an earlier test
    desktop.run("document.querySelector('#search').value = ''")
    return desktop


def until_text(page, selector, wanted, timeout_s=SOON_S):
    page.until(lambda: wanted in page.text(selector), timeout_s, f"`{wanted}` in {selector}")


def pictures(instance):
    return instance.folder / "screenshots"


def test_the_page_shows_what_was_published(page, instance):
    until_text(page, "#events-note", f"{EVENTS + 2} in all")
    until_text(page, "#overall", "Everything runs")
    assert [page.text(f"#servers li:nth-child({n})").split()[1] for n in range(1, 5)] == ["runs"] * 4
    assert page.text("#rates").count("indexed/s") == 3
    assert page.count("#events > li") == 10
    until_text(page, "#conflicts-note", "2")
    assert "tried to parse field [source] as object" in page.text("#conflicts")
    until_text(page, "#functions", "batch indexed: n_received")
    until_text(page, "#cluster", "index template microservices")
    assert "0 behind" in page.text("#mappings")
    assert page.errors() == []
    page.screenshot(pictures(instance) / "light.png")


def test_a_search_finds_events_while_it_is_typed_by_keyboard_alone(page):
    page.run("document.activeElement.blur()")
    page.press("/")
    assert page.run("return document.activeElement.id") == "search"
    page.press("service_name:inventory")
    until_text(page, "#events-note", "found")
    page.until(lambda: set(page.run("return [...document.querySelectorAll('#events .service')].map(each => each.textContent)")) == {"inventory"},
               SOON_S, "only events of inventory")  # fmt: skip
    page.press("Escape")
    until_text(page, "#events-note", "in all")


def test_a_search_that_can_not_be_read_says_so(page):
    page.run("document.querySelector('#search').focus()")
    page.press("total:(")
    until_text(page, "#events-error", "No search")
    page.press("Escape")
    page.until(lambda: page.text("#events-error") == "", SOON_S, "a search that can be read")


def test_every_control_is_reached_by_the_tab_key_and_a_row_opens_by_the_keyboard(page):
    page.run("document.querySelector('#search').focus()")
    page.press("Tab")
    assert page.run("return document.activeElement.tagName") == "SUMMARY"
    page.press("Enter")
    until_text(page, "#events details[open] pre", '"kafka_topic"')
    # It is the outline that shows where the focus is.
    assert page.run("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.press("Enter")
    names = page.run(
        "return [...document.querySelectorAll('button, input')].filter(each => each.offsetParent)"
        ".map(each => each.getAttribute('aria-label') || each.labels?.[0]?.textContent || each.textContent)"
    )
    assert all(names) and any(name.startswith("Disable the mapping of") for name in names)
    assert page.run(
        "return [...document.querySelectorAll('button, input, summary')].every(each => each.tabIndex === 0)"
    )


@pytest.mark.parametrize(
    ("name", "width", "dark"), [("phone", 360, False), ("phone-dark", 360, True), ("dark", 1280, True)]
)
def test_a_phone_and_the_dark_have_all_of_it(instance, address, name, width, dark):
    browser = Browser(width, 900, dark=dark)
    try:
        browser.open(address)
        browser.until(
            lambda: browser.count("#events > li") == 10 and browser.count("#mappings > li") == 3, SOON_S, "events"
        )
        browser.screenshot(pictures(instance) / f"{name}.png")
        assert browser.run("return document.documentElement.scrollWidth") <= width
        beyond = "return [...document.querySelectorAll('h2, button, input, summary')].filter(each => each.getBoundingClientRect().right > innerWidth).length"
        assert browser.run(beyond) == 0
        red, green, blue = browser.run(
            "return getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).slice(0, 3).map(Number)"
        )
        assert (red + green + blue < 150) if dark else (red + green + blue > 600)
        assert browser.errors() == []
    finally:
        browser.close()


def test_a_mapping_is_disabled_and_enabled(page):
    page.click("#mappings > li button")
    until_text(page, "#mappings > li button", "Enable")
    until_text(page, "#problems", "is disabled")
    page.click("#mappings > li button")
    until_text(page, "#mappings > li button", "Disable")
    page.until(lambda: page.text("#problems") == "", SOON_S, "no problem")


def test_a_dead_letter_says_why_and_is_replayed(page, instance):
    rules = instance.folder / "strict.yaml"
    rules.write_text(STRICT_RULES)
    sam.deploy_rules(instance, rules)
    file = instance.folder / "broken.ndjson"
    file.write_text('{"eventType": "EmailSent", "recipient": 7}\n')
    publishing.publish_file(instance, file, "notification.events")
    until_text(page, "#letters-note", "1")
    until_text(page, "#problems", "1 event is a dead letter")
    assert "expected string, got integer" in page.text("#letters")
    # Again, since nothing was corrected: it is refused, with the reason.
    page.click("#letters button")
    until_text(page, "#letters-outcome", "rejected again", 120)
    assert page.run("return document.querySelector('#letters-outcome').classList.contains('bad')")
    sam.deploy_rules(instance, paths.PIPELINE)
    page.click("#letters button")
    until_text(page, "#letters-outcome", "1 indexed", 120)
    until_text(page, "#letters-empty", "There is none")
    page.until(lambda: page.text("#problems") == "", SOON_S, "no problem")


def test_opensearch_is_stopped_and_started_again(page, instance):
    before = total(page)
    OPENSEARCH.stop(instance)
    until_text(page, "#problems", "OpenSearch does not run.\nEvents wait in Kafka; none is lost.")
    until_text(page, "#servers", "OpenSearch is down")
    assert page.run("return document.title").startswith("(")
    page.screenshot(pictures(instance) / "opensearch-down.png")
    publish(instance, 50)
    # The function fails on what waits, and the page says so as well.
    until_text(page, "#problems", "kafka-to-search-index-events fails", 120)
    lifecycle.start(instance, [OPENSEARCH])
    page.until(lambda: page.text("#problems") == "", 180, "no problem")
    until_text(page, "#events-note", f"{before + 50:,} in all", 180)


def test_the_page_does_not_fall_behind_at_10_000_events_a_second(page, instance):
    watch = """
        const measured = window.measured = {ages: [], published: 0, updates: Number(document.body.dataset.updates)};
        measured.timer = setInterval(() => {
            measured.ages.push(Number(document.body.dataset.age));
            const rates = [...document.querySelectorAll("#rates > li")].map(each => Number(each.dataset.published));
            measured.published = Math.max(measured.published, rates.reduce((sum, rate) => sum + rate, 0));
        }, 250);"""
    before = total(page)
    page.run(watch)
    began = time.monotonic()
    publish(instance, RATE * LOAD_S, "--rate", str(RATE))
    lasted_s = time.monotonic() - began
    measured = page.run(
        "clearInterval(measured.timer); return {...measured, ended: Number(document.body.dataset.updates)}"
    )
    assert RATE * LOAD_S / lasted_s > RATE * 0.5, (
        f"the producer published only {RATE * LOAD_S / lasted_s:.0f} events a second"
    )
    assert max(measured["ages"]) <= 5, f"the page was {max(measured['ages'])} s old"
    assert measured["ended"] - measured["updates"] >= lasted_s / 3
    assert measured["published"] > RATE / 2, "the page does not show the rate"
    # However many events there are, the page is sent the same few counts.
    assert len(ask(instance, "GET", "/api/state")[1]) < STATE_BYTES
    page.screenshot(pictures(instance) / "load.png")
    until_text(page, "#events-note", f"{before + RATE * LOAD_S:,} in all", 600)
    if os.environ.get("UPDATE_SCREENSHOT") == "1":
        publish(instance, 12_000, "--rate", "400")
        readme_picture(page)


def test_what_another_site_or_a_form_can_send_changes_nothing(page, instance):
    uuid = page.run("return document.querySelector('#mappings > li').dataset.key")
    change = json.dumps({"uuid": uuid, "enabled": False})
    own = {
        "Content-Type": "application/json",
        "X-Console-Token": page.run("return document.querySelector('meta[name=console-token]').content"),
    }
    for forged in (
        {**own, "Host": "evil.example"},
        {**own, "Origin": "https://evil.example"},
        {"Content-Type": "application/json"},
    ):
        assert ask(instance, "POST", "/api/mapping", forged, change)[0] == 403
    # From a page of another origin in the same browser, which the browser lets send a simple request.
    other = Browser()
    try:
        other.open("data:text/html,<title>elsewhere</title>")
        script = """
            const done = arguments[arguments.length - 1];
            fetch(arguments[0], {method: "POST", mode: "no-cors", body: arguments[1]}).then(() => done("sent"), error => done(String(error)));"""
        other.run_async(script, f"{CONSOLE.info(instance)['endpoint']}/api/mapping", change)
        read = "const done = arguments[arguments.length - 1]; fetch(arguments[0]).then(each => each.text()).then(done, error => done(String(error)));"
        assert "Failed to fetch" in other.run_async(read, f"{CONSOLE.info(instance)['endpoint']}/api/state")
    finally:
        other.close()
    state = json.loads(ask(instance, "GET", "/api/state")[1])
    assert next(each["state"] for each in state["mappings"] if each["uuid"] == uuid) == "Enabled"


def test_a_page_outlives_its_process_and_loads_itself_again(page, instance):
    CONSOLE.stop(instance)
    until_text(page, "#problems", "The console does not respond.")
    lifecycle.start(instance, [CONSOLE])
    silent = "The console does not respond."
    page.until(lambda: silent not in page.text("#problems"), SOON_S, "a state of the new process")
    until_text(page, "#mappings > li button", "Disable")  # once the page has loaded itself again
    page.click("#mappings > li button")
    until_text(page, "#mappings > li button", "Enable")
    page.click("#mappings > li button")
    until_text(page, "#mappings > li button", "Disable")


def readme_picture(page):
    page.resize(1280, 1060)
    page.run("scrollTo(0, 0); document.querySelector('#instance').textContent = ''")  # the demo's page shows no name
    page.screenshot(paths.REPOSITORY / "docs" / "images" / "console.png")
    page.resize(1280, 1000)


def total(page):
    until_text(page, "#events-note", "in all")
    return int(page.text("#events-note").split()[0].replace(",", ""))


def publish(instance, count, *options):
    servers = KAFKA.info(instance)["bootstrap_servers"]
    command = [
        str(cargo.build("event-producer")),
        "generate",
        "--bootstrap-servers",
        servers,
        "--count",
        str(count),
        *options,
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def ask(instance, method, path, headers=None, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", CONSOLE.port(instance), timeout=30)
    connection.request(method, path, body, headers or {})
    response = connection.getresponse()
    return response.status, response.read()


def test_the_pictures_were_taken(instance):
    taken = {file.name for file in Path(pictures(instance)).glob("*.png") if file.stat().st_size > 10_000}
    assert taken >= {"light.png", "dark.png", "phone.png", "phone-dark.png", "opensearch-down.png", "load.png"}
