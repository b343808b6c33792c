"""The one error that ends a command with a message instead of a traceback."""


class StackError(Exception):
    """Says what failed, where, and how to fix it."""
