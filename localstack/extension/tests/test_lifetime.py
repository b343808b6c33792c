"""A function process does not outlive LocalStack."""

import os

from conftest import LocalStack, eventually, function_maker


def test_functions_die_with_a_killed_localstack(tmp_path):
    server = LocalStack(tmp_path)
    try:
        server.start()
        pid = function_maker(server.client("lambda"))().invoke()[0]["pid"]
        assert os.path.exists(f"/proc/{pid}")
        server.process.kill()
        server.process.wait()
        eventually(lambda: not os.path.exists(f"/proc/{pid}"), 5)
    finally:
        server.stop()
