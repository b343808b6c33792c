"""The lines in CloudWatch Logs after an invocation."""

import json

from conftest import eventually


def messages(localstack, name: str, until: str) -> list[str]:
    """The lines of the function's log, once one of them contains the text `until`."""
    logs = localstack.client("logs")

    def read():
        try:
            events = logs.filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
        except logs.exceptions.ResourceNotFoundException:
            return None
        lines = [event["message"].rstrip("\n") for event in events]
        return lines if any(until in line for line in lines) else None

    return eventually(read)


def test_the_functions_lines_are_between_start_and_report(localstack, make_function):
    function = make_function()
    function.invoke(do="print", lines=["first", "second ä"])
    lines = messages(localstack, function.name, "REPORT")
    assert lines[0] == "initialising: ok"
    request_id = lines[1].split()[2]
    assert lines[1:6] == [
        f"START RequestId: {request_id} Version: $LATEST",
        "first",
        "second ä",
        "to stderr",
        f"END RequestId: {request_id}",
    ]
    fields = [field.split(":")[0] for field in lines[6].split("\t")]
    assert fields == [
        "REPORT RequestId",
        "Duration",
        "Billed Duration",
        "Memory Size",
        "Max Memory Used",
        "Init Duration",
    ]


def test_thousands_of_lines_arrive_in_order(localstack, make_function):
    function = make_function()
    written = [f"line {n}" for n in range(5_000)]
    function.invoke(do="print", lines=written)
    lines = messages(localstack, function.name, "REPORT")
    assert [line for line in lines if line.startswith("line ")] == written


def test_a_crash_keeps_the_last_lines_and_logs_its_reason(localstack, make_function):
    function = make_function()
    function.invoke(do="exit", status=4)
    lines = messages(localstack, function.name, "REPORT")
    start = next(n for n, line in enumerate(lines) if line.startswith("START"))
    request_id = lines[start].split()[2]
    assert lines[start + 1 : start + 4] == [
        "about to exit",
        f"RequestId: {request_id} Error: Runtime exited with error: exit status 4",
        "Runtime.ExitError",
    ]
    assert lines[-1].endswith("\tStatus: error\tError Type: Runtime.ExitError")


def test_a_timeout_keeps_the_last_lines_and_is_logged(localstack, make_function):
    function = make_function(Timeout=1)
    function.invoke(do="sleep", seconds=60)
    lines = messages(localstack, function.name, "REPORT")
    assert "about to sleep" in lines
    assert any(line.endswith("Task timed out after 1.00 seconds") for line in lines)
    assert lines[-1].endswith("\tStatus: timeout")


def test_a_failed_init_is_reported_for_both_phases(localstack, make_function):
    function = make_function({"INIT": "exit"})
    function.invoke()
    lines = messages(localstack, function.name, "REPORT RequestId")
    reports = [line.split("\t", 1)[1] for line in lines if line.startswith("INIT_REPORT")]
    assert reports == [
        "Phase: init\tStatus: error\tError Type: Runtime.ExitError",
        "Phase: invoke\tStatus: error\tError Type: Runtime.ExitError",
    ]
    assert lines.count("initialising: exit") == 2


def test_with_log_format_json_the_platforms_lines_are_json(localstack, make_function):
    function = make_function(LoggingConfig={"LogFormat": "JSON"})
    function.invoke(do="print", lines=['{"level":"INFO"}'])
    lines = messages(localstack, function.name, "platform.report")
    start, own, _, report = [line for line in lines if line != "initialising: ok"]
    assert (json.loads(start)["type"], own) == ("platform.start", '{"level":"INFO"}')
    record = json.loads(report)["record"]
    assert record["requestId"] == json.loads(start)["record"]["requestId"]
    assert (record["status"], record["metrics"]["memorySizeMB"]) == ("success", 256)
