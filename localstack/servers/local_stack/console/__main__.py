"""Runs the console of an instance until it gets SIGTERM: `python -m local_stack.console --instance demo --port 8080`."""

import argparse
import signal
import sys

from local_stack.console.watch import Watch
from local_stack.console.web import Console
from local_stack.instance import Instance


def main() -> None:
    """Serves the page."""
    parser = argparse.ArgumentParser(prog="console", description=__doc__)
    parser.add_argument("--instance", required=True, metavar="NAME")
    parser.add_argument("--port", required=True, type=int)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    instance = Instance(arguments.instance)
    watch = Watch(instance)
    console = Console(instance, arguments.port, watch)
    watch.start()
    print(f"serving the console on http://127.0.0.1:{console.server_port}", flush=True)
    console.serve_forever()


if __name__ == "__main__":
    main()
