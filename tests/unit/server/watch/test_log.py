"""The server's log: sentences or objects, no floods, nothing that came in a request."""

import json
import logging
import re
import threading
import warnings
from typing import Any

import pytest

from traceguard.errors import StoreError, UsageError
from traceguard.server.watch import log


def _lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_sentences_stay_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    """In text a line is its sentence; what is wrong says so first."""
    with log.speaking():
        log.info("started", "Receiving into a.duckdb.", db="a.duckdb")
        log.warning("refused", "Refused requests: busy.", count=1)
    assert _lines(capsys) == ["Receiving into a.duckdb.", "Warning: Refused requests: busy."]


def test_objects_carry_event_and_fields(capsys: pytest.CaptureFixture[str]) -> None:
    """In JSON each line is one object with a time in UTC, a level, an event in snake_case, a message and fields."""
    with log.speaking("json"):
        log.info("started", 'Receiving into "ä".', seconds=1.5, requests=3)
        logging.getLogger("uvicorn.error").error("Invalid HTTP request received.")
    ours, theirs = map(json.loads, _lines(capsys))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", ours.pop("time"))
    assert ours == {
        "level": "info", "event": "started", "message": 'Receiving into "ä".', "seconds": 1.5, "requests": 3,
    }  # fmt: skip
    assert (theirs["level"], theirs["event"], theirs["logger"]) == ("error", "library", "uvicorn.error")


@pytest.mark.parametrize(("level", "seen"), [("debug", 2), ("info", 2), ("warning", 1), ("error", 0)])
def test_levels_leave_out_what_is_below(capsys: pytest.CaptureFixture[str], level: str, seen: int) -> None:
    """Lines below the level are not written."""
    with log.speaking("json", level):
        log.info("ready", "Ready.")
        log.warning("refused", "Refused.")
    assert len(_lines(capsys)) == seen


@pytest.mark.parametrize(("form", "level"), [("xml", "info"), ("json", "loud")])
def test_other_formats_and_levels_are_refused(form: str, level: str) -> None:
    """A misspelt option is a usage error that names the choices."""
    with pytest.raises(UsageError, match="choose one of"), log.speaking(form, level):
        pass


@pytest.mark.parametrize("form", log.FORMATS)
def test_an_error_tells_where_but_not_what_it_quotes(capsys: pytest.CaptureFixture[str], form: str) -> None:
    """The message of an unexpected error may quote data, so it is left out unless someone debugs; ours are safe."""

    def fail(error: Exception) -> None:
        try:
            raise error  # noqa: TRY301  (raised so that it has a place)
        except Exception as raised:  # noqa: BLE001  (any error may be logged)
            log.failure("question_failed", "A question failed.", raised)

    with log.speaking(form):
        fail(ValueError("user.email=ann@example.com"))
        fail(StoreError("The disk is full."))
    told = capsys.readouterr().err
    assert "example.com" not in told
    assert "in fail" in told
    assert "ValueError" in told
    assert "The disk is full." in told
    with log.speaking(form, "debug"):
        fail(ValueError("user.email=ann@example.com"))
    assert "example.com" in capsys.readouterr().err


def test_libraries_repeat_themselves_once_a_minute(capsys: pytest.CaptureFixture[str]) -> None:
    """The same complaint of a library is written once, whatever it is about."""
    library = logging.getLogger("opentelemetry.exporter")
    with log.speaking():
        for attempt in range(50):
            library.error("Failed to export to %s", attempt)
        library.error("Something else")
    assert _lines(capsys) == ["Error: Failed to export to 0", "Error: Something else"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_dies_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """A thread does not vanish silently, and its error goes the same way as all others."""

    def die() -> None:
        raise ValueError("secret")

    with log.speaking("json"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        thread = threading.Thread(target=die, name="traceguard-test")
        thread.start()
        thread.join()
    told = json.loads(_lines(capsys)[-1])
    assert (told["event"], told["thread"], told["error"]) == ("thread_died", "traceguard-test", "ValueError")


def test_the_log_ends_with_its_block(capsys: pytest.CaptureFixture[str]) -> None:
    """A program that embeds the server keeps its own logging."""
    handlers = list(logging.getLogger().handlers)
    with log.speaking():
        pass
    log.info("ready", "Ready.")
    assert logging.getLogger().handlers == handlers
    assert _lines(capsys) == []


def test_a_flood_is_two_lines_a_minute() -> None:
    """The first of a kind is told at once, the rest of the minute in one line, and after quiet it begins anew."""
    now, told = [0.0], list[Any]()
    tally = log.Tally(lambda kind, count, *, again: told.append((kind, count, again)), clock=lambda: now[0])
    for _ in range(1000):
        tally.note("busy")
    tally.note("malformed", 2)
    assert told == [("busy", 1, False), ("malformed", 2, False)]
    now[0] = 59.0
    tally.settle()
    assert len(told) == 2
    now[0] = 61.0
    tally.settle()
    assert told[2:] == [("busy", 999, True)]
    tally.note("malformed")
    assert told[3:] == [("malformed", 1, False)]
    tally.note("busy", 5)
    now[0] = 70.0
    tally.settle(all_of_it=True)
    assert told[4:] == [("busy", 5, True)]
    tally.note("busy")
    assert told[5:] == [("busy", 1, False)]
