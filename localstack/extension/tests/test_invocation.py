"""The results that the caller of a function gets."""

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError

from conftest import BOOTSTRAP, eventually, zip_of


@pytest.fixture(scope="module")
def function(make_function):
    return make_function()


def test_a_response_is_returned_and_the_process_is_kept(function):
    first, error = function.invoke(n=1)
    assert (first["event"], error) == ({"n": 1}, None)
    assert function.invoke(n=2)[0] == {"pid": first["pid"], "event": {"n": 2}}


def test_a_function_error_keeps_its_type_and_message(function):
    assert function.invoke(do="fail") == (
        {"errorType": "Search.Unavailable", "errorMessage": "the cluster is away"},
        "Unhandled",
    )


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ({"do": "exit", "status": 3}, "Runtime exited with error: exit status 3"),
        ({"do": "exit", "status": 0}, "Runtime exited without providing a reason"),
        ({"do": "abort"}, "Runtime exited with error: signal: aborted"),
        ({"do": "allocate", "megabytes": 400}, "Runtime exited with error: signal: killed"),
    ],
)
def test_the_end_of_the_process_is_an_exit_error_and_the_next_invocation_works(function, event, reason):
    response, error = function.invoke(**event)
    assert (response["errorType"], error) == ("Runtime.ExitError", "Unhandled")
    request_id, _, rest = response["errorMessage"].removeprefix("RequestId: ").partition(" ")
    assert (len(request_id), rest) == (36, f"Error: {reason}")
    assert function.invoke()[1] is None


def test_a_process_that_ends_after_its_response_fails_no_invocation(function):
    assert function.invoke(do="exit after the response")[1] is None
    assert function.invoke()[1] is None


def test_a_timeout_kills_the_process_and_the_next_invocation_starts_another(make_function):
    function = make_function(Timeout=3)
    pid = function.invoke()[0]["pid"]
    response, error = function.invoke(do="sleep", seconds=60)
    assert (response["errorType"], error) == ("Sandbox.Timedout", "Unhandled")
    assert response["errorMessage"].endswith(" Error: Task timed out after 3.00 seconds")
    assert not os.path.exists(f"/proc/{pid}")
    assert function.invoke()[0]["pid"] != pid


def test_a_response_of_6_mb_passes_and_one_byte_more_does_not(function):
    limit = 6 * 1024 * 1024 + 100
    response, error = function.invoke(do="respond", bytes=limit)
    assert (len(response), error) == (limit - 2, None)
    response, error = function.invoke(do="respond", bytes=limit + 1)
    assert response == {
        "errorType": "Function.ResponseSizeTooLarge",
        "errorMessage": f"Response payload size ({limit + 1} bytes) exceeded maximum allowed payload size"
        f" ({limit} bytes).",
    }
    assert error == "Unhandled"


