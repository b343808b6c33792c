"""Lets the tests import the modules of the local stack, which stand beside their entry and not in a package."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
