"""Accounts for each record in the demo's Kafka: `make account SINCE=…`."""

import sys

from local_stack.commands.account import main

if __name__ == "__main__":
    sys.exit(main())
