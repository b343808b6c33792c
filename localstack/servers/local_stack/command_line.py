"""Ends a command with an exit code: a failure with one message instead of a traceback."""

from collections.abc import Callable

from local_stack.errors import StackError
from local_stack.progress import say


def exit_code(command: Callable[[], int], interrupted: str) -> int:
    """Runs a command and returns its exit code: 1 after a failure, and 130 with a message after Ctrl+C."""
    try:
        return command()
    except StackError as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        say(f"interrupted; {interrupted}")
        return 130
