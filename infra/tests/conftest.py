"""Finds stack.py, and infra/expand.py through it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import stack  # noqa: F401  (puts infra on the path)
