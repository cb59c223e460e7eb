"""One visit to a view: what was asked, what the store holds, and the frame that stands around the answer."""

import threading
import time
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from traceguard.errors import UnknownNameError, UsageError
from traceguard.report.live import Field, Frame, Link
from traceguard.report.wording import between
from traceguard.server.page.filters import LAST, Filters, Stretch
from traceguard.server.page.rows import rows
from traceguard.units import format_time

if TYPE_CHECKING:
    from starlette.requests import Request

    from traceguard.server.page.given import History
    from traceguard.server.page.verdicts import Judged
    from traceguard.server.page.windows import Windows
    from traceguard.server.questions.analyses import Question
    from traceguard.settings import Settings

NAV = (
    ("/", "Overview"), ("/causes", "Causes"), ("/map", "Map"), ("/requests", "Requests"), ("/compare", "Compare"),
    ("/blast-radius", "Blast radius"), ("/what-if", "What if"), ("/plan", "Plan"), ("/history", "History"),
)  # fmt: skip
FORMS = ("/blast-radius", "/what-if", "/plan")
_MOST_NAMES = 500
_NAMES_SECONDS = 10.0
_RENEWED_SECONDS = 30
_AWAITED_SECONDS = 3  # while there is no span yet


@dataclass(slots=True)
class Names:
    """The names to choose from, read from the whole store at most every ten seconds; by kind."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    found: "dict[str, list[str]] | None" = None
    read_at: float = 0.0

    def of(self, cursor: Any, *, anew: bool = False) -> dict[str, list[str]]:
        """Those that were read last, or those that there are now."""
        with self.lock:
            if self.found is None or anew or time.monotonic() - self.read_at > _NAMES_SECONDS:
                self.found, self.read_at = {"service": [], "flag": [], "entry": [], "environment": []}, time.monotonic()
                for row in rows(cursor, "names"):
                    self.found[row["kind"]].append(row["name"])
            return self.found


@dataclass(frozen=True, slots=True)
class Place:
    """The server as its page sees it: its settings, what it judged, and where it takes spans."""

    settings: "Settings"
    history: "History"
    grpc: str
    http: str
    names: Names = field(default_factory=Names)


@dataclass
class Visit:
    """What a view is made from."""

    place: Place
    request: "Request"
    question: "Question"
    cursor: Any
    filters: Filters
    judged: "Judged | None"
    windows: "Windows"

    def given(self, name: str) -> str:
        """A parameter of the view's own; empty where it is not given."""
        return self.request.query_params.get(name, "")

    def rows(self, name: str, **more: Any) -> list[dict[str, Any]]:
        """The rows of a query of the page under this visit's filters."""
        return rows(self.cursor, name, {**(self.filters.sql(self.stretch) if self.spans else {}), **more})

    @cached_property
    def _extent(self) -> dict[str, Any]:
        return rows(self.cursor, "extent")[0]

    @property
    def spans(self) -> int:
        """How many spans the store holds, repeats included."""
        return int(self._extent["spans"])

    @cached_property
    def stretch(self) -> Stretch:
        """The stretch of time that is looked at; the store must hold a span."""
        return self.filters.stretch(self._extent["first_ns"], self._extent["last_ns"])

    @property
    def everything(self) -> dict[str, int]:
        """All of the store's time, for a query of the page; the store must hold a span."""
        whole = self.filters.within("all").stretch(self._extent["first_ns"], self._extent["last_ns"])
        return {"since": whole.since, "until": whole.until}

    @cached_property
    def names(self) -> dict[str, list[str]]:
        """The names to choose from, by kind; a new one may be missing for some seconds."""
        return self.place.names.of(self.cursor)

    def check(self) -> None:
        """UnknownNameError with the nearest names for a filter that names what the store does not have."""
        filters = self.filters
        if not self.spans:
            return
        flag, variant = filters.flag_and_variant
        for kind, noun, name in (
            ("environment", "environment", filters.env), ("entry", "entry point", filters.entry),
            ("service", "service", filters.service), ("flag", "flag", flag),
        ):  # fmt: skip
            if name and name not in self.names[kind]:
                known = self.place.names.of(self.cursor, anew=True)[kind]
                if name not in known:
                    raise UnknownNameError.of(noun, name, known)
        if variant:
            variants = [row["variant"] for row in rows(self.cursor, "variants", {"flag": flag})]
            if variant not in variants:
                raise UnknownNameError.of(f"variant of {flag}", variant, variants)

    def frame(self, path: str, title: str, *, keep: tuple[str, ...] = (), narrow: bool = True) -> Frame:
        """The frame of the view at `path`; its form carries the parameters `keep`.

        Without `narrow` only time and environment can be chosen.
        """
        return frame(self, path, title, keep, narrow)


