"""What happened becomes an exit code, and one sentence where it went wrong."""

import pytest

from traceguard.cli import answer, exits
from traceguard.errors import InputError, StoreError, TraceguardError, UnknownNameError, UsageError


@pytest.mark.parametrize(
    ("error", "code"), [(UsageError, 2), (InputError, 2), (StoreError, 2), (UnknownNameError, 2), (TraceguardError, 1)]
)
def test_every_branch_of_the_error_tree_has_its_code(
    error: type[TraceguardError], code: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """An error on purpose is its own sentence on standard error, and nothing on standard output."""

    def fail() -> int:
        raise error("It went wrong; do this.")

    assert exits.exit_code(fail) == code
    assert capfd.readouterr() == ("", "Error: It went wrong; do this.\n")


def test_an_error_nobody_foresaw_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    """The first line of a bug's message is told, its traceback only where asked for."""

    def fail() -> int:
        raise ZeroDivisionError("division by zero\nand more")

    assert exits.exit_code(fail) == 1
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert "ZeroDivisionError: division by zero" in said


def test_a_traceback_is_shown_where_asked_for(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """TRACEGUARD_DEBUG adds the traceback and changes no code."""
    monkeypatch.setenv("TRACEGUARD_DEBUG", "1")

    def fail() -> int:
        raise StoreError("No store.")

    assert exits.exit_code(fail) == 2
    assert "Traceback" in capfd.readouterr().err


def test_an_interrupt_has_the_shells_code() -> None:
    """Ctrl-C ends with 130, without a word."""

    def interrupted() -> int:
        raise KeyboardInterrupt

    assert exits.exit_code(interrupted) == 130


@pytest.mark.parametrize(
    ("verdict", "plain", "strict"),
    [("regression", 0, 3), ("inconclusive", 0, 4), ("no_regression", 0, 0), ("no_data", 5, 5), (None, 0, 0)],
)
def test_a_verdict_has_its_codes(verdict: str | None, plain: int, strict: int) -> None:
    """No data always ends with 5; a regression and doubt only where the command was asked to fail on them."""
    assert answer.code(verdict, strict=False) == plain
    assert answer.code(verdict, strict=True) == strict
