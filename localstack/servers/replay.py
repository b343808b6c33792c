"""Replays the demo's dead letters: `make replay ARGS=--help`."""

import sys

from local_stack.commands.replay import main

if __name__ == "__main__":
    sys.exit(main())