def frame(visit: Visit, path: str, title: str, keep: tuple[str, ...], narrow: bool) -> Frame:
    """As `Visit.frame`."""
    filters = visit.filters
    if not visit.spans:
        return replace(bare(path, title, filters), renewed=_AWAITED_SECONDS if path == "/" else 0)
    own = {name: visit.given(name) for name in keep if visit.given(name)}
    here = visit.request.scope["path"]
    begin, end = (format_time(ns) or "" for ns in (visit.stretch.since, visit.stretch.until))
    fields = [Field("env", "Environment", filters.env, visit.names["environment"])]
    if len(visit.names["environment"]) < 2 and not filters.env:
        fields = []
    if narrow:
        fields += [
            Field("entry", "Entry point", filters.entry, visit.names["entry"][:_MOST_NAMES]),
            Field("service", "Service", filters.service, visit.names["service"][:_MOST_NAMES]),
            Field("flag", "Flag", filters.flag, visit.names["flag"][:_MOST_NAMES]),
        ]
    carried = {name: value for name, value in filters.given.items() if name not in {"last", "since", "until"}}
    shown = {field.name for field in fields}
    return Frame(
        path=here, title=title, nav=navigation(path, filters), home=filters.link("/"),
        windows=[
            Link(label, filters.within(last).link(here, **own), last == filters.chosen) for last, label in LAST
        ],
        shown=between(begin, end), fixed=filters.fixed(visit.stretch).link(here, **own), since=filters.since,
        until=filters.until, last=filters.last, fields=fields,
        hidden={name: value for name, value in {**carried, **own}.items() if name not in shown},
        clear=Filters(filters.last, filters.since, filters.until).link(here, **own) if shown & set(carried) else "",
        names={kind: some[:_MOST_NAMES] for kind, some in visit.names.items()},
        renewed=_RENEWED_SECONDS if path == "/" and filters.chosen else 0,
    )  # fmt: skip


def bare(path: str, title: str, filters: Filters) -> Frame:
    """The frame where there is nothing to filter."""
    return Frame(path=path, title=title, nav=navigation(path, filters), home=filters.link("/"))


def refused(path: str, filters: Filters) -> Frame:
    """The frame around a refusal: the filters as they were given, to be mended, and links that lead on without them."""
    try:
        filters.stretch(0, time.time_ns())
        kept = Filters(filters.last, filters.since, filters.until)
    except UsageError:
        kept = Filters()
    fields = [
        Field(name, label, str(getattr(filters, name)), ())
        for name, label in (("env", "Environment"), ("entry", "Entry point"), ("service", "Service"), ("flag", "Flag"))
        if name != "env" or filters.env
    ]
    return replace(
        bare(path, "This cannot be shown", kept), path=path, fields=fields, since=filters.since, until=filters.until,
        last=filters.last, clear=kept.link(path),
        windows=[Link(label, kept.within(last).link(path), last == filters.chosen) for last, label in LAST],
    )  # fmt: skip


def navigation(path: str, filters: Filters) -> list[Link]:
    """Links to all views under the same filters; to forms without what they ask about, to the map without any name."""
    asking, all_of_it = replace(filters, service="", flag=""), replace(filters, service="", flag="", entry="")
    of = {**dict.fromkeys(FORMS, asking), "/map": all_of_it}
    return [Link(label, of.get(to, filters).link(to), to == path) for to, label in NAV]
