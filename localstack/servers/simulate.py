"""Runs a new file of rules on the demo's events: `make simulate TOPIC=… PIPELINE=…`."""

import sys

from local_stack.commands.simulate import main

if __name__ == "__main__":
    sys.exit(main())
