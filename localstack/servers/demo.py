"""The commands behind `make demo` and its companions: `demo.py --help`."""

import sys

from local_stack.commands.demo import main

if __name__ == "__main__":
    sys.exit(main())
