"""What the server says while it runs: one line an event on standard error, as a sentence or as a JSON object.

What always holds: no line carries what came in a request (attribute values, names, ids) nor a token, but for the names
of a service and of flags and versions that a verdict blames; and no flood of requests makes a flood of lines. An
unexpected error is told by its kind and where it happened; its message, which may quote data, only at level debug.
Everything goes through one logger, `traceguard`; a program that embeds the server configures that logger as it likes,
`speaking` is for `traceguard serve`.
"""

import json
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from traceguard.errors import TraceguardError, UsageError

FORMATS = ("text", "json")
LEVELS = ("debug", "info", "warning", "error")

_LOGGER = logging.getLogger("traceguard")
_MINUTE = 60.0

Field = str | int | float | bool | None


def info(event: str, sentence: str, **fields: Field) -> None:
    """Something worth a line; `event` names it in snake_case, `fields` are its counts and seconds."""
    _LOGGER.info("%s", sentence, extra={"event": event, "fields": fields})


def warning(event: str, sentence: str, **fields: Field) -> None:
    """Something that a person may want to mend."""
    _LOGGER.warning("%s", sentence, extra={"event": event, "fields": fields})


def failure(event: str, sentence: str, error: BaseException, **fields: Field) -> None:
    """A fault of ours or of the machine: the sentence and where `error` happened."""
    _LOGGER.error("%s", sentence, exc_info=error, extra={"event": event, "fields": fields})


@contextmanager
def speaking(format: str = "text", level: str = "info") -> Iterator[None]:
    """Write the log of this process to standard error while the block runs, libraries and dying threads included.

    UsageError for a format or a level that there is not.
    """
    for name, given, known in (("format", format, FORMATS), ("level", level, LEVELS)):
        if given not in known:
            raise UsageError(f"{given!r} is not a log {name}; choose one of {', '.join(known)}.")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if format == "json" else _Text())
    handler.setLevel(level.upper())
    handler.addFilter(_Calm())
    root, before, hook = logging.getLogger(), _LOGGER.level, threading.excepthook
    root.addHandler(handler)
    _LOGGER.setLevel(level.upper())
    threading.excepthook = _thread_died
    try:
        yield
    finally:
        threading.excepthook = hook
        _LOGGER.setLevel(before)
        root.removeHandler(handler)


class Tell(Protocol):
    """Writes the line about a kind of event that happened `count` times."""

    def __call__(self, kind: str, count: int, *, again: bool) -> None:
        """Write it; `again` is True for what followed within the minute after the first."""


class Tally:
    """Says the first of each kind at once, and what followed within a minute in one line; safe from several threads.

    Someone has to call `settle` now and then.
    """

    def __init__(self, tell: Tell, clock: Callable[[], float] = time.monotonic) -> None:
        self._tell = tell
        self._clock = clock
        self._lock = threading.Lock()
        self._open: dict[str, _Window] = {}

    def note(self, kind: str, count: int = 1) -> None:
        """Count `count` more of `kind`."""
        with self._lock:
            window = self._open.get(kind)
            if window is not None:
                window.unsaid += count
                return
            self._open[kind] = _Window(self._clock())
        self._tell(kind, count, again=False)

    def settle(self, *, all_of_it: bool = False) -> None:
        """Sum up each kind whose minute is over (or every one); quiet kinds begin anew."""
        with self._lock:
            now = self._clock()
            due = [(kind, w) for kind, w in self._open.items() if all_of_it or now - w.began >= _MINUTE]
            for kind, window in due:
                if window.unsaid and not all_of_it:
                    self._open[kind] = _Window(now)
                else:
                    del self._open[kind]
        for kind, window in due:
            if window.unsaid:
                self._tell(kind, window.unsaid, again=True)


@dataclass(slots=True)
class _Window:
    began: float
    unsaid: int = 0


class _Text(logging.Formatter):
    """The sentence; what is wrong says so first, and an error is followed by where it happened."""

    def format(self, record: logging.LogRecord) -> str:
        kind = {logging.WARNING: "Warning: ", logging.ERROR: "Error: ", logging.CRITICAL: "Error: "}
        line = kind.get(record.levelno, "") + record.getMessage()
        error = _error_of(record)
        return line if error is None else f"{line}\n{_where(error)}"


class _Json(logging.Formatter):
    """One object a line: time, level, event, message, the event's fields, and an error's kind and place."""

    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
            "level": record.levelname.lower(),
            "event": getattr(record, "event", "library"),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.name != _LOGGER.name:
            told["logger"] = record.name
        error = _error_of(record)
        if error is not None:
            told |= {"error": type(error).__name__, "where": _where(error)}
        return json.dumps(told, ensure_ascii=False)


class _Calm(logging.Filter):
    """Lets the same complaint of a library through once a minute, whatever it is about."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name == _LOGGER.name:
            return True
        complaint = (record.name, str(record.msg)[:80])
        if record.created - self._said.get(complaint, -_MINUTE) < _MINUTE:
            return False
        if len(self._said) >= 1_000:
            self._said.clear()
        self._said[complaint] = record.created
        return True


def _error_of(record: logging.LogRecord) -> BaseException | None:
    return record.exc_info[1] if record.exc_info else None


def _where(error: BaseException) -> str:
    """The calls that led to an error and its kind; its message only if it is ours or someone debugs."""
    frames = "".join(traceback.format_tb(error.__traceback__)).rstrip()
    kind = type(error).__name__
    open_message = isinstance(error, TraceguardError) or _LOGGER.isEnabledFor(logging.DEBUG)
    last = f"{kind}: {error}" if open_message else kind
    return f"{frames}\n{last}" if frames else last


def _thread_died(died: threading.ExceptHookArgs) -> None:
    if died.exc_value is not None and died.exc_type is not SystemExit:
        name = died.thread.name if died.thread else "unknown"
        failure("thread_died", f"The thread {name} ended with an error.", died.exc_value, thread=name)
