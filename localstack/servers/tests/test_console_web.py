"""The console's process without any server of the stack: it is started as `make demo` starts it, and asked over HTTP."""

import http.client
import json
import socket

import pytest

from local_stack.instance import Instance
from local_stack.servers.console import CONSOLE


@pytest.fixture
def instance(tmp_path, monkeypatch):
    monkeypatch.setenv("KAFKA_TO_SEARCH_STATE", str(tmp_path))
    instance = Instance("console")
    instance.choose_ports({"console": CONSOLE.ports}, free=True)
    yield instance
    CONSOLE.stop(instance)


@pytest.fixture
def console(instance):
    CONSOLE.start(instance, CONSOLE.fetch())
    return CONSOLE.port(instance)


def ask(port, method, path, headers=None, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path, body, headers or {})
    response = connection.getresponse()
    return response, response.read()


def test_the_state_names_every_server_that_is_down(console):
    response, body = ask(console, "GET", "/api/state")
    state = json.loads(body)
    assert response.status == 200
    assert {server["name"]: server["state"] for server in state["servers"]} == dict.fromkeys(
        ("kafka", "opensearch", "localstack", "poller"), "down"
    )
    assert len(state["problems"]) == 4


def test_the_page_has_the_token_and_nothing_from_elsewhere(console):
    response, body = ask(console, "GET", "/")
    page = body.decode()
    assert "@TOKEN@" not in page and 'name="console-token"' in page
    assert "default-src 'none'" in response.getheader("Content-Security-Policy")
    assert response.getheader("Access-Control-Allow-Origin") is None
    for path in ("/console.css", "/console.js", "/draw.js"):
        text = ask(console, "GET", path)[1].decode().replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text and "https://" not in text and "url(" not in text


def test_forged_hosts_and_origins_get_nothing(console):
    for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}):
        for path in ("/", "/api/state", "/api/events?q="):
            response, body = ask(console, "GET", path, headers)
            assert response.status == 403 and b"console-token" not in body
        assert ask(console, "POST", "/api/replay", headers, "{}")[0].status == 403


def test_a_change_without_the_token_is_refused_and_with_it_is_made(console):
    page = ask(console, "GET", "/")[1].decode()
    token = page.partition('console-token" content="')[2].partition('"')[0]
    headers = {"Content-Type": "application/json", "Origin": f"http://127.0.0.1:{console}"}
    change = json.dumps({"ids": ["x"]})
    refused, body = ask(console, "POST", "/api/replay", headers, change)
    assert refused.status == 403 and "token" in json.loads(body)["error"]
    made, body = ask(console, "POST", "/api/replay", {**headers, "X-Console-Token": token}, change)
    assert made.status == 502 and "LocalStack does not run" in json.loads(body)["error"]


def test_the_page_reads_no_file_but_its_own(console):
    for path in ("/../web.py", "/..%2fweb.py", "/web.py", "/index.html"):
        assert ask(console, "GET", path)[0].status == 404


def test_a_body_that_is_too_long_or_has_no_length_is_not_read(console):
    assert ask(console, "POST", "/api/replay", {"Content-Length": "999999999"})[0].status == 400
    assert ask(console, "POST", "/api/replay", {"Content-Length": "-1"})[0].status == 400


def test_it_listens_on_loopback_alone(console):
    with pytest.raises(OSError), socket.create_connection(("127.0.0.2", console), timeout=5):
        pass


def test_a_console_that_is_started_again_keeps_its_port(instance, console):
    connection = http.client.HTTPConnection("127.0.0.1", console, timeout=20)
    connection.request("GET", "/")
    connection.getresponse().read()  # and stays open
    CONSOLE.stop(instance)
    CONSOLE.start(instance, CONSOLE.fetch())
    assert CONSOLE.port(instance) == console
    connection.close()


def test_a_port_in_use_makes_it_take_the_next_free_one_and_say_so(instance, capsys):
    wanted = CONSOLE.port(instance)
    with socket.create_server(("127.0.0.1", wanted)):
        CONSOLE.start(instance, CONSOLE.fetch())
    assert CONSOLE.port(instance) > wanted
    assert f"port {wanted} is in use" in capsys.readouterr().err
    assert ask(CONSOLE.port(instance), "GET", "/")[0].status == 200
