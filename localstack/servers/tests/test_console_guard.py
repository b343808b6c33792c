"""Only the console's own page, on this machine, is served; only with its token it changes anything."""

import pytest

from local_stack.console.guard import refusal, refusal_of_change

PAGE = {"Host": "127.0.0.1:8080"}
CHANGE = {**PAGE, "Origin": "http://127.0.0.1:8080", "Content-Type": "application/json", "X-Console-Token": "t0ken"}


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080", "LOCALHOST:8080"])
def test_the_own_names_are_served(host):
    assert refusal(8080, {"Host": host}) is None


@pytest.mark.parametrize(
    "host", ["", "evil.example:8080", "127.0.0.1", "127.0.0.1:80", "127.0.0.1.evil.example:8080", "[::1]:8080"]
)
def test_another_name_is_refused_even_if_it_leads_here(host):
    assert "127.0.0.1:8080" in refusal(8080, {"Host": host})


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "http://127.0.0.1:3000", "https://127.0.0.1:8080", "http://localhost:8080", ""],
)
def test_a_page_of_another_origin_is_refused(origin):
    assert refusal(8080, {**PAGE, "Origin": origin}) is not None
    assert refusal_of_change("t0ken", 8080, {**CHANGE, "Origin": origin}) is not None


def test_a_page_of_another_site_may_link_to_the_console_and_read_nothing():
    elsewhere = {**PAGE, "Sec-Fetch-Site": "cross-site"}
    assert refusal(8080, {**elsewhere, "Sec-Fetch-Mode": "navigate"}) is None
    assert refusal(8080, {**elsewhere, "Sec-Fetch-Mode": "no-cors"}) is not None


def test_a_change_needs_the_token_and_json():
    assert refusal_of_change("t0ken", 8080, CHANGE) is None
    without = {name: value for name, value in CHANGE.items() if name != "X-Console-Token"}
    for headers in (without, {**CHANGE, "X-Console-Token": "t0ke"}, {**CHANGE, "X-Console-Token": "tökén"}):
        assert "token" in refusal_of_change("t0ken", 8080, headers)
    # What a form of another site can send without asking.
    assert "json" in refusal_of_change("t0ken", 8080, {**CHANGE, "Content-Type": "text/plain"})


def test_a_change_is_refused_by_name_as_reading_is():
    assert refusal_of_change("t0ken", 8080, {**CHANGE, "Host": "evil.example:8080"}) is not None
