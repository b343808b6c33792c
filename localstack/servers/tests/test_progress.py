"""What a terminal and a file get while steps run."""

import io

import pytest

from local_stack import progress
from local_stack.terminal import Style, style


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0, "[----------------]"), (0.5, "[########--------]"), (1, "[################]"), (1.7, "[################]")],
)
def test_a_bar_fills_with_the_share_that_is_done(share, expected):
    assert progress.bar(share, 3) == expected


def test_without_a_share_the_mark_moves_to_and_fro():
    bars = [progress.bar(None, tick * progress.TICK_S + 0.01) for tick in range(25)]
    assert bars[0] == "[####------------]"
    assert bars[1] == "[-####-----------]"
    assert bars[12] == "[------------####]"
    assert bars[13] == bars[11]
    assert bars[24] == bars[0]
    assert {len(bar) for bar in bars} == {18}


def test_the_line_has_all_running_steps_and_fits_the_width():
    steps = [("starting Kafka", 2.0, "", None), ("starting OpenSearch", 7.0, ": loading", 0.5)]
    line = progress.ticking(steps, 200)
    assert line.endswith("] starting Kafka 2 s | starting OpenSearch 7 s: loading")
    assert len(progress.ticking(steps, 30)) == 30
    assert progress.ticking([("waiting", 1.0, "", 0.25)], 80) == "[####------------] waiting 1 s"


def test_a_file_gets_a_line_for_each_step_without_colours(capfd, monkeypatch):
    monkeypatch.setattr(progress, "_terminal", False)
    monkeypatch.setattr(progress, "_style", Style(colours=False))
    with progress.step("packing"):
        pass
    with pytest.raises(ValueError, match="full"), progress.step("unpacking"):
        raise ValueError("full")
    assert capfd.readouterr().err == "   ok packing (0.0 s)\nFAILED unpacking (0.0 s)\n"


def test_only_a_terminal_gets_colours_and_only_if_its_user_wants_them():
    assert style(Terminal(), {}).colours
    assert not style(io.StringIO(), {}).colours
    assert not style(Terminal(), {"NO_COLOR": "1"}).colours
    assert not style(Terminal(), {"TERM": "dumb"}).colours
    assert Style(colours=True).good("ok") == "\033[32mok\033[0m"
