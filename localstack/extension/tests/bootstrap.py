"""A function for the tests: a bootstrap that uses the Runtime API and does what its event, or INIT, says."""

import http.client
import json
import os
import signal
import sys
import threading
import time

API = os.environ["AWS_LAMBDA_RUNTIME_API"]


def main():
    initialise(os.environ.get("INIT", "ok"))
    if os.environ.get("EXTENSION"):
        register_extension()
    connection = http.client.HTTPConnection(API)
    while True:
        headers, event = next_event(connection)
        request_id = headers["Lambda-Runtime-Aws-Request-Id"]
        kind, response_body = act(event, headers)
        post(connection, f"invocation/{request_id}/{kind}", response_body)
        if event.get("do") == "exit after the response":
            sys.exit(3)


def initialise(how):
    print(f"initialising: {how}", flush=True)
    if how == "exit":
        sys.exit(7)
    if how == "error":
        connection = http.client.HTTPConnection(API)
        post(connection, "init/error", {"errorType": "Config.Invalid", "errorMessage": "no endpoint"})
        sys.exit(1)
    if how == "hang":
        signal.pause()
    if how == "hang once":
        marker = os.environ["MARKER"]
        if not os.path.exists(marker):
            open(marker, "w").close()
            signal.pause()


def act(event, headers):
    match event.get("do"):
        case "fail":
            return "error", {"errorType": "Search.Unavailable", "errorMessage": "the cluster is away"}
        case "exit":
            print("about to exit", flush=True)
            os._exit(event["status"])
        case "abort":
            os.abort()
        case "sleep":
            print("about to sleep", flush=True)
            time.sleep(event["seconds"])
            return "response", {"slept": event["seconds"]}
        case "respond":
            return "response", "x" * (event["bytes"] - 2)
        case "allocate":
            return "response", len(bytearray(b"x") * (event["megabytes"] << 20))
        case "measure":
            return "response", len(event["text"])
        case "environment":
            return "response", dict(os.environ)
        case "read":
            with open(os.path.join(os.environ[event["variable"]], event.get("below", ""))) as file:
                return "response", file.read()
        case "headers":
            return "response", {"headers": dict(headers), "now_ms": time.time() * 1000}
        case "print":
            print("\n".join(event["lines"]), flush=True)
            print("to stderr", file=sys.stderr, flush=True)
            return "response", None
        case "rendezvous":
            return "response", rendezvous(event["folder"], event["n"])
        case _:
            return "response", {"pid": os.getpid(), "event": event}


def rendezvous(folder, n):
    """Returns once n environments run at the same time."""
    open(os.path.join(folder, str(os.getpid())), "w").close()
    while len(os.listdir(folder)) < n:
        time.sleep(0.01)
    return os.getpid()


def register_extension():
    shutdown = threading.Event()

    def wait_for_shutdown():
        connection = http.client.HTTPConnection(API)
        connection.request("POST", "/2020-01-01/extension/register", "{}", {"Lambda-Extension-Name": "helper"})
        response = connection.getresponse()
        response.read()
        identifier = {"Lambda-Extension-Identifier": response.headers["Lambda-Extension-Identifier"]}
        connection.request("GET", "/2020-01-01/extension/event/next", headers=identifier)
        note(json.loads(connection.getresponse().read())["eventType"])
        shutdown.set()

    def on_sigterm(*_):
        note("SIGTERM")
        shutdown.wait()
        sys.exit(0)

    def note(text):
        with open(os.environ["NOTES"], "a") as notes:
            notes.write(text + "\n")

    signal.signal(signal.SIGTERM, on_sigterm)
    threading.Thread(target=wait_for_shutdown, daemon=True).start()


def next_event(connection):
    connection.request("GET", "/2018-06-01/runtime/invocation/next")
    response = connection.getresponse()
    return response.headers, json.loads(response.read())


def post(connection, path, body):
    connection.request("POST", f"/2018-06-01/runtime/{path}", json.dumps(body))
    connection.getresponse().read()


main()
