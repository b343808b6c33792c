"""Lists or fixes the demo's events whose fields the mapping rejected: `make conflicts ARGS=--help`."""

import sys

from local_stack.commands.conflicts import main

if __name__ == "__main__":
    sys.exit(main())