def test_a_payload_of_6_mb_arrives_whole_and_one_byte_more_is_refused(function):
    overhead_bytes = len(json.dumps({"do": "measure", "text": ""}))
    text = "ä" * ((6 * 1024 * 1024 - overhead_bytes) // 2)
    text += "x" * (6 * 1024 * 1024 - overhead_bytes - len(text.encode()))
    assert function.invoke(do="measure", text=text) == (len(text), None)
    with pytest.raises(ClientError) as error:
        function.invoke(do="measure", text=text + "x")
    assert error.value.response["Error"]["Code"] == "RequestTooLargeException"


def test_the_function_gets_its_own_environment_and_none_of_localstacks(make_function):
    function = make_function({"SEARCH_ENDPOINT": "http://search:9200"}, MemorySize=320, Timeout=17)
    environment, _ = function.invoke(do="environment")
    expected = {
        "SEARCH_ENDPOINT": "http://search:9200",
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "320",
        "AWS_LAMBDA_FUNCTION_TIMEOUT": "17",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
        "AWS_REGION": "us-east-1",
        "_HANDLER": "bootstrap",
    }
    assert {name: environment.get(name) for name in expected} == expected
    assert {"AWS_ACCESS_KEY_ID", "AWS_ENDPOINT_URL", "AWS_LAMBDA_RUNTIME_API", "PATH"} <= environment.keys()
    foreign = {"LAMBDA_RUNTIME_EXECUTOR", "FILESYSTEM_ROOT", "HOME", "LOCALSTACK_RUNTIME_ENDPOINT"}
    assert not foreign & environment.keys()


def test_the_context_headers_name_the_invocation(make_function):
    function = make_function(Timeout=17)
    response, _ = function.invoke(do="headers")
    headers = response["headers"]
    assert headers["Lambda-Runtime-Invoked-Function-Arn"].endswith(f":function:{function.name}")
    assert headers["Lambda-Runtime-Trace-Id"].startswith("Root=")
    assert len(headers["Lambda-Runtime-Aws-Request-Id"]) == 36
    left_ms = int(headers["Lambda-Runtime-Deadline-Ms"]) - response["now_ms"]
    assert 10_000 < left_ms <= 17_000


def test_concurrent_invocations_run_in_environments_of_their_own(function, tmp_path):
    with ThreadPoolExecutor(3) as callers:
        responses = callers.map(lambda _: function.invoke(do="rendezvous", folder=str(tmp_path), n=3), range(3))
        pids = {pid for pid, error in responses if error is None}
    assert len(pids) == 3


def test_an_init_error_is_returned_to_the_caller_after_a_retry(make_function):
    function = make_function({"INIT": "error"})
    assert function.invoke() == ({"errorType": "Config.Invalid", "errorMessage": "no endpoint"}, "Unhandled")


def test_a_process_that_ends_before_its_first_next_is_an_exit_error(make_function):
    response, error = make_function({"INIT": "exit"}).invoke()
    assert (response["errorType"], error) == ("Runtime.ExitError", "Unhandled")
    assert response["errorMessage"].endswith(" Error: Runtime exited with error: exit status 7")


def test_an_init_over_10_s_is_retried_by_the_invocation(make_function, tmp_path):
    function = make_function({"INIT": "hang once", "MARKER": str(tmp_path / "marker")})
    assert function.invoke(n=1)[0]["event"] == {"n": 1}
    assert (tmp_path / "marker").exists()


def test_an_init_that_never_ends_is_a_timeout(make_function):
    response, error = make_function({"INIT": "hang"}, Timeout=1).invoke()
    assert (response["errorType"], error) == ("Sandbox.Timedout", "Unhandled")


def test_a_package_that_cannot_be_run_is_an_invalid_entrypoint(make_function, lambda_client):
    function = make_function()
    lambda_client.update_function_code(FunctionName=function.name, ZipFile=zip_of("other", "text"))
    lambda_client.get_waiter("function_updated_v2").wait(FunctionName=function.name, WaiterConfig={"Delay": 1})
    response, error = function.invoke()
    assert (response["errorType"], error) == ("Runtime.InvalidEntrypoint", "Unhandled")


def test_an_invocation_finishes_after_its_code_was_replaced(make_function, lambda_client, tmp_path):
    function = make_function()
    with ThreadPoolExecutor(1) as caller:
        running = caller.submit(function.invoke, do="rendezvous", folder=str(tmp_path), n=2)
        eventually(lambda: list(tmp_path.iterdir()))
        source = f"#!{sys.executable} -SE\n{BOOTSTRAP.read_text()}\n# another version\n"
        lambda_client.update_function_code(FunctionName=function.name, ZipFile=zip_of("bootstrap", source))
        lambda_client.get_waiter("function_updated_v2").wait(FunctionName=function.name, WaiterConfig={"Delay": 1})
        new_pid = function.invoke()[0]["pid"]
        (tmp_path / "continue").touch()
        old_pid, error = running.result()
    assert error is None and old_pid != new_pid
    eventually(lambda: not os.path.exists(f"/proc/{old_pid}"))


def test_a_registered_extension_gets_shutdown_and_the_process_gets_sigterm(make_function, lambda_client, tmp_path):
    notes = tmp_path / "notes"
    function = make_function({"EXTENSION": "1", "NOTES": str(notes)})
    pid = function.invoke()[0]["pid"]
    lambda_client.delete_function(FunctionName=function.name)
    eventually(lambda: not os.path.exists(f"/proc/{pid}"))
    assert sorted(notes.read_text().split()) == ["SHUTDOWN", "SIGTERM"]
