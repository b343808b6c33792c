"""Lets the tests import the package `local_stack` and the driver of the browser."""

import sys
from pathlib import Path

here = Path(__file__).resolve().parent
sys.path[:0] = [str(here), str(here.parent.parent)]
