"""A command ends with an exit code and one message, never with a traceback of its own errors."""

import pytest

from local_stack.command_line import exit_code
from local_stack.errors import StackError


def failing(error):
    def command():
        raise error

    return command


def test_a_command_ends_with_its_own_exit_code(capsys):
    assert exit_code(lambda: 3, "run it again") == 3
    assert capsys.readouterr().err == ""


def test_a_failure_is_one_message_and_exit_code_1(capsys):
    assert exit_code(failing(StackError("no server runs")), "run it again") == 1
    assert capsys.readouterr().err == "error: no server runs\n"


def test_an_interruption_says_how_to_continue(capsys):
    assert exit_code(failing(KeyboardInterrupt()), "run it again") == 130
    assert capsys.readouterr().err == "interrupted; run it again\n"


def test_an_error_of_the_program_itself_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        exit_code(failing(ZeroDivisionError()), "run it again")
