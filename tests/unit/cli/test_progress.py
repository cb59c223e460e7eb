"""Progress is shown to people who wait, and to nobody else."""

import io
import sys

import pytest

from traceguard.cli import progress


class Terminal(io.StringIO):
    """A standard error that somebody watches."""

    def isatty(self) -> bool:
        """Yes."""
        return True


def watched(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Make standard error a terminal; called by the test itself, since pytest sets its own streams after fixtures."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    return stream


def test_nothing_is_shown_where_nobody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe gets no progress, however long it takes."""
    pipe = io.StringIO()
    monkeypatch.setattr(sys, "stderr", pipe)
    with progress.shown(clock=iter(range(0, 100, 10)).__next__) as show:
        show("Linking traces", 1, 2)
        show("Linking traces", 2, 2)
    assert pipe.getvalue() == ""


def test_short_work_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first two seconds are quiet."""
    terminal = watched(monkeypatch)
    now = [0.0]
    with progress.shown(clock=lambda: now[0]) as show:
        now[0] = 1.9
        show("Linking traces", 1, 2)
    assert terminal.getvalue() == ""


def test_long_work_names_its_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    """After two seconds a line says what is being done, and goes away at the end."""
    terminal = watched(monkeypatch)
    now = [0.0]
    with progress.shown(clock=lambda: now[0]) as show:
        now[0] = 2.1
        show("Linking traces", 1, 2)
        now[0] = 2.2
        show("Explaining")
    assert "Explaining" in terminal.getvalue()
