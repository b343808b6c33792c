"""Provisions the demo's cluster: `make provision ARGS=--help`."""

import sys

from local_stack.commands.provision import main

if __name__ == "__main__":
    sys.exit(main())
