"""Windows that the page's answers rest on: read once, held in memory, and read anew behind the answers.

A window is the latest of its stretch of time and environment. An answer may rest on one that is some minutes old, for
nobody should wait for what came in a moment ago; the page says until when it goes, and a newer one is begun at once.
"""

import threading
import time
import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, TypeVar

from traceguard.engine.asked import asked_of
from traceguard.engine.held import MOST_SPANS, HeldWindow, OutdatedError, TooLargeError
from traceguard.errors import UsageError
from traceguard.radius.systems import peers_of
from traceguard.server.page.rows import rows
from traceguard.server.questions.analyses import LineFullError
from traceguard.units import Period

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from traceguard.server.page.filters import Filters
    from traceguard.server.questions.analyses import Analyses, Question
    from traceguard.settings import Settings

Answer = TypeVar("Answer")

OLDEST_SECONDS = 600.0  # that an answer may rest on
FRESH_SECONDS = 15.0  # that a verdict rests on, though reports take no more than a tenth of the time
_PAUSE_SECONDS = 1.0
_RENEWED_SECONDS = 60.0  # after which a newer window is read for the next answer
_MOST = 3  # of different stretches
_PATIENCE_SECONDS = 0.2


class Windows:
    """The latest windows; safe to use from several threads."""

    def __init__(self, analyses: "Analyses", settings: "Settings") -> None:
        self._analyses = analyses
        self._settings = settings
        self._guard, self._reading = threading.Lock(), threading.Lock()
        self._latest: OrderedDict[Filters, HeldWindow] = OrderedDict()
        self._renewing: dict[Filters, Future[None]] = {}
        self._too_large: dict[Filters, float] = {}  # when that was found
        self._watched = False  # a timer will look for old ones
        self._removals = 0  # that were told of; a window that was being read meanwhile is not kept

    def of(
        self, question: "Question", filters: "Filters", oldest: float = OLDEST_SECONDS
    ) -> tuple[Any, dict[str, Any]]:
        """What a function of the pipeline is to ask, and its options: a held window, or the store if it is too large.

        UsageError for a store without a span.
        """
        key = filters.where
        if (found := self._held(key, oldest)) is not None:
            return found.asked_by(question.store), {}
        while not self._reading.acquire(timeout=_PATIENCE_SECONDS):
            question.show("Waiting for another window")
        try:
            if (found := self._held(key, oldest)) is not None:  # by whoever was waited for
                return found.asked_by(question.store), {}
            return self._read(question, key)
        finally:
            self._reading.release()

    def answer(
        self, question: "Question", filters: "Filters", ask: "Callable[[Any, dict[str, Any]], Answer]",
        oldest: float = OLDEST_SECONDS,
    ) -> "tuple[Answer, HeldWindow | None]":  # fmt: skip
        """What `ask` makes of what is to be asked and its options, and the window that it rests on, if one was held.

        Where something was removed meanwhile, it is asked once more.
        """
        for again in (True, False):
            try:
                asked, options = self.of(question, filters, oldest)
                return ask(asked, options), asked if isinstance(asked, HeldWindow) else None
            except OutdatedError:
                if not again:
                    raise
                with self._guard:
                    self._latest.pop(filters.where, None)
        raise AssertionError

    def renew(self, filters: "Filters") -> None:
        """Begin to read a newer window where the latest is a minute old, or there is none; nobody waits for it."""
        key = filters.where
        with self._guard:
            self._renewing = {each: going for each, going in self._renewing.items() if not going.done()}
            latest = self._latest.get(key)
            if key in self._renewing or self._is_too_large(key):
                return
            if latest is not None and time.monotonic() - latest.read_at <= _RENEWED_SECONDS:
                return
            try:
                # Without any, whoever looks now is likely to wait for it soon.
                reading = self._analyses.submit("window", lambda asked: self._renew(asked, key), awaited=latest is None)
                self._renewing[key] = reading.future
            except LineFullError:  # others ask; the next answer tries again
                return

    def let_go(self) -> None:
        """Forget them all: something was removed from the store."""
        with self._guard:
            self._removals += 1
            self._latest.clear()

    def _renew(self, question: "Question", key: "Filters") -> None:
        self.of(question, key, _RENEWED_SECONDS)

    def _held(self, key: "Filters", oldest: float) -> HeldWindow | None:
        self.drop_old()
        with self._guard:
            found = self._latest.get(key)
            return found if found is not None and time.monotonic() - found.read_at <= oldest else None

    def watch(self, *, again: bool = False) -> None:
        """See to it that old ones are forgotten while there are any; `again` where the last look is over."""
        with self._guard:
            if self._watched and not again:
                return
            self._watched = bool(self._latest)
            if not self._watched:
                return
        later = threading.Timer(OLDEST_SECONDS + _PAUSE_SECONDS, _drop_old, [weakref.ref(self)])
        later.daemon = True
        later.start()

    def drop_old(self) -> None:
        """Forget those that no answer may rest on any more, so that memory is given back though nobody comes again."""
        now = time.monotonic()
        with self._guard:
            for old in [each for each, held in self._latest.items() if now - held.read_at > OLDEST_SECONDS]:
                del self._latest[old]

    def _is_too_large(self, key: "Filters") -> bool:
        """Whether that was found some minutes ago, so that nobody looks again."""
        found = self._too_large.get(key)
        return found is not None and time.monotonic() - found < OLDEST_SECONDS

    def _read(self, question: "Question", key: "Filters") -> tuple[Any, dict[str, Any]]:
        removals = self._removals
        with question.store.cursor() as cursor:
            extent = rows(cursor, "extent")[0]
        if not extent["spans"]:
            raise UsageError("The store holds no span yet; ask again once some have come in.")
        asked = key.stretch(extent["first_ns"], extent["last_ns"]).asked
        options = {**asked, "env": key.env or None}
        if self._is_too_large(key):
            return question.store, options
        try:
            held = HeldWindow.read(
                question.store, Period(asked["since"], asked["until"]), key.env or None, question.show
            )
        except TooLargeError:
            with self._guard:
                self._too_large = {**dict(list(self._too_large.items())[-_MOST:]), key: time.monotonic()}
            return question.store, options
        question.show("Reading flags and users")
        with asked_of(held, None, None, None) as of:
            of.read_ahead(self._settings)
            peers_of(of)
        with self._guard:
            if self._removals != removals:
                return held, {}  # which refuses to be asked, if what was removed is in it
            # The question ends; the window stays.
            self._latest[key] = held.asked_by(held.lasting)
            self._latest.move_to_end(key)
            while len(self._latest) > _MOST or sum(each.window.rows for each in self._latest.values()) > MOST_SPANS:
                self._latest.popitem(last=False)
        self.watch()
        return held, {}


def _drop_old(windows: "weakref.ref[Windows]") -> None:
    """For a timer, which must not keep alive what a stopped server left."""
    if (found := windows()) is not None:
        found.drop_old()
        found.watch(again=True)
