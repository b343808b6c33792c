"""Starts, stops and uses the local stack: `stack.py --help`."""

import sys

from local_stack.commands.stack import main

if __name__ == "__main__":
    sys.exit(main())
